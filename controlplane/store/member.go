package store

import (
	"regexp"
	"slices"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// MemberName is a voter's or non-voter's name: the id that Raft knows it by.
type MemberName string

// Suffrage is what part a member has in consensus.
type Suffrage string

// The suffrages. A non-voter has a copy of everything and answers reads.
const (
	Voter    Suffrage = "voter"
	NonVoter Suffrage = "nonvoter"
)

// Limits of membership.
const (
	MaxMembers     = 15 // present ones; more voters than seven only make writes slower
	MaxInvitations = 32 // that wait; expired ones make room
	maxRemoved     = 64 // removed ones that are remembered; the one removed longest ago makes room
)

// Member is a member of the cluster, or one that was removed: that one is kept,
// so that it can be told, and so that its certificate opens nothing any more.
type Member struct {
	Name        MemberName      `json:"name"`
	Node        policy.NodeID   `json:"node"` // its certificate's; "" of one that was removed before it was ever heard of
	RaftAddress string          `json:"raft_address"`
	GRPCAddress string          `json:"grpc_address"`
	Region      policy.RegionID `json:"region,omitempty"` // where it stands; "" unknown
	Wants       Suffrage        `json:"wants"`            // what it is to be once it has caught up
	Votes       bool            `json:"votes,omitempty"`  // whether it was given a vote; Raft's configuration follows
	Version     int             `json:"version"`          // of the protocol, that its program speaks
	JoinedAt    time.Time       `json:"joined_at"`        // stamped
	Invitation  string          `json:"invitation,omitempty"`
	Operation   string          `json:"operation,omitempty"`  // OP…, of its latest join, removal, promotion or demotion
	RemovedAt   *time.Time      `json:"removed_at,omitempty"` // stamped; nil: present
	ETag        string          `json:"etag"`
}

// Invitation lets one program join once. It is removed in the entry that adds
// the member, so that it works once whatever crashes.
type Invitation struct {
	SHA256    string          `json:"sha256"` // hex, of the whole token
	Name      MemberName      `json:"name"`
	Wants     Suffrage        `json:"wants"`
	Region    policy.RegionID `json:"region,omitempty"`
	ExpiresAt time.Time       `json:"expires_at"`
	Operation string          `json:"operation,omitempty"` // OP…, of the join
}

// Members is the membership as of one commit. It is immutable.
type Members struct {
	list    []Member // removed ones too, ordered by name
	version int
}

// Version is the protocol version that the whole cluster has reached, at least 1.
func (m *Members) Version() int { return max(1, m.version) }

// Present lists the members, ordered by name.
func (m *Members) Present() []Member {
	return slices.DeleteFunc(slices.Clone(m.list), func(x Member) bool { return x.RemovedAt != nil })
}

// Find finds a present or a removed member.
func (m *Members) Find(name MemberName) (Member, bool) {
	for _, x := range m.list {
		if x.Name == name {
			return x, true
		}
	}
	return Member{}, false
}

// Holder finds the member that a certificate names; a removed one only when no
// present one has the same certificate.
func (m *Members) Holder(node policy.NodeID) (found Member, ok bool) {
	for _, x := range m.list {
		if x.Node == node && node != "" && (!ok || x.RemovedAt == nil) {
			found, ok = x, true
		}
	}
	return found, ok
}

var (
	memberPattern  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	addressPattern = regexp.MustCompile(`^([a-z0-9.-]{1,100}|\[[0-9a-f:.]{2,45}\]):[0-9]{1,5}$`)
)

// ValidMemberName reports whether a name has the form of a member's.
func ValidMemberName(name string) bool { return memberPattern.MatchString(name) }

// ValidAddress reports whether an address may be announced: host:port, the host
// in lower case.
func ValidAddress(address string) bool { return addressPattern.MatchString(address) }

func checkMember(m Member) *fault {
	switch {
	case !ValidMemberName(string(m.Name)):
		return &fault{"name", "must match " + memberPattern.String()}
	case !policy.ValidID(policy.KindNode, string(m.Node)):
		return &fault{"node", "must be ND and 32 hex digits"}
	case !ValidAddress(m.RaftAddress):
		return &fault{"raft_address", "must be host:port"}
	case !ValidAddress(m.GRPCAddress):
		return &fault{"grpc_address", "must be host:port"}
	case m.Wants != Voter && m.Wants != NonVoter:
		return &fault{"suffrage", "must be voter or nonvoter"}
	case m.Votes && m.Wants != Voter:
		return &fault{"suffrage", "of a member that votes must be voter"}
	case m.Version < 1 || m.Version > 1<<20:
		return &fault{"version", "must be at least 1"}
	}
	return nil
}

// Put is the command that would leave the member as it is: the caller edits it.
func (m Member) Put() PutMember {
	return PutMember{Name: m.Name, Node: m.Node, RaftAddress: m.RaftAddress, GRPCAddress: m.GRPCAddress, Region: m.Region,
		Wants: m.Wants, Votes: m.Votes, Version: m.Version, IfMatch: m.ETag}
}
