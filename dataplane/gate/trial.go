package gate

import (
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Trial is a policy that somebody proposes, ready to be asked what it would
// decide. It is immutable, counts nothing and journals nothing, and gives no
// [policy.Permit]: nothing can leave under a policy that is not in force.
type Trial struct {
	tenant      policy.TenantID
	region      policy.RegionID
	set         *policy.Set
	topology    *policy.Topology
	attestation policy.Attestation
}

// Verdict is what a trial found: what stood against it, and what it would have been.
type Verdict struct {
	Denied []policy.RuleCode // every rule that denies; none: allowed
	Basis  string            // under which it would have left; "" when denied
}

// Allowed reports whether no rule denies.
func (v Verdict) Allowed() bool { return len(v.Denied) == 0 }

// Base is what an owner does not write of a tenant's policy, as it is in force
// here: the frame that a proposed policy is put into. UNAVAILABLE without a bundle.
func (g *Gate) Base(t policy.TenantID) (policy.ResidencyPolicy, error) {
	v := g.o.Feed.Current()
	if v == nil {
		return policy.ResidencyPolicy{}, noBundle()
	}
	r, ok := v.Set.Rules(t)
	if !ok {
		return policy.ResidencyPolicy{}, policy.Errorf(policy.NotFound, "this region knows no such tenant")
	}
	return policy.ResidencyPolicy{Tenant: t, HomeRegion: r.Home, Boundary: v.Topology.Boundary(r.Home), HomeEpoch: r.HomeEpoch,
		Revision:          max(r.Revision, 1),    // it is the policy of a tenant that exists
		ContractingEntity: "NOT-KNOWN-IN-REGION", // a view does not keep it, and no rule reads it
	}, nil
}

// Propose checks p as the control plane would and makes a trial of it, with the
// regions, the transfer bases and this node's attestation as they are now. The
// error is INVALID_ARGUMENT naming each bad field under prefix, or NOT_YET.
func (g *Gate) Propose(p *policy.ResidencyPolicy, prefix string) (*Trial, error) {
	v := g.o.Feed.Current()
	if v == nil {
		return nil, noBundle()
	}
	now, ok := v.Set.Rules(p.Tenant)
	if !ok {
		return nil, policy.Errorf(policy.NotFound, "this region knows no such tenant")
	}
	if bad := append(p.Validate(v.Topology), p.Outlasting(nil)...); len(bad) > 0 {
		for i := range bad {
			bad[i].Field = prefix + "." + bad[i].Field
		}
		return nil, &policy.Error{Reason: policy.InvalidArgument, Message: "the proposed policy has fields that are not valid; see the list", Fields: bad}
	}
	if e := p.NotYet(); e != nil {
		return nil, e
	}
	var none *policy.Set
	return &Trial{tenant: p.Tenant, region: g.o.Region, topology: v.Topology, attestation: g.o.Attestation(),
		set: none.With(v.Revision, []*policy.Rules{policy.Compile(p, now.State)}, nil)}, nil
}

// Ask decides q under the proposed policy as of a time. Circumstances are taken
// as good: the bundle is fresh; clock, keys, ledger and disk are sound. q's
// tenant is the trial's, whatever q says.
func (t *Trial) Ask(q Question, at time.Time) Verdict {
	d := policy.Decide(t.set, t.topology, policy.Request{Tenant: t.tenant, Op: q.Op, Class: q.Class, Region: t.region,
		Egress: q.Egress, Recipient: q.Recipient, Purpose: q.Purpose, Now: at.UTC(), Attestation: t.attestation,
		SentToday: q.SentToday, FieldsUnknown: q.FieldsUnknown})
	var out Verdict
	for _, code := range d.Reasons() {
		if code.Denies() {
			out.Denied = append(out.Denied, code)
		}
	}
	if out.Allowed() {
		out.Basis = d.Permit().Basis()
	}
	return out
}

// Tenant is whose policy is proposed.
func (t *Trial) Tenant() policy.TenantID { return t.tenant }

// Recipient finds a recipient of the proposed policy.
func (t *Trial) Recipient(id policy.RecipientID) (policy.Recipient, bool) {
	r, ok := t.set.Rules(t.tenant)
	if !ok {
		return policy.Recipient{}, false
	}
	for _, x := range r.Recipients() {
		if x.ID == id {
			return x, true
		}
	}
	return policy.Recipient{}, false
}
