package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) entitiesCommand() *cobra.Command {
	return group("entities", "Which entity contracts with customers of a billing country", a.entitiesList(), a.entitiesPut())
}

func (a *app) entitiesList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list", Short: "List billing countries, their entities and suggested regions", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			es, err := cp.Entities(ctx, filter)
			if err != nil {
				return err
			}
			return list(a, "entities", es, func() {
				rows := make([][]string, 0, len(es))
				for _, e := range es {
					rows = append(rows, []string{e.GetBillingCountry(), e.GetCode(), dash(e.GetSuggestedRegion())})
				}
				a.out.Table([]string{"COUNTRY", "ENTITY", "SUGGESTED REGION"}, rows)
			})
		})})
}

func (a *app) entitiesPut() *cobra.Command {
	spec := &controlv1.EntitySpec{}
	c := &cobra.Command{Use: "put COUNTRY --code CODE [--region REGION]", Short: "Add or change a billing country's entity", Args: cobra.ExactArgs(1),
		Long: `Tenants keep the entity that they have until they are re-contracted, one by one:
domicile tenants update TENANT --country CC, which shows the entity before and after.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			es, err := cp.Entities(ctx)
			if err != nil {
				return err
			}
			etag := ""
			for _, e := range es {
				if e.GetBillingCountry() == args[0] {
					etag = e.GetEtag()
				}
			}
			e, err := cp.PutEntity(ctx, args[0], spec, etag)
			if err != nil {
				return err
			}
			return a.result(e, func() {
				a.out.Fields([2]string{"country", e.GetBillingCountry()}, [2]string{"entity", e.GetCode()}, [2]string{"suggested region", dash(e.GetSuggestedRegion())})
			})
		})}
	c.Flags().StringVar(&spec.Code, "code", "", "entity's `code`, e.g. DOM-IE")
	c.Flags().StringVar(&spec.SuggestedRegion, "region", "", "`region` to suggest; never applied by itself")
	return c
}

func (a *app) regionsSetFeature() *cobra.Command {
	spec := &controlv1.FeatureSpec{}
	var limits []string
	c := &cobra.Command{Use: "set-feature REGION FEATURE --stage STAGE", Short: "Say how far a feature is in a region", Args: cobra.ExactArgs(2),
		Long: `A region answers 501 FEATURE_NOT_IN_REGION on the paths of a feature at stage none. A feature is taken
away only when no policy of a tenant at home there has a rule for what it brings in. Limits and
certifications that are left out are removed.`,
		Example: "  domicile regions set-feature ie1 voice --stage ga --limit CALLS_PER_SECOND=50 --certification ISO-27001",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			for _, l := range limits {
				code, value, _ := strings.Cut(l, "=")
				n, err := strconv.ParseUint(value, 10, 53)
				if err != nil {
					return usagef("--limit must be CODE=NUMBER, e.g. CALLS_PER_SECOND=50")
				}
				spec.Limits = append(spec.Limits, &controlv1.FeatureLimit{Code: code, Amount: n})
			}
			fs, err := cp.Features(ctx, args[0])
			if err != nil {
				return err
			}
			etag := ""
			for _, f := range fs {
				if f.GetName() == args[1] {
					etag = f.GetEtag()
				}
			}
			f, err := cp.PutFeature(ctx, args[0], args[1], spec, etag)
			if err != nil {
				return err
			}
			return a.result(f, func() {
				a.out.Fields([2]string{"region", args[0]}, [2]string{"feature", f.GetName()}, [2]string{"stage", f.GetStage()},
					[2]string{"limits", dash(limitsOf(f))}, [2]string{"certifications", dash(strings.Join(f.GetCertifications(), ", "))})
			})
		})}
	c.Flags().StringVar(&spec.Stage, "stage", "", "`stage`: none, pilot, beta or ga")
	c.Flags().StringSliceVar(&limits, "limit", nil, "`CODE=NUMBER`, may be repeated")
	c.Flags().StringSliceVar(&spec.Certifications, "certification", nil, "`code`, e.g. ISO-27001; may be repeated")
	return c
}

func limitsOf(f *controlv1.Feature) string {
	var out []string
	for _, l := range f.GetLimits() {
		out = append(out, l.GetCode()+"="+strconv.FormatUint(l.GetAmount(), 10))
	}
	return strings.Join(out, ", ")
}
