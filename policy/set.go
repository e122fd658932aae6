package policy

import (
	"hash/maphash"
	"time"
)

// Rules is a tenant's policy compiled flat, so that a decision neither
// allocates nor looks anything up in a map. It is immutable.
type Rules struct {
	Tenant       TenantID
	Home         RegionID
	Boundary     Boundary
	HomeEpoch    uint64
	Revision     uint64
	State        TenantState
	MaxStaleness time.Duration
	MinAttest    Attestation
	modes        [numDataClasses]Mode // 0: no rule
	egress       [numEgressClasses]EgressRule
	consent      [numDataClasses]bool // some purpose needs consent
	recipients   []Recipient
}

// Compile flattens a policy. The policy must have passed Validate.
func Compile(p *ResidencyPolicy, state TenantState) *Rules {
	r := &Rules{
		Tenant: p.Tenant, Home: p.HomeRegion, Boundary: p.Boundary, HomeEpoch: p.HomeEpoch,
		Revision: p.Revision, State: state, MaxStaleness: p.MaxStaleness.Duration(), MinAttest: p.MinAttestation,
	}
	for c, rule := range p.Classes {
		if c.Valid() {
			r.modes[c] = rule.Mode
		}
	}
	for e, rule := range p.Egress {
		if e > 0 && e < numEgressClasses {
			r.egress[e] = rule
		}
	}
	for c, purposes := range p.Consent {
		if c.Valid() {
			r.consent[c] = len(purposes) > 0
		}
	}
	if !p.Recipients.DenyAll {
		r.recipients = append(r.recipients, p.Recipients.List...)
	}
	return r
}

// Recipients lists who may receive exports.
func (r *Rules) Recipients() []Recipient { return r.recipients }

// Egress gives the rule of one egress class.
func (r *Rules) Egress(c EgressClass) EgressRule {
	if c == 0 || c >= numEgressClasses {
		return EgressRule{Effect: Deny}
	}
	return r.egress[c]
}

// basis of an egress class by which exports leave; "" when it is closed.
func (r *Rules) basis(c EgressClass) string {
	rule := r.Egress(c)
	if !c.exports() || rule.Effect != Allow && rule.Effect != Cap {
		return ""
	}
	return rule.Basis
}

func (r *Rules) recipient(id RecipientID) (Recipient, bool) {
	for _, x := range r.recipients {
		if x.ID == id {
			return x, true
		}
	}
	return Recipient{}, false
}

const setShards = 4096

var setSeed = maphash.MakeSeed()

// Set is an immutable collection of compiled rules, sharded so that With copies
// little. The zero Set is empty and ready.
type Set struct {
	revision uint64
	shards   [setShards]map[TenantID]*Rules
}

// Revision of the bundle that the set was made from.
func (s *Set) Revision() uint64 { return s.revision }

// Rules finds a tenant's rules.
func (s *Set) Rules(id TenantID) (*Rules, bool) {
	if s == nil {
		return nil, false
	}
	r, ok := s.shards[shardOf(id)][id]
	return r, ok
}

// With returns a copy at revision in which changed rules replace or add, and
// removed tenants are gone. Only touched shards are copied.
func (s *Set) With(revision uint64, changed []*Rules, removed []TenantID) *Set {
	next := &Set{}
	if s != nil {
		*next = *s
	}
	next.revision = revision
	own := map[uint64]bool{}
	shard := func(id TenantID) map[TenantID]*Rules {
		i := shardOf(id)
		if !own[i] {
			fresh := make(map[TenantID]*Rules, len(next.shards[i])+1)
			for k, v := range next.shards[i] {
				fresh[k] = v
			}
			next.shards[i], own[i] = fresh, true
		}
		return next.shards[i]
	}
	for _, id := range removed {
		delete(shard(id), id)
	}
	for _, r := range changed {
		shard(r.Tenant)[r.Tenant] = r
	}
	return next
}

func shardOf(id TenantID) uint64 { return maphash.String(setSeed, string(id)) % setShards }
