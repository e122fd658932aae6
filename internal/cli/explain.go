package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) explainCommand() *cobra.Command {
	in := &controlv1.ExplainDecisionRequest{}
	c := &cobra.Command{Use: "explain TENANT --operation OP --class CLASS --region REGION", Short: "Decide a made-up request and show every reason", Args: cobra.ExactArgs(1),
		Example: `  domicile explain acme-ie --operation store --class call_record --region us1
  domicile explain acme-ie --operation export --class call_record --region ie1 \
      --egress PSEUDONYMISED_EXPORT --recipient RP… --purpose analytics`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			in.Tenant = args[0]
			if in.GetOperation() == "" || in.GetDataClass() == "" || in.GetRegion() == "" {
				return usagef("give --operation (ingest, store, process, view, export, erase), --class and --region")
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			d, err := cp.Explain(ctx, in)
			if err != nil {
				return err
			}
			return a.result(d, func() { a.showDecision(in, d) })
		})}
	f := c.Flags()
	f.StringVar(&in.Operation, "operation", "", "`operation`: ingest, store, process, view, export or erase")
	f.StringVar(&in.DataClass, "class", "", "data `class`: "+oneOf(policy.DataClasses()))
	f.StringVar(&in.Region, "region", "", "`region` where it would happen")
	f.StringVar(&in.EgressClass, "egress", "", "egress `class`: "+oneOf(policy.EgressClasses())+"; for exports")
	f.StringVar(&in.Recipient, "recipient", "", "recipient's `id`, for exports")
	f.StringVar(&in.Purpose, "purpose", "", "`purpose`, for exports")
	f.Int64Var(&in.BundleAge, "bundle-age", 0, "`seconds` since the node last heard from the control plane")
	f.StringVar(&in.Attestation, "attestation", "", "`how` well the node's place is known: declared, operator_signed or cloud_signed")
	return c
}

// oneOf lists values as flags' help does: "a, b or c".
func oneOf[T fmt.Stringer](values []T) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i > 0 && i == len(values)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(v.String())
	}
	return b.String()
}

func (a *app) showDecision(in *controlv1.ExplainDecisionRequest, d *controlv1.ExplainDecisionResponse) {
	effect := a.out.Bad("DENIED")
	if d.GetEffect() == "allow" {
		effect = a.out.Good("ALLOWED")
	}
	a.out.Line("%s  %s of %s of %s in %s, under policy revision %d", effect, in.GetOperation(), in.GetDataClass(), in.GetTenant(), in.GetRegion(), d.GetRevision())
	if d.GetHomeRegion() != "" {
		a.out.Line("home region %s", d.GetHomeRegion())
	}
	a.out.Line("")
	for _, r := range d.GetReasons() {
		sign := a.out.Good("+")
		if r.GetDenies() {
			sign = a.out.Bad("-")
		}
		a.out.Line("%s %s", sign, a.out.Bold(r.GetRule()))
		a.out.Para("    ", r.GetExplanation())
	}
}
