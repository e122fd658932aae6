package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) keysCommand() *cobra.Command {
	return group("keys", "Issue and revoke region-bound API keys", a.keysCreate(), a.keysSign(), a.keysList(), a.keysDelete())
}

func (a *app) keysCreate() *cobra.Command {
	var role, sign string
	c := &cobra.Command{Use: "create TENANT --role ROLE", Short: "Make a key on this machine and register its hash", Args: cobra.ExactArgs(1),
		Long: `Draws a key on this machine, sends only its SHA-256 to the control plane, and prints the key once, on
standard output. The key works only in the tenant's home region, which its first letters name. With --sign the
tenant's signing key signs it, which nodes want of a key above ingest once the tenant signs its keys.`,
		Example: "  export DOMICILE_KEY=$(domicile keys create acme-ie --role admin)",
		RunE: a.run(func(ctx context.Context, args []string) error {
			if role == "" {
				return usagef("--role is missing: ingest writes records, reader reads them, admin does both")
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			var who *signatory
			if sign != "" { // before there is a key: one that is issued and not signed helps nobody
				if who, _, err = a.keySignatory(ctx, cp, sign, args[0]); err != nil {
					return err
				}
			}
			s, k, err := a.createKey(ctx, cp, args[0], role, who)
			if err != nil {
				return err
			}
			k.Secret = s.Key
			return a.result(k, func() {
				a.out.Line("%s", s.Key)
				a.err.Line("key %s, role %s, works only in %s; it is not shown again", k.GetId(), k.GetRole(), k.GetRegion())
				if k.GetSigning() == "refused" {
					a.err.Line("nodes refuse it until it is signed: domicile keys sign %s %s --key FILE", args[0], k.GetId())
				}
				if !k.GetDistributed() {
					a.err.Line("not every connected node of %s has confirmed the key yet; it works at each as soon as that one hears of it", k.GetRegion())
				}
			})
		})}
	c.Flags().StringVar(&role, "role", "", "`role`: ingest, reader or admin")
	c.Flags().StringVar(&sign, "sign", "", "tenant's signing key `file`; it stays on this machine")
	return c
}

// createKey draws a key, registers its hash and, with somebody who signs, has it signed.
func (a *app) createKey(ctx context.Context, cp *client.Control, tenant, role string, who *signatory) (client.Secret, *controlv1.Key, error) {
	t, err := cp.Tenant(ctx, tenant)
	if err != nil {
		return client.Secret{}, nil, err
	}
	if who != nil && (t.GetId() != string(who.pin.Tenant) || t.GetHomeRegion() != string(who.row.Home)) {
		return client.Secret{}, nil, errors.New("the control plane shows another tenant, or another home of it, than its signed policy; no key was made: ask who runs it")
	}
	s, err := client.NewSecret(t.GetHomeRegion(), rand.Reader)
	if err != nil {
		return client.Secret{}, nil, err
	}
	k, err := cp.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: tenant, Region: t.GetHomeRegion(), Role: role,
		SecretSha256: s.SHA256, KeyId: s.KeyID})
	if err != nil {
		return client.Secret{}, nil, err
	}
	asked := &controlv1.Key{Id: s.KeyID, Tenant: t.GetId(), Region: t.GetHomeRegion(), Role: role, Terms: &controlv1.KeyTerms{SecretSha256: s.SHA256}}
	signed, err := a.signCreated(ctx, cp, asked, k, who)
	if err != nil {
		return client.Secret{}, nil, fmt.Errorf("key %s was issued, signing it failed, and nobody has its secret; delete it, and make another: domicile keys delete %s %s: %w", s.KeyID, tenant, s.KeyID, err)
	}
	return s, signed, nil
}

func (a *app) keysList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list TENANT", Short: "List a tenant's keys; secrets are not known to anyone", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			ks, err := cp.Keys(ctx, args[0], filter)
			if err != nil {
				return err
			}
			return list(a, "keys", ks, func() {
				if a.none(len(ks), "keys", "make one: domicile keys create "+args[0]+" --role ingest") {
					return
				}
				rows := make([][]string, 0, len(ks))
				for _, k := range ks {
					rows = append(rows, []string{k.GetId(), k.GetRegion(), k.GetRole(), dash(k.GetRecipient()), stamp(k.GetCreateTime()), signedWord(k)})
				}
				a.out.Table([]string{"KEY", "REGION", "ROLE", "RECIPIENT", "CREATED", "SIGNED"}, rows)
			})
		})})
}

func (a *app) keysDelete() *cobra.Command {
	return &cobra.Command{Use: "delete TENANT KEY", Short: "Revoke a key", Args: cobra.ExactArgs(2),
		Long: `Revokes a key of the tenant or of a recipient. Connected nodes of its region refuse it within seconds. A node
that is cut off from the control plane does not hear of it: it shows calls, recordings and received rows to the
key for at most 24 hours after it last heard, and lets it do what else it may until it hears again.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			k, err := cp.Key(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if err := cp.DeleteKey(ctx, args[0], args[1], k.GetEtag()); err != nil {
				return err
			}
			return a.result(&controlv1.DeleteKeyResponse{}, func() { a.showRevoked(k) })
		})}
}

// showRevoked says what the deletion of a key does not: that of a node which hears nothing
// nobody knows that it refuses the key. Unlike an export under a revoked basis
// (docs/adr/0091) most of what a key opens has no time at which it stops by itself.
func (a *app) showRevoked(k *controlv1.Key) {
	a.out.Line("key %s is revoked", k.GetId())
	goes := map[string]string{
		"ingest":    "takes records from it",
		"reader":    "shows calls and recordings to it for at most 24 h after it last heard, and lets it do what else it may",
		"recipient": "shows to it what the recipient received for at most 24 h after it last heard, or",
	}[k.GetRole()]
	if goes == "" { // admin, and a role that is newer than this program
		goes = "shows calls and recordings to it for at most 24 h after it last heard, and lets it bring in, delete and do what else it may"
	}
	a.err.Line("connected nodes of %s refuse it within seconds; one that is cut off %s until it hears again", k.GetRegion(), goes)
	a.err.Line("next: domicile nodes list --region %s; mend or stop each that is not connected", k.GetRegion())
}
