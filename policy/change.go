package policy

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// ChangeKind says which way a change of a policy goes.
type ChangeKind uint8

// The kinds, from harmless to dangerous; a change is as bad as its worst field.
const (
	Neutral ChangeKind = iota + 1
	Tighten
	Loosen
	numChangeKinds = iota + 1
)

var changeKindNames = [numChangeKinds]string{Neutral: "neutral", Tighten: "tighten", Loosen: "loosen"}

func (k ChangeKind) String() string                { return nameOf(changeKindNames[:], uint8(k)) }
func (k ChangeKind) MarshalText() ([]byte, error)  { return marshalName(changeKindNames[:], uint8(k)) }
func (k *ChangeKind) UnmarshalText(b []byte) error { return parseInto(k, changeKindNames[:], b) }

// FieldChange is one changed field by its JSON path. From and To are the values
// of a closed list, ids, codes or numbers, at most 128 bytes; "" is absent.
type FieldChange struct {
	Field string     `json:"field"`
	Kind  ChangeKind `json:"effect"`
	From  string     `json:"from"`
	To    string     `json:"to"`
}

// Classify compares two policies field by field. Tightening may apply at once;
// a loosening one must never apply without approval. What cannot be ranked, and
// whatever a move alone may change (home, boundary, epoch), counts as loosening.
// Revision and signatures are not rules and are not compared. The changes come
// in a stable order.
func Classify(from, to *ResidencyPolicy) (ChangeKind, []FieldChange) {
	if from == nil || to == nil {
		return Loosen, []FieldChange{{Field: "policy", Kind: Loosen}}
	}
	var c changes
	c.differ("tenant", string(from.Tenant), string(to.Tenant), Loosen)
	c.differ("home_region", string(from.HomeRegion), string(to.HomeRegion), Loosen)
	c.differ("boundary", string(from.Boundary), string(to.Boundary), Loosen)
	c.differ("home_epoch", number(from.HomeEpoch), number(to.HomeEpoch), Loosen)
	c.differ("contracting_entity", from.ContractingEntity, to.ContractingEntity, Loosen)
	c.classes(from.Classes, to.Classes)
	c.rank("on_region_unavailable", cmp.Compare(from.OnUnavailable, to.OnUnavailable), from.OnUnavailable.String(), to.OnUnavailable.String())
	c.egress(from.Egress, to.Egress)
	c.recipients(from.Recipients, to.Recipients)
	c.access(from.Access, to.Access)
	c.consent(from.Consent, to.Consent)
	c.seconds("max_policy_staleness", from.MaxStaleness, to.MaxStaleness)
	c.rank("min_attestation", cmp.Compare(to.MinAttestation, from.MinAttestation), from.MinAttestation.String(), to.MinAttestation.String())
	if from.AllowRegionChange != to.AllowRegionChange {
		c.add("allow_region_change", looser(to.AllowRegionChange), strconv.FormatBool(from.AllowRegionChange), strconv.FormatBool(to.AllowRegionChange))
	}
	worst := Neutral
	for _, f := range c {
		worst = max(worst, f.Kind)
	}
	return worst, c
}

// changes collects; each method compares one shape of field.
type changes []FieldChange

func (c *changes) add(field string, kind ChangeKind, from, to string) {
	*c = append(*c, FieldChange{Field: field, Kind: kind, From: from, To: to})
}

// differ adds kind when the texts differ.
func (c *changes) differ(field, from, to string, kind ChangeKind) {
	if from != to {
		c.add(field, kind, from, to)
	}
}

// rank adds what an order says: below zero the new value is the looser one.
func (c *changes) rank(field string, order int, from, to string) {
	if order != 0 {
		c.add(field, looser(order < 0), from, to)
	}
}

// seconds compares lengths of time of which the longer is looser. Zero is no
// valid value and ranks nowhere, so any change from or to it loosens.
func (c *changes) seconds(field string, from, to Seconds) {
	if from <= 0 || to <= 0 {
		c.differ(field, number(from), number(to), Loosen)
		return
	}
	c.rank(field, cmp.Compare(from, to), number(from), number(to))
}

func looser(yes bool) ChangeKind {
	if yes {
		return Loosen
	}
	return Tighten
}

// classes: a class without a rule is denied.
func (c *changes) classes(from, to map[DataClass]ClassRule) {
	for class := range ascending(from, to) {
		a, had := from[class]
		b, has := to[class]
		if had == has && a == b {
			continue
		}
		field := "classes." + class.String()
		switch {
		case had && !has:
			c.add(field, Tighten, a.Mode.String(), "")
		case !had && has:
			c.add(field, Loosen, "", b.Mode.String())
		default:
			c.class(field, a, b)
		}
	}
}

// class names fields only where they differ: a change has one, mostly.
func (c *changes) class(field string, a, b ClassRule) {
	if a.Mode != b.Mode {
		c.mode(field+".mode", a.Mode, b.Mode)
	}
	if a.Retention != b.Retention {
		c.rank(field+".retention", cmp.Compare(kept(a), kept(b)), number(a.Retention), number(b.Retention))
	}
	if a.RedactProfile != b.RedactProfile { // another profile may show more; a first one can only hide
		c.differ(field+".redact_profile", a.RedactProfile, b.RedactProfile, looser(a.RedactProfile != ""))
	}
}

// mode: only sealed and restricted can be ranked. Under replicated nothing is
// allowed until it is built, so even leaving it would open something.
func (c *changes) mode(field string, from, to Mode) {
	known := func(m Mode) bool { return m == Sealed || m == Restricted }
	if known(from) && known(to) {
		c.rank(field, cmp.Compare(from, to), from.String(), to.String())
		return
	}
	c.differ(field, from.String(), to.String(), Loosen)
}

// kept is how long a class is kept; 0 keeps until erased, the longest there is.
func kept(r ClassRule) Seconds {
	if r.Retention == 0 {
		return math.MaxInt64
	}
	return r.Retention
}

// egress: a class without a rule is denied, so both ways of denying are equal.
func (c *changes) egress(from, to map[EgressClass]EgressRule) {
	for class := range ascending(from, to) {
		a, b := denyIfAbsent(from, class), denyIfAbsent(to, class)
		if a == b {
			continue
		}
		field := "egress." + class.String()
		rankA, rankB := egressRank[a.Effect], egressRank[b.Effect]
		if rankA == 0 || rankB == 0 {
			c.differ(field+".effect", a.Effect.String(), b.Effect.String(), Loosen)
		} else {
			c.rank(field+".effect", cmp.Compare(rankA, rankB), a.Effect.String(), b.Effect.String())
		}
		if a.Effect == b.Effect {
			c.rank(field+".per_day", cmp.Compare(a.PerDay, b.PerDay), number(a.PerDay), number(b.PerDay))
		}
		kind := Loosen
		if b.Effect == Deny {
			kind = Neutral // nothing leaves under the new rule
		}
		c.differ(field+".basis", a.Basis, b.Basis, kind)
	}
}

// egressRank orders what the effects let out; an unknown effect ranks nowhere.
var egressRank = map[Effect]int{Deny: 1, Cap: 2, Allow: 3}

func denyIfAbsent(m map[EgressClass]EgressRule, class EgressClass) EgressRule {
	if r, ok := m[class]; ok {
		return r
	}
	return EgressRule{Effect: Deny}
}

func (c *changes) recipients(from, to Recipients) {
	if from.DenyAll != to.DenyAll {
		c.add("recipients.deny_all", looser(!to.DenyAll), strconv.FormatBool(from.DenyAll), strconv.FormatBool(to.DenyAll))
	}
	old, rest := byID(from.List), byID(to.List)
	for _, a := range from.List {
		if _, stays := rest[a.ID]; !stays {
			c.add("recipients."+string(a.ID), Tighten, string(a.Region), "")
		}
	}
	for _, b := range to.List {
		a, had := old[b.ID]
		if !had {
			c.add("recipients."+string(b.ID), Loosen, "", string(b.Region))
			continue
		}
		c.recipient("recipients."+string(b.ID), a, b)
	}
	if len(old) != len(from.List) || len(rest) != len(to.List) {
		c.add("recipients.list", Loosen, number(len(from.List)), number(len(to.List))) // an id stands twice: which one holds is doubtful
	}
}

func (c *changes) recipient(field string, a, b Recipient) {
	c.differ(field+".region", string(a.Region), string(b.Region), Loosen)
	c.differ(field+".purpose", a.Purpose, b.Purpose, Loosen)
	c.differ(field+".transforms", a.Transforms, b.Transforms, Loosen)
	c.rank(field+".threshold", cmp.Compare(b.Threshold, a.Threshold), number(a.Threshold), number(b.Threshold))
	c.rank(field+".colluding", cmp.Compare(b.Colluding, a.Colluding), number(a.Colluding), number(b.Colluding))
	c.differ(field+".assessment_hash", a.AssessmentHash, b.AssessmentHash, Loosen)
	c.rank(field+".assessment_expiry", a.AssessmentExpiry.Compare(b.AssessmentExpiry), timeText(a), timeText(b))
}

// scopeWidths ranks how much one grant may open; a greater one is looser.
var scopeWidths = map[string]int{"record": 1, "call": 2, "day": 3}

func (c *changes) access(from, to AccessRule) {
	c.differ("access.approval", from.Approval, to.Approval, Loosen)
	c.set("access.allowed_reasons", from.AllowedReasons, to.AllowedReasons, Loosen)
	c.differ("access.approver_boundary", string(from.ApproverBoundary), string(to.ApproverBoundary), Loosen)
	c.seconds("access.max_duration", from.MaxDuration, to.MaxDuration)
	a, b := scopeWidths[from.ScopeWidth], scopeWidths[to.ScopeWidth]
	if a == 0 || b == 0 {
		c.differ("access.scope_width", from.ScopeWidth, to.ScopeWidth, Loosen)
		return
	}
	c.rank("access.scope_width", cmp.Compare(a, b), from.ScopeWidth, to.ScopeWidth)
}

// consent: every required purpose is a restriction.
func (c *changes) consent(from, to map[DataClass][]string) {
	for class := range ascending(from, to) {
		c.set("consent."+class.String(), from[class], to[class], Tighten)
	}
}

// set compares two sets of codes; added says what adding one does, and taking
// one away does the opposite. Order and repeats mean nothing.
func (c *changes) set(field string, from, to []string, added ChangeKind) {
	removed := looser(added == Tighten)
	for _, s := range from {
		if !slices.Contains(to, s) {
			c.add(field, removed, clip(s), "")
		}
	}
	for _, s := range to {
		if !slices.Contains(from, s) {
			c.add(field, added, "", clip(s))
		}
	}
}

func byID(list []Recipient) map[RecipientID]Recipient {
	m := make(map[RecipientID]Recipient, len(list))
	for _, r := range list {
		m[r.ID] = r
	}
	return m
}

func number[T ~int | ~int64 | ~uint64](n T) string {
	if n < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(uint64(n), 10)
}

func timeText(r Recipient) string { return r.AssessmentExpiry.UTC().Format(time.RFC3339Nano) }
