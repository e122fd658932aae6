package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
)

func (a *app) tenantsSuspend() *cobra.Command {
	return a.tenantsSwitch("suspend", "Stop everything of a tenant, and delete nothing",
		"Its keys answer 403, nothing is taken in or sent, its exports wait. domicile tenants resume undoes it.", (*client.Control).SuspendTenant)
}

func (a *app) tenantsResume() *cobra.Command {
	return a.tenantsSwitch("resume", "Let a suspended tenant go on", "What waited in its export queue goes on where it stopped.", (*client.Control).ResumeTenant)
}

func (a *app) tenantsSwitch(use, short, long string, do func(*client.Control, context.Context, string) (*controlv1.Tenant, error)) *cobra.Command {
	return &cobra.Command{Use: use + " TENANT", Short: short, Long: long, Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			t, err := do(cp, ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(t, func() { a.showTenant(t) })
		})}
}

// endFlags are how a tenant ends.
type endFlags struct {
	purge, keep, yes bool
	signatures       []string
	wait             time.Duration
}

func (a *app) tenantsDelete() *cobra.Command {
	var o endFlags
	c := &cobra.Command{Use: "delete TENANT [--purge]", Short: "End a tenant, and with --purge destroy its data first", Args: cobra.ExactArgs(1),
		Long: `Without --purge this ends a tenant whose data is destroyed already. With --purge every node of its home, and
of its recipients' regions, destroys everything of it, for good, and signs a receipt; when all have
answered, the tenant is deleted. Its slug is never given again.

A tenant that signs ends only by its key and an approver's: each runs domicile tenants sign-purge on
their own machine, and both files are given with --signature.`,
		Example: "  domicile tenants delete acme-ie --purge\n  domicile tenants delete acme-ie --purge --signature acme.sig --signature person.sig",
		RunE:    a.run(func(ctx context.Context, args []string) error { return a.endTenant(ctx, args[0], o) })}
	f := c.Flags()
	f.BoolVar(&o.purge, "purge", false, "destroy the tenant's data first; it cannot be undone")
	f.BoolVar(&o.keep, "keep-tenant", false, "with --purge: destroy the data, and leave the tenant to be deleted later")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.StringSliceVar(&o.signatures, "signature", nil, "`file` of domicile tenants sign-purge; may be repeated")
	f.DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for every node's receipt; 0 does not wait")
	return c
}

func (a *app) endTenant(ctx context.Context, ref string, o endFlags) error {
	cp, err := a.control()
	if err != nil {
		return err
	}
	in := &controlv1.PurgeTenantRequest{Tenant: ref, Delete: !o.keep}
	for _, path := range o.signatures {
		s := &controlv1.Signature{}
		if err := a.readProto(path, s); err != nil {
			return err
		}
		in.Signatures = append(in.Signatures, s)
	}
	t, err := cp.Tenant(ctx, ref)
	if err != nil {
		return err
	}
	if !o.yes {
		a.err.Line("Tenant %s, home %s. This cannot be undone. Type its slug to go on:", a.err.Bold(screen.Clean(t.GetSlug())), screen.Clean(t.GetHomeRegion()))
		if a.readLine() != t.GetSlug() {
			return errors.New("nothing was done")
		}
	}
	var op *controlv1.Operation
	if o.purge {
		op, err = cp.PurgeTenant(ctx, in, t.GetEtag())
	} else {
		op, err = cp.DeleteTenant(ctx, ref, t.GetEtag())
	}
	if err != nil {
		return err
	}
	if op.GetDone() {
		return a.ended(op)
	}
	return a.outcome(ctx, cp, op, o.wait)
}

func (a *app) tenantsExcuse() *cobra.Command {
	var node string
	var yes bool
	c := &cobra.Command{Use: "excuse TENANT --node ND…", Short: "Stop waiting for the receipt of a node that is gone with its disk", Args: cobra.ExactArgs(1),
		Long: `The node must be evicted (domicile nodes evict): one that is only away has everything of the tenant, and may
keep it because of a legal hold. The receipt stays missing, and the operation says so. Should somebody admit
the node anew, it meets the order all the same.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			if !yes {
				a.err.Line("The tenant will pass for destroyed, whatever lies on the disk of that node, also what a legal hold keeps there. Type the node's id to go on:")
				if a.readLine() != node {
					return errors.New("nothing was done")
				}
			}
			op, err := cp.ExcuseNode(ctx, args[0], node)
			if err != nil {
				return err
			}
			return a.result(op, func() { a.showOperation(op) })
		})}
	c.Flags().StringVar(&node, "node", "", "node's `id`, ND…")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) tenantsReceipts() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "receipts TENANT", Short: "List what nodes have signed about a tenant's purge", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			rs, err := cp.Receipts(ctx, args[0], filter)
			if err != nil {
				return err
			}
			return list(a, "receipts", rs, func() {
				if a.none(len(rs), "receipts", "the tenant was not purged, or no node has answered yet") {
					return
				}
				rows := make([][]string, 0, len(rs))
				for _, r := range rs {
					rows = append(rows, []string{r.GetRegion(), r.GetNode(), number(r.GetCalls()), number(r.GetQuarantined()), number(r.GetTransfers()),
						number(r.GetReceivedRows()), number(r.GetDestroyedKeys()), stamp(r.GetTime()), r.GetSha256()[:16]})
				}
				a.out.Table([]string{"REGION", "NODE", "CALLS", "QUARANTINED", "TRANSFERS", "RECEIVED", "KEYS", "AT", "SHA-256"}, rows)
			})
		})})
}
