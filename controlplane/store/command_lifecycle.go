package store

import (
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// SetTenantState suspends a tenant or resumes it. Result body: Tenant.
//
// Refusals: NOT_FOUND, ETAG_MISMATCH (IfMatch may be ""), DESTROYED (it ends),
// INVALID_ARGUMENT (another state).
type SetTenantState struct {
	ID      policy.TenantID    `json:"id"`
	State   policy.TenantState `json:"state"` // active or suspended
	IfMatch string             `json:"if_match,omitempty"`
}

// PurgeTenant orders the nodes of a tenant's home, and of its recipients'
// regions, to destroy everything of it. Keys, policy and pending changes go at
// once. Nodes are those whose receipts are waited for. Repeated while it runs,
// it changes nothing but that Delete may be added. Result body: Tenant.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH, INVALID_ARGUMENT,
// APPROVAL_REQUIRED (the tenant signs, and the signatures do not end it),
// DESTROYED (it is deleted).
type PurgeTenant struct {
	ID         policy.TenantID    `json:"id"`
	IfMatch    string             `json:"if_match"`
	Operation  string             `json:"operation"` // OP…
	Delete     bool               `json:"delete"`    // when everything is destroyed
	Signatures []policy.Signature `json:"signatures,omitempty"`
	Nodes      []PurgeNode        `json:"nodes"`
}

// RecordPurge keeps a node's receipt; the proposer has verified its signature by
// the certificate of the connection. The last one that is waited for ends the
// purge. Result body: Tenant.
//
// Refusals: NOT_FOUND (no such order), INVALID_ARGUMENT, OVERLOADED.
type RecordPurge struct {
	Receipt   policy.PurgeReceipt `json:"receipt"`
	SHA256    string              `json:"sha256"`    // hex, of its statement
	Signature string              `json:"signature"` // base64
}

// ExcuseNode takes a node out of those whose receipts are waited for: it is gone
// with its disk, and was evicted, so that it cannot come back by itself. Should
// somebody admit it anew, it meets the order all the same. Result body: Tenant.
//
// Refusals: NOT_FOUND (tenant), ALREADY_EXISTS (the node is not waited for),
// INVALID_ARGUMENT (the node is not evicted).
type ExcuseNode struct {
	Tenant policy.TenantID `json:"tenant"`
	Node   policy.NodeID   `json:"node"`
}

// DeleteTenant ends a tenant whose data is destroyed. Result body: Tenant.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH, INVALID_ARGUMENT (its
// data is not destroyed yet).
type DeleteTenant struct {
	ID      policy.TenantID `json:"id"`
	IfMatch string          `json:"if_match"`
}

func (SetTenantState) kind() Kind { return KindSetTenantState }
func (PurgeTenant) kind() Kind    { return KindPurgeTenant }
func (RecordPurge) kind() Kind    { return KindRecordPurge }
func (DeleteTenant) kind() Kind   { return KindDeleteTenant }
func (ExcuseNode) kind() Kind     { return KindExcuseNode }

func (p SetTenantState) subject() (audit.Action, string) {
	if p.State == policy.TenantSuspended {
		return "tenant.suspend", string(p.ID)
	}
	return "tenant.resume", string(p.ID)
}
func (p PurgeTenant) subject() (audit.Action, string) { return "tenant.purge", string(p.ID) }
func (p RecordPurge) subject() (audit.Action, string) {
	return "tenant.receipt", string(p.Receipt.Tenant)
}
func (p DeleteTenant) subject() (audit.Action, string) { return "tenant.delete", string(p.ID) }
func (p ExcuseNode) subject() (audit.Action, string)   { return "tenant.excuse", string(p.Node) }

// handleLifecycle dispatches the commands of this file, and hands on the others.
func (e *entry) handleLifecycle(p Payload) (any, error) {
	switch p := p.(type) {
	case SetTenantState:
		return e.setTenantState(p)
	case PurgeTenant:
		return e.purgeTenant(p)
	case RecordPurge:
		return e.recordPurge(p)
	case DeleteTenant:
		return e.deleteTenant(p)
	case ExcuseNode:
		return e.excuseNode(p)
	}
	return e.handleMember(p)
}
