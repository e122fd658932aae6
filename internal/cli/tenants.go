package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) tenantsCommand() *cobra.Command {
	return group("tenants", "Place tenants: each has exactly one home region",
		a.tenantsCreate(), a.tenantsImport(), a.tenantsList(), a.tenantsGet(), a.tenantsUpdate(), a.tenantsCheckPlacement(),
		a.tenantsSuspend(), a.tenantsResume(), a.tenantsDelete(), a.tenantsSignPurge(), a.tenantsReceipts(), a.tenantsExcuse())
}

func (a *app) tenantsCreate() *cobra.Command {
	var region, country, policyFile string
	c := &cobra.Command{
		Use: "create SLUG --region REGION --country CC", Short: "Place a new tenant in its home region", Args: cobra.ExactArgs(1),
		Long: `Places a new tenant. The region is always given: nothing suggests it silently. Without --policy every
data class is sealed and nothing leaves the home region; a policy given here is not a change and
needs no approval, a later one that loosens it does.`,
		Example: "  domicile tenants create acme-ie --region ie1 --country IE\n  domicile tenants create acme-au --region au1 --country AU --policy rules.json",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			if region == "" {
				return a.regionMissing(ctx)
			}
			if country == "" {
				return usagef("--country is missing: give the tenant's billing country as two capital letters, such as IE")
			}
			in := &controlv1.CreateTenantRequest{Slug: args[0], HomeRegion: region, BillingCountry: country}
			if policyFile != "" {
				in.Policy = &controlv1.PolicyRules{}
				if err := a.readProto(policyFile, in.Policy); err != nil {
					return err
				}
			}
			t, err := cp.CreateTenant(ctx, in)
			if err != nil {
				return err
			}
			return a.result(t, func() {
				a.showTenant(t)
				a.err.Line("next: domicile keys create %s --role ingest", t.GetSlug())
			})
		})}
	c.Flags().StringVar(&region, "region", "", "home `region`; there is no default")
	c.Flags().StringVar(&country, "country", "", "billing `country`, two capital letters; decides the contracting entity")
	c.Flags().StringVar(&policyFile, "policy", "", "JSON `file` of policy rules; - reads standard input")
	return c
}

// regionMissing is the usage error of a create without a region; it names the
// regions that could be meant when the control plane can be asked.
func (a *app) regionMissing(ctx context.Context) error {
	names := "see `domicile regions list`"
	if cp, err := a.control(); err == nil {
		cp.Patience = 0
		if all, err := cp.Regions(ctx); err == nil {
			var active []string
			for _, r := range all {
				if r.GetLifecycle() == policy.Active.String() {
					active = append(active, r.GetId())
				}
			}
			names = "active regions are " + strings.Join(active, ", ")
		}
	}
	return usagef("--region is missing: a tenant's home region is never chosen for you; %s", names)
}

func (a *app) showTenant(t *controlv1.Tenant) {
	a.out.Fields([2]string{"tenant", t.GetSlug()}, [2]string{"id", t.GetId()},
		[2]string{"home region", t.GetHomeRegion()}, [2]string{"boundary", t.GetBoundary()},
		[2]string{"home epoch", number(t.GetHomeEpoch())}, [2]string{"billing country", t.GetBillingCountry()},
		[2]string{"contracting entity", t.GetContractingEntity()}, [2]string{"suggested region", t.GetSuggestedRegion()},
		[2]string{"state", t.GetState()}, [2]string{"assurance", t.GetAssurance()}, [2]string{"created", stamp(t.GetCreateTime())})
}

func (a *app) tenantsList() *cobra.Command {
	var region, filter string
	c := &cobra.Command{Use: "list", Short: "List tenants and their homes", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			ts, err := cp.Tenants(ctx, region, filter)
			if err != nil {
				return err
			}
			return list(a, "tenants", ts, func() {
				if a.none(len(ts), "tenants", "place one: domicile tenants create SLUG --region REGION --country CC") {
					return
				}
				rows := make([][]string, 0, len(ts))
				for _, t := range ts {
					rows = append(rows, []string{t.GetSlug(), t.GetHomeRegion(), t.GetBoundary(), t.GetContractingEntity(), t.GetState(), t.GetId()})
				}
				a.out.Table([]string{"TENANT", "HOME", "BOUNDARY", "ENTITY", "STATE", "ID"}, rows)
			})
		})}
	c.Flags().StringVar(&region, "region", "", "only tenants at home in this `region`")
	return filtered(&filter, c)
}

func (a *app) tenantsGet() *cobra.Command {
	return &cobra.Command{Use: "get TENANT", Short: "Show one tenant, by slug or id", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			t, err := cp.Tenant(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(t, func() {
				a.showTenant(t)
				a.showEnd(ctx, cp, t)
			})
		})}
}

// showEnd says, of a tenant that ends, what its nodes wait for. Whoever may not see
// the operation is told where it is.
func (a *app) showEnd(ctx context.Context, cp *client.Control, t *controlv1.Tenant) {
	if t.GetState() != string(policy.TenantPurging) {
		return
	}
	op, err := cp.Operation(ctx, t.GetOperation())
	if err != nil {
		a.err.Line("next: domicile operations get %s", t.GetOperation())
		return
	}
	a.out.Fields([2]string{"operation", op.GetId()}, [2]string{"progress", progressOf(op)})
	a.showMissing(op)
}

func (a *app) tenantsUpdate() *cobra.Command {
	var country, region string
	c := &cobra.Command{Use: "update TENANT --country CC", Short: "Change a tenant's billing country, and re-contract it", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			in := &controlv1.UpdateTenantRequest{Tenant: args[0]}
			if country != "" {
				in.BillingCountry = &country
			}
			if region != "" {
				in.HomeRegion = &region
			}
			if in.BillingCountry == nil && in.HomeRegion == nil {
				return usagef("nothing to change: give --country")
			}
			old, err := cp.Tenant(ctx, args[0])
			if err != nil {
				return err
			}
			t, err := cp.UpdateTenant(ctx, in, old.GetEtag())
			if err != nil {
				return err
			}
			return a.result(t, func() {
				a.showTenant(t)
				if before, after := old.GetContractingEntity(), t.GetContractingEntity(); before != after {
					a.err.Line("re-contracted: %s → %s", before, after)
				} else {
					a.err.Line("the contracting entity stays %s", after)
				}
			})
		})}
	c.Flags().StringVar(&country, "country", "", "new billing `country`")
	c.Flags().StringVar(&region, "region", "", "always refused: a home `region` changes only by a move")
	return c
}
