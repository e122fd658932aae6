package store

import (
	"time"

	"github.com/domicile-io/domicile/policy"
)

// NodeState is a data-plane node's stage of life.
type NodeState string

// The states of a node.
const (
	NodeRequested NodeState = "requested" // it came with a right certificate and waits for a person
	NodeAdmitted  NodeState = "admitted"
	NodeEvicted   NodeState = "evicted" // refused for ever, unless a person admits it anew
)

// Node is a data-plane node as admitted to its region.
type Node struct {
	ID         policy.NodeID         `json:"id"`
	Region     policy.RegionID       `json:"region"` // "" of one that was evicted before it was seen
	State      NodeState             `json:"state"`
	Level      policy.Attestation    `json:"level"`               // that was verified when it was written
	Admission  *policy.NodeAdmission `json:"admission,omitempty"` // the root's word, verified by the proposer
	Instance   string                `json:"instance,omitempty"`  // cloud's id of its machine, i-…; no other node may have it
	Account    string                `json:"account,omitempty"`   // cloud account, 12 digits
	SeenAt     time.Time             `json:"seen_at"`             // first; stamped, UTC
	AdmittedAt *time.Time            `json:"admitted_at,omitempty"`
	EvictedAt  *time.Time            `json:"evicted_at,omitempty"`
	By         string                `json:"by"`               // who last changed it
	Reason     string                `json:"reason,omitempty"` // of an eviction, of a closed list
	ETag       string                `json:"etag"`
}

// Admits reports whether the node may have its region's bundle.
func (n Node) Admits() bool { return n.State == NodeAdmitted }

// row is what the region's bundle says of the node; nil when it is no more than
// declared, so that a cluster that demands nothing ships nothing.
func (n Node) row() *policy.NodeRow {
	if !n.Admits() || n.Level <= policy.Declared {
		return nil
	}
	return &policy.NodeRow{ID: n.ID, Region: n.Region, Level: n.Level, Admission: n.Admission}
}

// AdmissionMode says how a region takes nodes.
type AdmissionMode string

// The modes of admission.
const (
	AdmitAutomatic AdmissionMode = "automatic" // a right certificate is enough, for level declared
	AdmitExplicit  AdmissionMode = "explicit"  // a person admits each node
)

// NodeAdmission is a region's mode of admission.
type NodeAdmission struct {
	Region policy.RegionID `json:"region"`
	Mode   AdmissionMode   `json:"mode"`
	ETag   string          `json:"etag"`
}

// ViolationState is a violation's stage of life.
type ViolationState string

// The states of a violation.
const (
	ViolationOpen         ViolationState = "open"
	ViolationAcknowledged ViolationState = "acknowledged" // a person knows; it still holds
	ViolationResolved     ViolationState = "resolved"     // its cause is gone
)

// Violation is something that was seen to be against the rules. There is at
// most one that is not resolved for each category and resource.
type Violation struct {
	ID        string         `json:"id"` // VI…
	State     ViolationState `json:"state"`
	Category  string         `json:"category"` // LOCATION, ACCESS, ENCRYPTION, EGRESS, STALENESS, ATTESTATION
	Cause     string         `json:"cause"`    // of the latest sighting, of a closed list of the proposer
	Resource  string         `json:"resource"` // what it is about: a node's id, a region
	Revision  uint64         `json:"revision"` // that the resource was at
	FirstSeen time.Time      `json:"first_seen"`
	LastSeen  time.Time      `json:"last_seen"`
	Count     uint64         `json:"count"` // sightings

	AcknowledgedBy string     `json:"acknowledged_by,omitempty"` // PR…
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"`
	ReasonCode     string     `json:"reason_code,omitempty"` // of a closed list
	ResolvedAt     *time.Time `json:"resolved_at,omitempty"`
	ETag           string     `json:"etag"`
}
