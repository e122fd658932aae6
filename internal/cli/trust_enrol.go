package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// enrolFlags are how a key is brought to the control plane.
type enrolFlags struct {
	cert, key, root string
	first, yes      bool
}

func (a *app) trustEnrol() *cobra.Command {
	var o enrolFlags
	c := &cobra.Command{Use: "enrol TENANT --cert FILE [--key FILE] [--root FILE]", Aliases: []string{"enroll"}, Short: "Bring a certified key to the control plane", Args: cobra.ExactArgs(1),
		Long: `A tenant's key signs the policy in force as it is enrolled (--key). From then on nodes of its home take
no policy of the tenant without a signature of its present key, and no API key above ingest; this cannot be
undone. So it signs, too, the API keys that are there, after it has shown in plain words what each may do.

The root's public key (--root, from the operator and not from the control plane) is pinned on this machine,
with cluster and tenant as the certificate names them: see domicile trust pin. A successor's key signs the
policy in force when it is proven against that, and the root need not be named again. Before a tenant's
first key nobody has signed its policy: --first shows what it is beside that of a new tenant, asks, and
signs it as number 1, which counts at no node that knows the tenant to sign already.`,
		Example: "  domicile trust enrol acme-ie --cert acme.cert --key acme.key --root root.pub --first\n  domicile trust enrol acme-ie --cert acme2.cert --key acme2.key",
		RunE: a.run(func(ctx context.Context, args []string) error {
			if o.cert == "" {
				return usagef("--cert is missing: name the file of `domicile trust certify` or `rotate`")
			}
			return a.enrol(ctx, args[0], o)
		})}
	f := c.Flags()
	f.StringVar(&o.cert, "cert", "", "certificate `file`")
	f.StringVar(&o.key, "key", "", "key `file`; with a tenant's key")
	f.StringVar(&o.root, "root", "", "root's public key `file`, to pin; not needed where it is pinned")
	f.BoolVar(&o.first, "first", false, "the tenant has no signing key yet: sign the policy that the control plane shows, which nothing proves")
	f.BoolVar(&o.yes, "yes", false, "sign without asking; for scripts that have looked")
	return c
}

func (a *app) enrol(ctx context.Context, tenant string, o enrolFlags) error {
	c, err := readCertificate(o.cert)
	if err != nil {
		return err
	}
	in := &controlv1.CreateSigningKeyRequest{Tenant: tenant, Purpose: string(c.Key.Purpose), Principal: c.Key.Principal, Entity: c.Key.Entity,
		Boundary: string(c.Key.Boundary), PublicKey: c.Key.PublicKey, Certificate: control.SignatureOf(c.Key.Certificate)}
	cp, err := a.control()
	if err != nil {
		return err
	}
	var who *signatory
	if c.Key.Purpose == policy.TenantKey {
		if who, err = a.signEnrolment(ctx, cp, in, c, o); err != nil {
			return err
		}
		if who.row != nil { // an answer was lost, and the command is repeated
			return a.result(control.SigningKeyOf(c.Tenant, who.row.Signers, c.Key), func() { a.out.Line("tenant key %s of %s is enrolled already", c.Key.ID, c.Tenant) })
		}
	}
	k, err := cp.CreateSigningKey(ctx, in)
	if err != nil {
		return err
	}
	if who != nil { // remembered from here on, so that this key is nobody's first again
		if _, err := who.proven(ctx, cp, in.GetTenant()); err != nil {
			return fmt.Errorf("the key is enrolled, and what the control plane shows now is not what was signed: %w", err)
		}
	}
	return a.result(k, func() {
		a.out.Line("%s key %s of %s is enrolled", k.GetPurpose(), k.GetId(), k.GetTenant())
		if c.Key.Purpose != policy.TenantKey {
			a.err.Line("  next, where that key is: domicile trust pin --cert %s --root root.pub", o.cert)
		}
	})
}

// signEnrolment puts into the request what a tenant's key signs as it is enrolled: the
// policy in force, under the next number, and the API keys that work. Of a key that is
// proven to be the present one already it signs nothing, and gives the proven row.
func (a *app) signEnrolment(ctx context.Context, cp *client.Control, in *controlv1.CreateSigningKeyRequest, c certificateFile, o enrolFlags) (*signatory, error) {
	who, err := a.enrolling(c, o)
	if err != nil {
		return nil, err
	}
	e, err := cp.SignedPolicy(ctx, in.GetTenant())
	if err != nil {
		return nil, err
	}
	if e.GetTenant() != string(c.Tenant) {
		return nil, usagef("the certificate is of tenant %s, not of %s", c.Tenant, in.GetTenant())
	}
	var doc *policy.ResidencyPolicy
	chain := &policy.Signers{}
	if o.first {
		if doc, err = who.pin.unsigned(e); err != nil {
			return nil, err
		}
	} else {
		row, err := who.pin.prove(e)
		if err != nil {
			return nil, err
		}
		if head, _ := row.Signers.Head(); head.ID == c.Key.ID {
			who.row = row
			return who, who.pin.save(who.folder)
		}
		doc, chain = row.Policy, row.Signers
	}
	if err := who.pin.follows(chain, c.Key); err != nil {
		return nil, err
	}
	if o.first {
		a.sayFirst(doc)
	}
	if in.ApiKeys, err = a.signWorkingKeys(ctx, cp, who, o); err != nil {
		return nil, err
	}
	hash, err := policy.PolicyHash(doc)
	if err != nil {
		return nil, err
	}
	in.PolicySignature = control.SignatureOf(policy.Sign(who.key, policy.PolicyStatement(who.pin.Cluster, who.pin.Tenant, chain.Sequence+1, hash)))
	return who, who.pin.save(who.folder)
}

// enrolling is the key that is to be enrolled, with its pin: of a machine that has none
// yet, by the certificate and the root that is named.
func (a *app) enrolling(c certificateFile, o enrolFlags) (*signatory, error) {
	if o.key == "" {
		return nil, usagef("--key is missing: a tenant's key signs the policy in force as it is enrolled")
	}
	key, err := readSecretKey(o.key)
	if err != nil {
		return nil, err
	}
	if keyID(key) != c.Key.ID {
		return nil, usagef("--key and --cert do not belong together: the certificate is of key %s", c.Key.ID)
	}
	p, folder, err := a.pinOf(c, o.root)
	if err != nil {
		return nil, err
	}
	return &signatory{key: key, pin: p, folder: folder}, nil
}

// follows refuses a tenant's key whose certificate is neither the pinned root's nor that
// of the last key of the chain: nodes would.
func (p *pin) follows(chain *policy.Signers, k policy.SigningKey) error {
	next := policy.Signers{Tenant: append(slices.Clone(chain.Tenant), k)}
	if err := next.Verify(p.Cluster, p.Tenant, p.root()); err != nil {
		return fmt.Errorf("the certificate is not the pinned root's, nor the tenant's present key's, over this key, tenant and cluster (%w); nothing was signed: make it with `domicile trust certify` or `rotate`", err)
	}
	return nil
}
