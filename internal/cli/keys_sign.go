package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) keysSign() *cobra.Command {
	var key string
	var every, yes bool
	c := &cobra.Command{Use: "sign TENANT [KEY…] --key FILE", Short: "Show what API keys may do, then sign them", Args: cobra.MinimumNArgs(1),
		Long: `Shows in plain words what each key may do, computes what is to be signed on this machine from exactly
that, and signs it with the tenant's signing key, for the cluster and the tenant that are pinned on this
machine (domicile trust pin), after it has proven that this key is the tenant's present one. Of a tenant that signs its keys, nodes take no unsigned
one above ingest, whoever runs the control plane. --all is every key that is not signed yet: look at the
list, and delete what you do not know.`,
		Example: "  domicile keys sign acme-ie --all --key acme.key",
		RunE: a.run(func(ctx context.Context, args []string) error {
			if key == "" {
				return usagef("--key is missing: name the tenant's signing key; it stays on this machine")
			}
			if every == (len(args) > 1) {
				return usagef("name the keys to sign, or give --all; `domicile keys list %s` lists them", args[0])
			}
			return a.signKeys(ctx, args[0], args[1:], key, yes)
		})}
	c.Flags().StringVar(&key, "key", "", "tenant's signing key `file`; it stays on this machine")
	c.Flags().BoolVar(&every, "all", false, "sign every key that is not signed yet")
	c.Flags().BoolVar(&yes, "yes", false, "sign without asking; for scripts that have looked")
	return c
}

func (a *app) signKeys(ctx context.Context, tenant string, ids []string, path string, yes bool) error {
	cp, err := a.control()
	if err != nil {
		return err
	}
	who, enrolled, err := a.keySignatory(ctx, cp, path, tenant)
	if err != nil {
		return err
	}
	all, err := cp.Keys(ctx, string(who.pin.Tenant))
	if err != nil {
		return err
	}
	chosen, err := keysToSign(all, ids)
	if err != nil {
		return err
	}
	if a.none(len(chosen), "API keys to sign", "each that needs a signature has one") {
		return list(a, "keys", chosen, func() {})
	}
	a.sayKeys(chosen)
	if !yes && !a.confirmed("Type sign to sign exactly this: ", "sign") {
		return errors.New("nothing was signed or sent; repeat the command to look again")
	}
	signed := make([]*controlv1.Key, 0, len(chosen))
	number, err := nextKeyNumber(enrolled, time.Now())
	if err != nil {
		return err
	}
	for _, k := range chosen {
		sig, err := who.signAPIKey(number, k)
		if err != nil {
			return err
		}
		done, err := cp.SignKey(ctx, &controlv1.SignKeyRequest{Tenant: string(who.pin.Tenant), Key: k.GetId(), Number: number, Signature: sig})
		if err != nil {
			return err
		}
		signed, number = append(signed, done), number+1
	}
	return list(a, "keys", signed, func() {
		for _, k := range signed {
			a.out.Line("key %s is signed", k.GetId())
			if !k.GetDistributed() {
				a.err.Line("not every connected node of %s has confirmed it yet; it works at each as soon as that one hears of it", k.GetRegion())
			}
		}
	})
}

// keySignatory is whoever signs a tenant's API keys: with its present signing key, as the
// proven chain has it.
func (a *app) keySignatory(ctx context.Context, cp *client.Control, path, tenant string) (*signatory, *controlv1.ListSigningKeysResponse, error) {
	who, err := a.signatory(path, tenant)
	if err != nil {
		return nil, nil, err
	}
	row, err := who.proven(ctx, cp, tenant)
	if err == nil {
		err = who.own(row)
	}
	if err != nil {
		return nil, nil, err
	}
	enrolled, err := cp.SigningKeys(ctx, string(who.pin.Tenant))
	return who, enrolled, err
}

// keysToSign finds the keys to sign: those of the ids or, without any, each that has
// no signature and needs one.
func keysToSign(all []*controlv1.Key, ids []string) (out []*controlv1.Key, err error) {
	for _, id := range ids {
		at := slices.IndexFunc(all, func(k *controlv1.Key) bool { return k.GetId() == id })
		switch {
		case at < 0:
			return nil, usagef("the tenant has no key %s; `domicile keys list` lists what there is", id)
		case all[at].GetRole() == string(policy.RoleIngest):
			return nil, usagef("key %s is of role ingest and needs no signature: it only brings records in", id)
		}
		out = append(out, all[at])
	}
	if len(ids) > 0 {
		return out, nil
	}
	for _, k := range all {
		if k.GetSigning() == "due" || k.GetSigning() == "refused" {
			out = append(out, k)
		}
	}
	return out, nil
}

// signCreated signs a key that was drawn here. What is signed is what was asked for:
// a control plane that answers with more, for a key whose holder was to have less, has
// it signed by nobody.
func (a *app) signCreated(ctx context.Context, cp *client.Control, asked, k *controlv1.Key, who *signatory) (*controlv1.Key, error) {
	if who == nil || k.GetSigning() == "not_needed" {
		return k, nil
	}
	shown, want := keyShown(k), keyShown(asked)
	want.HomeEpoch, want.Epoch = shown.HomeEpoch, shown.Epoch // which the control plane counts
	if shown.Digest() != want.Digest() {
		return nil, errors.New("the control plane shows another key than the one that was asked for; nothing was signed: ask who runs it")
	}
	enrolled, err := cp.SigningKeys(ctx, k.GetTenant())
	if err != nil {
		return nil, err
	}
	number, err := nextKeyNumber(enrolled, time.Now())
	if err != nil {
		return nil, err
	}
	sig, err := who.signAPIKey(number, k)
	if err != nil {
		return nil, err
	}
	return cp.SignKey(ctx, &controlv1.SignKeyRequest{Tenant: k.GetTenant(), Key: k.GetId(), Number: number, Signature: sig})
}
