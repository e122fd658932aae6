package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/control"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) tenantsSignPurge() *cobra.Command {
	var keyPath, out string
	var yes bool
	c := &cobra.Command{Use: "sign-purge TENANT --key FILE --out FILE", Short: "Sign, on this machine, that a tenant's data may be destroyed", Args: cobra.ExactArgs(1),
		Long: `For a tenant that signs: its key and an approver's sign the same statement, each on their own machine. It
names the cluster and the tenant that are pinned there (domicile trust pin) and the policy in force, which is
proven first; a later policy voids it. Nodes verify both signatures.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if keyPath == "" || out == "" {
				return usagef("--key and --out are both needed")
			}
			return a.signPurge(ctx, args[0], keyPath, out, yes)
		})}
	c.Flags().StringVar(&keyPath, "key", "", "your key `file`; it stays on this machine")
	c.Flags().StringVar(&out, "out", "", "signature `file` to write")
	c.Flags().BoolVar(&yes, "yes", false, "sign without asking")
	return c
}

func (a *app) signPurge(ctx context.Context, ref, keyPath, out string, yes bool) error {
	cp, err := a.control()
	if err != nil {
		return err
	}
	who, err := a.signatory(keyPath, ref)
	if err != nil {
		return err
	}
	row, err := who.proven(ctx, cp, ref)
	if err == nil {
		err = who.counts(row)
	}
	if err != nil {
		return err
	}
	if !yes {
		a.err.Line("Tenant %s (%s), home %s: its records, exports and keys would be destroyed, for good. Type destroy to sign exactly this:",
			a.err.Bold(screen.Clean(ref)), who.pin.Tenant, screen.Clean(string(row.Home)))
		if a.readLine() != "destroy" {
			return errors.New("nothing was signed")
		}
	}
	sig := policy.Sign(who.key, policy.PurgeStatement(who.pin.Cluster, who.pin.Tenant, row.Signers.Sequence))
	s := control.SignatureOf(sig)
	raw, err := protoForm.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the signature: %w", err)
	}
	if err := writeNew(out, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return a.result(s, func() {
		a.out.Fields([2]string{"signature", out}, [2]string{"key", sig.KeyID}, [2]string{"tenant", string(who.pin.Tenant)})
		a.err.Line("next: domicile tenants delete %s --purge --signature %s --signature OTHER", ref, out)
	})
}
