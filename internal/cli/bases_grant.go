package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) basesGrant() *cobra.Command {
	var root, cluster, until, out string
	var sequence uint64
	c := &cobra.Command{Use: "grant BASIS --root FILE --cluster CL… --sequence N [--until TIME] --out FILE", Short: "Sign, offline, that a basis may be open", Args: cobra.ExactArgs(1),
		Long: `Signs with the operator's root, on the machine that keeps it, that a transfer basis may be open until a
time (left out: for ever). Nothing is sent anywhere. The sequence is one more than the basis has had
grants (domicile bases get); the refusal of domicile bases put names it too.`,
		RunE: a.run(func(_ context.Context, args []string) error {
			switch {
			case root == "" || out == "":
				return usagef("--root and --out are both needed")
			case !policy.ValidID(policy.KindCluster, cluster):
				return usagef("--cluster must be the cluster's id: CL and 32 lower-case hex digits; `domicile status` shows it")
			case sequence == 0:
				return usagef("--sequence is missing: one more than `domicile bases get %s` says that there were grants", args[0])
			}
			key, err := readSecretKey(root)
			if err != nil {
				return err
			}
			g := &controlv1.BasisGrant{Sequence: sequence}
			if g.Until, err = momentOf("--until", until); err != nil {
				return err
			}
			var end *time.Time
			if g.Until != nil {
				at := g.Until.AsTime()
				end = &at
			}
			sig := policy.Sign(key, policy.BasisStatement(cluster, args[0], end, sequence))
			g.KeyId, g.Signature = sig.KeyID, sig.Value
			raw, err := protoForm.Marshal(g)
			if err != nil {
				return fmt.Errorf("encode the grant: %w", err)
			}
			if err := writeNew(out, append(raw, '\n'), 0o644); err != nil {
				return err
			}
			return a.result(g, func() {
				a.out.Fields([2]string{"grant", out}, [2]string{"basis", args[0]}, [2]string{"until", orNever(stamp(g.GetUntil()))}, [2]string{"sequence", number(sequence)})
				a.err.Line("next: domicile bases put %s --state active --grant %s", args[0], out)
			})
		})}
	f := c.Flags()
	f.StringVar(&root, "root", "", "root's key `file`")
	f.StringVar(&cluster, "cluster", "", "cluster's `id`, CL…")
	f.StringVar(&until, "until", "", "`time` until which the basis may be open, RFC 3339; left out: for ever")
	f.Uint64Var(&sequence, "sequence", 0, "`number` of this grant")
	f.StringVar(&out, "out", "", "grant `file` to write")
	return c
}

func orNever(s string) string {
	if s == "" || s == "-" {
		return "never"
	}
	return s
}

// momentOf reads a time in whole seconds; "" is none.
func momentOf(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usagef("%s must be a time such as 2027-01-01T00:00:00Z", flag)
	}
	return timestamppb.New(at.UTC().Truncate(time.Second)), nil
}
