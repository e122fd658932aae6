package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// unsigned is the policy in force of a tenant of which nobody has signed anything. It
// is no way around a proof: this machine must not have seen one, the control plane must
// not show one, and what is signed then is number 1, behind all that nodes have.
func (p *pin) unsigned(e *controlv1.SignedPolicy) (*policy.ResidencyPolicy, error) {
	if p.Proven != nil {
		return nil, fmt.Errorf("this machine has seen number %d of tenant %s proven, so this is not its first key; %w", p.Proven.Signers.Sequence, p.Tenant, errUnproven)
	}
	if len(e.GetKeys()) > 0 || e.GetSequence() != 0 {
		return nil, errors.New("the tenant has a signing key, so its policy in force is proven or not signed at all; nothing was signed: leave out --first")
	}
	doc, err := control.PolicyFrom(e.GetPolicy())
	if err != nil {
		return nil, err
	}
	if doc.Tenant != p.Tenant {
		return nil, errNotShown
	}
	return &doc, nil
}

// sayFirst shows a policy that nothing proves, beside that of a new tenant.
func (a *app) sayFirst(doc *policy.ResidencyPolicy) {
	usual := policy.DefaultPolicy(doc.Tenant, policy.Region{ID: doc.HomeRegion, Boundary: doc.Boundary}, doc.ContractingEntity)
	usual.HomeEpoch = doc.HomeEpoch
	_, fields := policy.Classify(&usual, doc)
	a.err.Line("Nobody has signed the policy in force, so nothing proves it: it is what the control plane shows.")
	a.err.Line("Tenant %s, home %s (boundary %s), contract with %s. Beside a new tenant's, where all is sealed and nothing leaves, it:", doc.Tenant,
		a.err.Bold(screen.Clean(string(doc.HomeRegion))), screen.Clean(string(doc.Boundary)), screen.Clean(doc.ContractingEntity))
	for _, f := range fields {
		a.err.Line("  %s", a.plainly(f))
	}
	if len(fields) == 0 {
		a.err.Line("  is the same")
	}
}

// signWorkingKeys signs, with a signing key that is about to be enrolled, each API key
// that would stop working without; or that there is none. It asks when it has shown
// anything, the policy of --first included.
func (a *app) signWorkingKeys(ctx context.Context, cp *client.Control, who *signatory, o enrolFlags) ([]*controlv1.ApiKeySignature, error) {
	tenant := string(who.pin.Tenant)
	enrolled, err := cp.SigningKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all, err := cp.Keys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(k *controlv1.Key) bool {
		return k.GetRole() == string(policy.RoleIngest) || k.GetSigning() == "refused"
	})
	number, err := nextKeyNumber(enrolled, time.Now())
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		a.err.Line("From now on nodes take an API key above ingest only when this signing key has signed it. It signs these, so that they go on working:")
		a.sayKeys(all)
	}
	if (len(all) > 0 || o.first) && !o.yes && !a.confirmed("Type sign to sign exactly this: ", "sign") {
		return nil, errors.New("nothing was signed or sent; repeat the command to look again")
	}
	if len(all) == 0 {
		sig := policy.Sign(who.key, policy.KeyStatement(who.pin.Cluster, who.pin.Tenant, number, policy.NoKey))
		return []*controlv1.ApiKeySignature{{Number: number, Signature: control.SignatureOf(sig)}}, nil
	}
	out := make([]*controlv1.ApiKeySignature, 0, len(all))
	for _, k := range all {
		sig, err := who.signAPIKey(number, k)
		if err != nil {
			return nil, err
		}
		out = append(out, &controlv1.ApiKeySignature{Key: k.GetId(), Number: number, Signature: sig})
	}
	return out, nil
}
