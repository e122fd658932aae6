package store

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// membersOf reads the membership in a transaction.
func membersOf(tx *bolt.Tx) (*Members, error) {
	m := &Members{}
	var err error
	if m.version, _, err = load[int](tx, bucketMeta, metaVersion); err != nil {
		return nil, err
	}
	m.list, err = list[Member](tx, bucketMembers, nil, nil, -1, nil)
	return m, err
}

// changesMembers reports whether a command may change the membership.
func changesMembers(k Kind) bool {
	return k == KindJoin || k == KindPutMember || k == KindRemoveMember || k == KindRaiseVersion || k == KindRaiseEpoch
}

func (e *entry) invite(p Invite) (any, error) {
	x := p.Invitation
	switch {
	case !ValidMemberName(string(x.Name)):
		return nil, invalid("name", "must match %s", memberPattern)
	case x.Wants != Voter && x.Wants != NonVoter:
		return nil, invalid("suffrage", "must be voter or nonvoter")
	case !hashPattern.MatchString(x.SHA256):
		return nil, invalid("sha256", "must be 64 hex digits")
	case !x.ExpiresAt.After(e.stamp.Now):
		return nil, invalid("lifetime", "must end in the future")
	}
	if err := e.checkPlace(x.Region); err != nil {
		return nil, err
	}
	members, err := membersOf(e.tx)
	if err != nil {
		return nil, err
	}
	if have, ok := members.Find(x.Name); ok && have.RemovedAt == nil {
		return nil, policy.Errorf(policy.AlreadyExists, "a member of that name is present: choose another name, or remove that one first")
	}
	waiting, err := list[Invitation](e.tx, bucketInvitations, nil, nil, -1, nil)
	if err != nil {
		return nil, err
	}
	open := 0
	for _, w := range waiting {
		switch {
		case !w.ExpiresAt.After(e.stamp.Now), w.Name == x.Name: // a newer invitation replaces an older one of its name
			e.drop(bucketInvitations, []byte(w.SHA256))
		default:
			open++
		}
	}
	if open >= MaxInvitations {
		return nil, policy.Errorf(policy.Overloaded, "%d invitations wait: use them, or wait until some expire", open)
	}
	e.changed = true
	if x.Operation != "" {
		if err := e.ofMember(x.Operation, OperationJoin, x.Name); err != nil {
			return nil, err
		}
	}
	return x, e.put(bucketInvitations, []byte(x.SHA256), x)
}

func (e *entry) checkPlace(r policy.RegionID) error {
	if r == "" {
		return nil
	}
	if _, ok, err := load[Region](e.tx, bucketRegions, []byte(r)); err != nil || ok {
		return err
	}
	return invalid("region", "is not a region of this cluster: GET /v1/regions lists them")
}

func (e *entry) join(p Join) (any, error) {
	members, err := membersOf(e.tx)
	if err != nil {
		return nil, err
	}
	m := Member{Name: p.Name, Node: p.Node, RaftAddress: p.RaftAddress, GRPCAddress: p.GRPCAddress, Wants: NonVoter, Version: p.Version}
	if f := checkMember(m); f != nil {
		return nil, f.refusal()
	}
	if have, ok := members.Find(p.Name); ok && have.RemovedAt == nil && have.Invitation == p.TokenSHA256 && have.Node == p.Node {
		return have, nil // it has joined with this very token, and did not hear the answer
	}
	if err := e.checkNewcomer(members, m); err != nil {
		return nil, err
	}
	x, ok, err := load[Invitation](e.tx, bucketInvitations, []byte(p.TokenSHA256))
	switch {
	case err != nil:
		return nil, err
	case !ok || !x.ExpiresAt.After(e.stamp.Now) || x.Name != p.Name:
		// One answer for all: who guesses learns nothing.
		return nil, policy.Errorf(policy.PermissionDenied, "the join token does not work: it is used, expired, or for another name: invite again with `domicile members invite`")
	}
	m.Wants, m.Region, m.Invitation, m.Operation = x.Wants, x.Region, x.SHA256, x.Operation
	m.JoinedAt, m.ETag = e.stamp.Now, etagOf(e.revision())
	e.changed = true
	e.drop(bucketInvitations, []byte(x.SHA256))
	return m, e.put(bucketMembers, []byte(m.Name), m)
}

// checkNewcomer refuses what would be in another's place.
func (e *entry) checkNewcomer(members *Members, m Member) error {
	present := members.Present()
	if len(present) >= MaxMembers {
		return policy.Errorf(policy.Overloaded, "the cluster has %d members, the most there may be: remove one first", len(present))
	}
	for _, x := range present {
		switch {
		case x.Name == m.Name:
			return policy.Errorf(policy.AlreadyExists, "a member of that name is present: choose another name, or remove that one first")
		case x.Node == m.Node:
			return policy.Errorf(policy.AlreadyExists, "the certificate is that of member %s: issue one for this member alone", x.Name)
		case x.RaftAddress == m.RaftAddress || x.GRPCAddress == m.GRPCAddress:
			return policy.Errorf(policy.AlreadyExists, "member %s announces one of these addresses: give this member its own", x.Name)
		}
	}
	return checkReached(members, m.Version)
}

// checkReached refuses a program that is older than the cluster.
func checkReached(members *Members, version int) error {
	if version < members.Version() {
		return policy.Errorf(policy.PermissionDenied, "the program speaks protocol version %d and the cluster has reached %d: install a newer release", version, members.Version())
	}
	return nil
}

func (e *entry) putMember(p PutMember) (any, error) {
	members, err := membersOf(e.tx)
	if err != nil {
		return nil, err
	}
	m := Member{Name: p.Name, Node: p.Node, RaftAddress: p.RaftAddress, GRPCAddress: p.GRPCAddress, Region: p.Region, Wants: p.Wants, Votes: p.Votes, Version: p.Version}
	if f := checkMember(m); f != nil {
		return nil, f.refusal()
	}
	if err := e.checkPlace(m.Region); err != nil {
		return nil, err
	}
	if err := checkReached(members, m.Version); err != nil {
		return nil, err
	}
	old, exists := members.Find(m.Name)
	switch {
	case !exists && p.IfMatch == "":
		if err := e.checkNewcomer(members, m); err != nil {
			return nil, err
		}
		m.JoinedAt = e.stamp.Now
	case !exists || old.RemovedAt != nil:
		return nil, policy.Errorf(policy.NotFound, "no such member: check the name, or list what there is")
	case old.Node != m.Node:
		return nil, policy.Errorf(policy.PermissionDenied, "member %s has another certificate: issue its certificate again with node id %s, or remove the member and invite it anew", m.Name, old.Node)
	default:
		if err := match(p.IfMatch, old.ETag); err != nil {
			return nil, err
		}
		m.JoinedAt, m.Invitation, m.Operation, m.ETag = old.JoinedAt, old.Invitation, old.Operation, old.ETag
		if m == old {
			return old, nil
		}
	}
	e.changed, m.ETag = true, etagOf(e.revision())
	if p.Operation != "" {
		m.Operation = p.Operation
		kind := OperationPromote
		if m.Wants == NonVoter {
			kind = OperationDemote
		}
		if err := e.ofMember(p.Operation, kind, m.Name); err != nil {
			return nil, err
		}
	}
	return m, e.put(bucketMembers, []byte(m.Name), m)
}

func (e *entry) removeMember(p RemoveMember) (any, error) {
	members, err := membersOf(e.tx)
	if err != nil {
		return nil, err
	}
	if !ValidMemberName(string(p.Name)) {
		return nil, invalid("name", "must match %s", memberPattern)
	}
	m, exists := members.Find(p.Name)
	switch {
	case exists && m.RemovedAt != nil:
		return m, nil
	case exists && m.Node != p.Node:
		return nil, policy.Errorf(policy.ETagMismatch, "the member has another certificate than when it was looked at: send the request again")
	case !exists: // of a new cluster, and never heard of
		m = Member{Name: p.Name, Wants: Voter, JoinedAt: e.stamp.Now}
	}
	at := e.stamp.Now
	e.changed, m.RemovedAt, m.ETag = true, &at, etagOf(e.revision())
	if p.Operation != "" {
		m.Operation = p.Operation
	}
	if err := e.ofMember(p.Operation, OperationRemove, m.Name); err != nil {
		return nil, err
	}
	e.forgetOldest(members)
	return m, e.put(bucketMembers, []byte(m.Name), m)
}

// forgetOldest keeps the list of the removed bounded.
func (e *entry) forgetOldest(members *Members) {
	var oldest *Member
	removed := 0
	for i, x := range members.list {
		if x.RemovedAt == nil {
			continue
		}
		removed++
		if oldest == nil || x.RemovedAt.Before(*oldest.RemovedAt) {
			oldest = &members.list[i]
		}
	}
	if removed >= maxRemoved {
		e.drop(bucketMembers, []byte(oldest.Name))
	}
}

func (e *entry) raiseVersion(p RaiseVersion) (any, error) {
	members, err := membersOf(e.tx)
	if err != nil {
		return nil, err
	}
	if p.Version <= members.Version() {
		return members.Version(), nil
	}
	present := members.Present()
	if len(present) == 0 {
		return nil, invalid("version", "cannot be raised while no member is known")
	}
	for _, m := range present {
		if m.Version < p.Version {
			return nil, policy.Errorf(policy.PolicyStale, "member %s speaks protocol version %d: upgrade or remove it first", m.Name, m.Version)
		}
	}
	e.changed = true
	if err := e.put(bucketMeta, metaVersion, p.Version); err != nil {
		return nil, fmt.Errorf("raise the version: %w", err)
	}
	return p.Version, nil
}

// dropMembers forgets who belonged to the cluster before a new epoch: those that
// run now announce themselves. Who was removed stays removed.
func (e *entry) dropMembers() error {
	members, err := membersOf(e.tx)
	if err != nil {
		return err
	}
	for _, m := range members.Present() {
		e.drop(bucketMembers, []byte(m.Name))
	}
	e.dropAll(bucketInvitations)
	return nil
}
