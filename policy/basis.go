package policy

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"sort"
	"time"
)

// BasisState is whether a transfer basis may be relied on.
type BasisState string

// The states of a transfer basis. That one has run out is judged by the time
// of the request, whatever its state says.
const (
	BasisActive  BasisState = "active"
	BasisRevoked BasisState = "revoked"
	BasisExpired BasisState = "expired"
)

// Valid reports whether s is one of the closed list.
func (s BasisState) Valid() bool { return s == BasisActive || s == BasisRevoked || s == BasisExpired }

// NoTransfer is the basis of what does not leave the boundary.
const NoTransfer = "NONE"

// TransferBasis is a legal basis under which data may cross a border, as every
// region knows it. Grant is what the holder of the operator's root signed when
// the basis was last opened; nil while it is as the cluster began with it.
type TransferBasis struct {
	ID        string      `json:"id"` // e.g. ADEQUACY-DPF
	State     BasisState  `json:"state"`
	ExpiresAt *time.Time  `json:"expires_at,omitempty"` // UTC; nil: no expiry
	Grant     *BasisGrant `json:"grant,omitempty"`
}

// BasisGrant opens a basis: signed offline, because to open one lets data of
// many tenants leave that a moment before could not.
type BasisGrant struct {
	Until     *time.Time `json:"until,omitempty"` // UTC; nil: no expiry
	Sequence  uint64     `json:"sequence"`        // each grant of a basis has the next, so that none counts twice
	Signature Signature  `json:"signature"`       // the operator root's over BasisStatement
}

// BasisStatement is what a grant signs.
func BasisStatement(cluster, basis string, until *time.Time, sequence uint64) []byte {
	end := "never"
	if until != nil {
		end = until.UTC().Format(time.RFC3339)
	}
	return fmt.Appendf(nil, "domicile transfer basis v1\n%s\n%s\n%s\n%d\n", cluster, basis, end, sequence)
}

// Verify checks the grant's signature.
func (g *BasisGrant) Verify(cluster, basis string, root ed25519.PublicKey) error {
	if err := VerifySignature(root, BasisStatement(cluster, basis, g.Until, g.Sequence), g.Signature); err != nil {
		return fmt.Errorf("grant of transfer basis %s: %w", basis, err)
	}
	return nil
}

// sequence of the last grant; 0 without one.
func (b *TransferBasis) sequence() uint64 {
	if b == nil || b.Grant == nil {
		return 0
	}
	return b.Grant.Sequence
}

// NextGrant is the sequence that the next grant of the basis names; b may be nil.
func (b *TransferBasis) NextGrant() uint64 { return b.sequence() + 1 }

// Loosens reports whether b lets go what old (nil: there was none) did not: a
// basis that is open again, or for longer.
func (b *TransferBasis) Loosens(old *TransferBasis) bool {
	if b.State != BasisActive {
		return false
	}
	if old == nil || old.State != BasisActive {
		return true
	}
	return later(b.ExpiresAt, old.ExpiresAt)
}

// later compares two ends; nil is never.
func later(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == nil && b != nil
	}
	return a.After(*b)
}

// Granted reports why the basis is open for longer than its grant says, or was
// opened without a new one; nil when it is not.
func (b *TransferBasis) Granted(old *TransferBasis) error {
	switch {
	case b.sequence() < old.sequence():
		return fmt.Errorf("transfer basis %s: its grant is older than the one before", b.ID)
	case b.Loosens(old) && b.sequence() <= old.sequence():
		return fmt.Errorf("transfer basis %s was opened without a new grant", b.ID)
	case b.Grant != nil && b.State == BasisActive && later(b.ExpiresAt, b.Grant.Until):
		return fmt.Errorf("transfer basis %s is open for longer than was granted", b.ID)
	}
	return nil
}

// VerifyBasis holds a basis against the one that a node has (nil: none) and the
// pinned root, so that whoever stole the control plane cannot open what was
// revoked. What a node meets first, without a grant, it believes: the cluster
// began with it.
func VerifyBasis(cluster string, root ed25519.PublicKey, old, next *TransferBasis) error {
	switch {
	case next.ExpiresAt != nil && next.ExpiresAt.IsZero():
		return errors.New("a transfer basis has a zero expiry")
	case next.Grant != nil:
		if err := next.Grant.Verify(cluster, next.ID, root); err != nil {
			return err
		}
	case old == nil:
		return nil
	}
	if old == nil {
		old = &TransferBasis{ID: next.ID}
	}
	return next.Granted(old)
}

// WithBases gives a topology that also knows these transfer bases, and no others.
func (t *Topology) WithBases(bases []TransferBasis) *Topology {
	next := &Topology{}
	if t != nil {
		*next = *t
	}
	next.bases = make(map[string]TransferBasis, len(bases))
	for _, b := range bases {
		next.bases[b.ID] = b
	}
	return next
}

// Basis finds a transfer basis.
func (t *Topology) Basis(id string) (TransferBasis, bool) {
	if t == nil {
		return TransferBasis{}, false
	}
	b, ok := t.bases[id]
	return b, ok
}

// Bases lists the transfer bases, ordered by id.
func (t *Topology) Bases() []TransferBasis {
	if t == nil {
		return nil
	}
	out := make([]TransferBasis, 0, len(t.bases))
	for _, b := range t.bases {
		out = append(out, b)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// BasisRefusal is the rule by which nothing may go under a basis at this time;
// 0 when it may. A basis that nobody knows is doubt, which waits; one that was
// revoked or has run out is an answer.
func (t *Topology) BasisRefusal(id string, now time.Time) RuleCode {
	b, ok := t.Basis(id)
	switch {
	case !ok:
		return RuleBasisUnknown
	case b.State == BasisRevoked:
		return RuleBasisRevoked
	case b.State != BasisActive, b.ExpiresAt != nil && !now.Before(*b.ExpiresAt):
		return RuleBasisExpired
	}
	return 0
}

// Flow is one way in which data leaves under a basis.
type Flow struct {
	Egress    EgressClass
	Recipient RecipientID // "" where the class has none
	To        RegionID
	Purpose   string
}

// exports reports whether exports may leave by the class at all.
func (c EgressClass) exports() bool { return c == PseudonymisedExport || c == Aggregate }

// FlowsOn lists what a policy lets leave under a basis, in order of egress
// class, then as the policy lists its recipients.
func (p *ResidencyPolicy) FlowsOn(basis string) (flows []Flow) {
	for c := range ascending(p.Egress) {
		rule := p.Egress[c]
		if rule.Basis != basis || rule.Effect == Deny || rule.Effect == 0 {
			continue
		}
		if !c.exports() {
			flows = append(flows, Flow{Egress: c})
			continue
		}
		for _, r := range p.Recipients.List {
			flows = append(flows, Flow{Egress: c, Recipient: r.ID, To: r.Region, Purpose: r.Purpose})
		}
	}
	return flows
}
