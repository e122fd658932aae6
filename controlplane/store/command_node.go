package store

import (
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// The kinds of nodes and violations, since format 3.
const (
	KindRegisterNode     Kind = 35
	KindAdmitNode        Kind = 36
	KindEvictNode        Kind = 37
	KindSettleViolation  Kind = 38
	KindPutNodeAdmission Kind = 39
)

// RegisterNode notes a node that came with a right certificate of its region.
// The region's mode decides whether that admits it, at level declared. With an
// instance, whose document the proposer has verified, an admitted node is
// cloud_signed, and the instance is this node's for ever. Result body: Node.
//
// Refusals: NOT_FOUND (region), PERMISSION_DENIED (evicted; of another region),
// ALREADY_EXISTS (the instance is another node's), OVERLOADED (too many nodes),
// INVALID_ARGUMENT.
type RegisterNode struct {
	ID       policy.NodeID   `json:"id"`
	Region   policy.RegionID `json:"region"`
	Instance string          `json:"instance,omitempty"`
	Account  string          `json:"account,omitempty"` // with an instance
}

// AdmitNode admits a node, whether it has come yet or not. Admission, which the
// proposer has verified, makes it operator_signed; without one it is declared.
// A level that a document proved stays. A node that is admitted so already stays
// as it is. Result body: Node.
//
// Refusals: NOT_FOUND (region), ETAG_MISMATCH (IfMatch may be ""),
// IF_MATCH_REQUIRED (it is evicted), RESOURCE_REGION_MISMATCH, OVERLOADED,
// INVALID_ARGUMENT (malformed; the root signed before the eviction).
type AdmitNode struct {
	ID        policy.NodeID         `json:"id"`
	Region    policy.RegionID       `json:"region"`
	Admission *policy.NodeAdmission `json:"admission,omitempty"`
	IfMatch   string                `json:"if_match,omitempty"`
}

// EvictNode ends a node's admission: it is refused from then on. One that was
// never seen is refused when it comes, so that a restore can repeat an eviction
// of a node that its backup does not know. Result body: Node.
//
// Refusals: ETAG_MISMATCH (IfMatch may be ""), OVERLOADED, INVALID_ARGUMENT. An
// evicted node stays as it is.
type EvictNode struct {
	ID      policy.NodeID `json:"id"`
	Reason  string        `json:"reason"` // COMPROMISED, LOST, REPLACED, DECOMMISSIONED
	IfMatch string        `json:"if_match,omitempty"`
}

// SettleViolation notes sightings of a violation (open), that a person knows of
// it (acknowledged), or that its cause is gone (resolved). A sighting opens one
// under ID unless one of the category and resource is there already; within a
// minute of the last one it changes nothing. Result body: Violation, or none
// when there was nothing to resolve.
//
// Refusals: NOT_FOUND, ETAG_MISMATCH (IfMatch may be "") and ALREADY_EXISTS (it
// is resolved) of an acknowledgement; INVALID_ARGUMENT.
type SettleViolation struct {
	To         ViolationState `json:"to"`
	ID         string         `json:"id,omitempty"`       // of a new one, or the one to acknowledge
	Category   string         `json:"category,omitempty"` // with open and resolved
	Resource   string         `json:"resource,omitempty"` // with open and resolved
	Cause      string         `json:"cause,omitempty"`    // with open
	Revision   uint64         `json:"revision,omitempty"` // with open
	Count      uint64         `json:"count,omitempty"`    // sightings since the last command; with open
	ReasonCode string         `json:"reason_code,omitempty"`
	IfMatch    string         `json:"if_match,omitempty"`
}

// PutNodeAdmission sets how a region takes nodes. Nodes that are admitted stay.
// Result body: NodeAdmission.
//
// Refusals: NOT_FOUND (region), IF_MATCH_REQUIRED, ETAG_MISMATCH (it was set
// before), INVALID_ARGUMENT.
type PutNodeAdmission struct {
	Region  policy.RegionID `json:"region"`
	Mode    AdmissionMode   `json:"mode"`
	IfMatch string          `json:"if_match,omitempty"`
}

func (RegisterNode) kind() Kind     { return KindRegisterNode }
func (AdmitNode) kind() Kind        { return KindAdmitNode }
func (EvictNode) kind() Kind        { return KindEvictNode }
func (SettleViolation) kind() Kind  { return KindSettleViolation }
func (PutNodeAdmission) kind() Kind { return KindPutNodeAdmission }

func (p RegisterNode) subject() (audit.Action, string) { return "node.register", string(p.ID) }
func (p AdmitNode) subject() (audit.Action, string)    { return "node.admit", string(p.ID) }
func (p EvictNode) subject() (audit.Action, string)    { return "node.evict", string(p.ID) }
func (p PutNodeAdmission) subject() (audit.Action, string) {
	return "node_admission.put", string(p.Region)
}

func (p SettleViolation) subject() (audit.Action, string) {
	switch p.To {
	case ViolationAcknowledged:
		return "violation.acknowledge", p.ID
	case ViolationResolved:
		return "violation.resolve", p.Resource
	}
	return "violation.open", p.Resource
}

// changesNodes reports whether commands of the kind change who may subscribe. A
// node that comes changes nothing for those that are there.
func (k Kind) changesNodes() bool {
	return k == KindAdmitNode || k == KindEvictNode
}
