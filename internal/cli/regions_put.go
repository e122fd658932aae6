package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) regionsPut() *cobra.Command {
	spec := &controlv1.Region{}
	c := &cobra.Command{Use: "put REGION [--stage STAGE]…", Short: "Add a region to the catalogue, or change one", Args: cobra.ExactArgs(1),
		Long: `A new region needs --boundary, --country and --cloud, and begins as planned: tenants are placed there
once its stage is active. Of a region that is there, what is left out stays as it is; boundary and
country never change. The stages are passed in their order, and none is gone back to.`,
		Example: "  domicile regions put fr1 --boundary eu --country FR --cloud aws-eu-west-3\n" +
			"  domicile regions put fr1 --stage active --base-url https://api.fr1.example.com",
	}
	f := c.Flags()
	f.StringVar(&spec.Boundary, "boundary", "", "`boundary` that failover never leaves, such as eu")
	f.StringVar(&spec.Country, "country", "", "`country` that it stands in, two capital letters")
	f.StringVar(&spec.Cloud, "cloud", "", "`place` as its cloud calls it, such as aws-eu-west-3, or a name of yours")
	f.StringVar(&spec.BackupRegion, "backup-region", "", "`region` of the same boundary, or none")
	f.StringVar(&spec.Lifecycle, "stage", "", "`stage`: planned, active, draining, read_only or retired")
	f.StringVar(&spec.BaseUrl, "base-url", "", "`URL` at which tenants reach it, https://…")
	c.RunE = a.run(func(ctx context.Context, args []string) error {
		cp, err := a.control()
		if err != nil {
			return err
		}
		next, err := cp.RegionInfo(ctx, args[0])
		etag := next.GetEtag()
		switch {
		case errors.Is(err, &policy.Error{Reason: policy.NotFound}):
			next = &controlv1.Region{Id: args[0], BackupRegion: "none", Lifecycle: policy.Planned.String()}
			if spec.Boundary == "" || spec.Country == "" || spec.Cloud == "" {
				return usagef("there is no region %s: to add it, give --boundary, --country and --cloud; `domicile regions list` shows those that are there", quote(args[0]))
			}
		case err != nil:
			return err
		}
		next.Etag = ""
		for _, x := range []struct {
			flag     string
			from, to *string
		}{
			{"boundary", &spec.Boundary, &next.Boundary}, {"country", &spec.Country, &next.Country}, {"cloud", &spec.Cloud, &next.Cloud},
			{"backup-region", &spec.BackupRegion, &next.BackupRegion}, {"stage", &spec.Lifecycle, &next.Lifecycle}, {"base-url", &spec.BaseUrl, &next.BaseUrl},
		} {
			if f.Changed(x.flag) {
				*x.to = *x.from
			}
		}
		r, err := cp.PutRegion(ctx, next, etag)
		if err != nil {
			return err
		}
		return a.result(r, func() {
			a.showRegion(r)
			if r.GetLifecycle() == policy.Planned.String() {
				a.err.Line("next: connect a node, then domicile regions put %s --stage active --base-url https://…", r.GetId())
			}
		})
	})
	return c
}
