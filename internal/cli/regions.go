package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) regionsCommand() *cobra.Command {
	return group("regions", "Regions, and what each can do", a.regionsList(), a.regionsGet(), a.regionsPut(), a.regionsFeatures(), a.regionsSetFeature())
}

func (a *app) regionsList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list", Short: "List the regions of the catalogue", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			rs, err := cp.Regions(ctx, filter)
			if err != nil {
				return err
			}
			return list(a, "regions", rs, func() {
				rows := make([][]string, 0, len(rs))
				for _, r := range rs {
					rows = append(rows, []string{r.GetId(), r.GetBoundary(), r.GetCountry(), r.GetLifecycle(), r.GetBackupRegion(), r.GetCloud(), dash(r.GetBaseUrl())})
				}
				a.out.Table([]string{"REGION", "BOUNDARY", "COUNTRY", "STAGE", "BACKUP", "CLOUD", "BASE URL"}, rows)
			})
		})})
}

func (a *app) regionsGet() *cobra.Command {
	return &cobra.Command{Use: "get REGION", Short: "Show one region", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			r, err := cp.RegionInfo(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(r, func() { a.showRegion(r) })
		})}
}

func (a *app) showRegion(r *controlv1.Region) {
	a.out.Fields([2]string{"region", r.GetId()}, [2]string{"boundary", r.GetBoundary()}, [2]string{"country", r.GetCountry()},
		[2]string{"stage", r.GetLifecycle()}, [2]string{"cloud", r.GetCloud()}, [2]string{"backup region", r.GetBackupRegion()},
		[2]string{"base URL", dash(r.GetBaseUrl())})
}

func (a *app) regionsFeatures() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "features REGION", Short: "Show what a region can do, and at which stage", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			fs, err := cp.Features(ctx, args[0], filter)
			if err != nil {
				return err
			}
			return list(a, "features", fs, func() {
				rows := make([][]string, 0, len(fs))
				for _, f := range fs {
					rows = append(rows, []string{f.GetName(), f.GetStage(), dash(limitsOf(f)), dash(strings.Join(f.GetCertifications(), ", "))})
				}
				a.out.Table([]string{"FEATURE", "STAGE", "LIMITS", "CERTIFICATIONS"}, rows)
			})
		})})
}
