package store

import (
	"time"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// PutBasis adds a transfer basis (IfMatch "") or changes one. What opens it, or
// keeps it open for longer, needs the next grant; the proposer has verified its
// signature by the operator's root, which Apply does not know and every node
// verifies again. Result body: Basis.
//
// Refusals: IF_MATCH_REQUIRED (it exists), ETAG_MISMATCH, INVALID_ARGUMENT,
// LOOSENING_NEEDS_APPROVAL (no new grant; its sequence is in the metadata).
type PutBasis struct {
	ID        string             `json:"id"`
	State     policy.BasisState  `json:"state"`
	ExpiresAt *time.Time         `json:"expires_at,omitempty"`
	Grant     *policy.BasisGrant `json:"grant,omitempty"` // nil keeps the one there is
	IfMatch   string             `json:"if_match,omitempty"`
}

// DrillBasis notes when a revocation was tried out. It changes nothing that any
// region sees. Result body: Basis.
//
// Refusals: NOT_FOUND.
type DrillBasis struct {
	ID string `json:"id"`
}

// PutFeature says how far a feature is in a region (IfMatch "" adds one).
// Result body: Feature.
//
// Refusals: NOT_FOUND (region), IF_MATCH_REQUIRED (it exists), ETAG_MISMATCH,
// INVALID_ARGUMENT (malformed; taken away though tenants at home there use it,
// whose number is in the metadata).
type PutFeature struct {
	Feature Feature `json:"feature"`
	IfMatch string  `json:"if_match,omitempty"`
}

// PutEntity says who contracts with customers of a billing country (IfMatch ""
// adds one). Tenants keep theirs until they are re-contracted. Result body:
// Entity.
//
// Refusals: IF_MATCH_REQUIRED (it exists), ETAG_MISMATCH, INVALID_ARGUMENT.
type PutEntity struct {
	Entity  Entity `json:"entity"`
	IfMatch string `json:"if_match,omitempty"`
}

func (PutBasis) kind() Kind   { return KindPutBasis }
func (DrillBasis) kind() Kind { return KindDrillBasis }
func (PutFeature) kind() Kind { return KindPutFeature }
func (PutEntity) kind() Kind  { return KindPutEntity }

func (p PutBasis) subject() (audit.Action, string)   { return "basis.put", p.ID }
func (p DrillBasis) subject() (audit.Action, string) { return "basis.drill", p.ID }
func (p PutFeature) subject() (audit.Action, string) {
	return "feature.put", string(p.Feature.Region)
}
func (p PutEntity) subject() (audit.Action, string) { return "entity.put", p.Entity.Country }
