package store

import (
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// The kinds of commands about the members of the cluster.
const (
	KindInvite       Kind = 20
	KindJoin         Kind = 21
	KindPutMember    Kind = 22
	KindRemoveMember Kind = 23
	KindRaiseVersion Kind = 24
)

// Invite keeps the hash of a join token. A newer invitation of the same name
// replaces an older one. Result body: Invitation.
//
// Refusals: ALREADY_EXISTS (the member is present), OVERLOADED (too many wait),
// INVALID_ARGUMENT.
type Invite struct {
	ClusterID  string     `json:"cluster_id"` // for the audit log: an invitation has no id of its own
	Invitation Invitation `json:"invitation"`
}

// Join makes a member of whoever holds an invitation's token, and uses that up.
// Sent again by the same member with the same token it does nothing more.
// Result body: Member.
//
// Refusals: PERMISSION_DENIED (no such invitation, or expired, or of another
// name; the program is older than the cluster), ALREADY_EXISTS (name, certificate
// or address taken), OVERLOADED, INVALID_ARGUMENT.
type Join struct {
	TokenSHA256 string        `json:"token_sha256"`
	Name        MemberName    `json:"name"`
	Node        policy.NodeID `json:"node"`
	RaftAddress string        `json:"raft_address"`
	GRPCAddress string        `json:"grpc_address"`
	Version     int           `json:"version"`
}

// PutMember writes what a member announces of itself, what suffrage it is to
// have, or that it has a vote. IfMatch "" is the first word of a member of a new cluster; the proposer
// has seen that Raft's configuration holds it. Result body: Member.
//
// Refusals: NOT_FOUND (unknown or removed), IF_MATCH_REQUIRED, ETAG_MISMATCH,
// PERMISSION_DENIED (another certificate; a program older than the cluster),
// ALREADY_EXISTS (certificate or address of another), INVALID_ARGUMENT.
type PutMember struct {
	Name        MemberName      `json:"name"`
	Node        policy.NodeID   `json:"node"`
	RaftAddress string          `json:"raft_address"`
	GRPCAddress string          `json:"grpc_address"`
	Region      policy.RegionID `json:"region,omitempty"`
	Wants       Suffrage        `json:"wants"`
	Votes       bool            `json:"votes,omitempty"`
	Version     int             `json:"version"`
	IfMatch     string          `json:"if_match,omitempty"`
	Operation   string          `json:"operation,omitempty"` // OP…, that a person's promotion or demotion begins
}

// RemoveMember marks a member as removed, before Raft's configuration loses it:
// whoever leads next finishes what was begun. Result body: Member.
//
// Refusals: ETAG_MISMATCH (Node is not the member's), INVALID_ARGUMENT.
type RemoveMember struct {
	ClusterID string        `json:"cluster_id"`
	Name      MemberName    `json:"name"`
	Node      policy.NodeID `json:"node,omitempty"`      // "" of one that was never heard of
	Operation string        `json:"operation,omitempty"` // OP…, that it begins when a person asked
}

// RaiseVersion opens the gate to a protocol version that every member speaks.
// It never goes back. Result body: the version reached.
//
// Refusals: POLICY_STALE (a member is older), INVALID_ARGUMENT.
type RaiseVersion struct {
	ClusterID string `json:"cluster_id"`
	Version   int    `json:"version"`
}

func (Invite) kind() Kind       { return KindInvite }
func (Join) kind() Kind         { return KindJoin }
func (PutMember) kind() Kind    { return KindPutMember }
func (RemoveMember) kind() Kind { return KindRemoveMember }
func (RaiseVersion) kind() Kind { return KindRaiseVersion }

func (p Invite) subject() (audit.Action, string)       { return "member.invite", p.ClusterID }
func (p Join) subject() (audit.Action, string)         { return "member.join", string(p.Node) }
func (p PutMember) subject() (audit.Action, string)    { return "member.put", string(p.Node) }
func (p RaiseVersion) subject() (audit.Action, string) { return "cluster.raise_version", p.ClusterID }
func (p RemoveMember) subject() (audit.Action, string) {
	if p.Node == "" {
		return "member.remove", p.ClusterID
	}
	return "member.remove", string(p.Node)
}

// memberDecoder finds the decoder of one of the kinds above.
func memberDecoder(k Kind) func([]byte) (Command, error) {
	switch k {
	case KindInvite:
		return command[Invite]
	case KindJoin:
		return command[Join]
	case KindPutMember:
		return command[PutMember]
	case KindRemoveMember:
		return command[RemoveMember]
	case KindRaiseVersion:
		return command[RaiseVersion]
	}
	return operationDecoder(k)
}

// handleMember dispatches the commands above.
func (e *entry) handleMember(p Payload) (any, error) {
	switch p := p.(type) {
	case Invite:
		return e.invite(p)
	case Join:
		return e.join(p)
	case PutMember:
		return e.putMember(p)
	case RemoveMember:
		return e.removeMember(p)
	case RaiseVersion:
		return e.raiseVersion(p)
	}
	return e.handleOperation(p)
}
