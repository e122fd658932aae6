package policy

import (
	"time"
)

// Rules is a tenant's policy compiled flat, so that a decision neither
// allocates nor looks anything up in a map. It is immutable.
type Rules struct {
	Tenant   TenantID
	Revision uint64
	*Terms
}

// Terms is what tenants of equal policies have in common. It is immutable.
type Terms struct {
	Home         RegionID
	Boundary     Boundary
	HomeEpoch    uint64
	State        TenantState
	MaxStaleness time.Duration
	MinAttest    Attestation
	modes        [numDataClasses]Mode // 0: no rule
	retention    [numDataClasses]Seconds
	egress       [numEgressClasses]EgressRule
	consent      [numDataClasses]bool // some purpose needs consent
	recipients   []Recipient
	withheld     bool // the node was not given the policy
}

// Compile flattens a policy. The policy must have passed Validate.
func Compile(p *ResidencyPolicy, state TenantState) *Rules {
	t := &Terms{
		Home: p.HomeRegion, Boundary: p.Boundary, HomeEpoch: p.HomeEpoch,
		State: state, MaxStaleness: p.MaxStaleness.Duration(), MinAttest: p.MinAttestation,
	}
	for c, rule := range p.Classes {
		if c.Valid() {
			t.modes[c], t.retention[c] = rule.Mode, rule.Retention
		}
	}
	for e, rule := range p.Egress {
		if e > 0 && e < numEgressClasses {
			t.egress[e] = rule
		}
	}
	for c, purposes := range p.Consent {
		if c.Valid() {
			t.consent[c] = len(purposes) > 0
		}
	}
	if !p.Recipients.DenyAll {
		t.recipients = append(t.recipients, p.Recipients.List...)
	}
	return &Rules{Tenant: p.Tenant, Revision: p.Revision, Terms: t}
}

// Withheld are the rules of a tenant whose policy this node was not given,
// because it demands a higher level of attestation: everything is denied for
// that reason.
func Withheld(t *TenantRow) *Rules {
	return &Rules{Tenant: t.ID, Terms: &Terms{Home: t.Home, HomeEpoch: t.HomeEpoch, State: t.State, MinAttest: t.Demands, withheld: true}}
}

// Recipients lists who may receive exports.
func (r *Terms) Recipients() []Recipient { return r.recipients }

// Retention is how long data of a class is kept; 0 until it is erased, which is
// also the answer for a class without a rule and for a policy that is withheld.
// Recordings and transcripts are kept no longer than call records, whatever the
// policy says of them, because a policy of before may say more (INV21).
func (r *Terms) Retention(c DataClass) time.Duration {
	if !c.Valid() {
		return 0
	}
	return KeptFor(c, r.retention[c], r.retention[CallRecord]).Duration()
}

// Egress gives the rule of one egress class.
func (r *Terms) Egress(c EgressClass) EgressRule {
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

func (r *Terms) recipient(id RecipientID) (Recipient, bool) {
	for _, x := range r.recipients {
		if x.ID == id {
			return x, true
		}
	}
	return Recipient{}, false
}

// Set is an immutable collection of compiled rules. The zero Set is empty and
// ready. Tenants of equal policies may share their terms, which is what keeps a
// million of them small.
type Set struct {
	revision uint64
	table    Table[entry]
}

// entry is what is a tenant's own of its rules.
type entry struct {
	terms    *Terms
	revision uint64
}

// Revision of the bundle that the set was made from.
func (s *Set) Revision() uint64 { return s.revision }

// Rules finds a tenant's rules. What is no tenant id has none.
func (s *Set) Rules(id TenantID) (Rules, bool) {
	if s == nil {
		return Rules{}, false
	}
	b, ok := KindTenant.Bits(string(id))
	if !ok {
		return Rules{}, false
	}
	e := s.table.Get(b)
	if e == nil {
		return Rules{}, false
	}
	return Rules{Tenant: id, Revision: e.revision, Terms: e.terms}, true
}

// At is the same set as of a later revision.
func (s *Set) At(revision uint64) *Set {
	if s == nil {
		return &Set{revision: revision}
	}
	return &Set{revision: revision, table: s.table}
}

// Len counts tenants.
func (s *Set) Len() int { return s.table.Len() }

// With returns a copy at revision in which changed rules replace or add, and
// removed tenants are gone.
func (s *Set) With(revision uint64, changed []*Rules, removed []TenantID) *Set {
	x := s.Edit()
	for _, id := range removed {
		x.Remove(id)
	}
	for _, r := range changed {
		x.Put(*r)
	}
	return x.Set(revision)
}

// SetEdit changes a copy of a set. It is not safe for concurrent use.
type SetEdit struct{ table *TableEdit[entry] }

// Edit begins a copy; s may be nil.
func (s *Set) Edit() *SetEdit {
	if s == nil {
		s = &Set{}
	}
	return &SetEdit{s.table.Edit()}
}

// Put adds or replaces a tenant's rules; rules of what is no tenant id are
// passed over, because nobody could ask for them.
func (x *SetEdit) Put(r Rules) {
	if b, ok := KindTenant.Bits(string(r.Tenant)); ok {
		x.table.Put(b, entry{r.Terms, r.Revision})
	}
}

// Remove takes a tenant's rules out.
func (x *SetEdit) Remove(id TenantID) {
	if b, ok := KindTenant.Bits(string(id)); ok {
		x.table.Delete(b)
	}
}

// Set ends the edit, which must not be used again.
func (x *SetEdit) Set(revision uint64) *Set { return &Set{revision: revision, table: x.table.Table()} }
