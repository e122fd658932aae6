package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func member(n int) PutMember {
	return PutMember{Name: MemberName(fmt.Sprintf("cp%d", n)), Node: id[policy.NodeID](policy.KindNode, n), Wants: Voter, Votes: true, Version: 1,
		RaftAddress: fmt.Sprintf("10.0.0.%d:7001", n), GRPCAddress: fmt.Sprintf("10.0.0.%d:7002", n)}
}

func invitation(f *fixture, n int) Invite {
	return Invite{ClusterID: clusterID, Invitation: Invitation{SHA256: hexHash(fmt.Sprint("token", n)), Name: MemberName(fmt.Sprintf("cp%d", n)),
		Wants: Voter, Region: "ie1", ExpiresAt: f.now.Add(time.Hour)}}
}

func joining(n int) Join {
	m := member(n)
	return Join{TokenSHA256: hexHash(fmt.Sprint("token", n)), Name: m.Name, Node: m.Node, RaftAddress: m.RaftAddress, GRPCAddress: m.GRPCAddress, Version: 1}
}

// A token works once, for one name, until it expires; and the same member that
// did not hear the answer may ask again.
func TestJoinTokenWorksOnce(t *testing.T) {
	f := seeded(t)
	f.must(invitation(f, 4))
	other := joining(4)
	other.Name = "cp5"
	expect(t, f.apply(other), policy.PermissionDenied)
	joined := body[Member](t, f.must(joining(4)))
	if joined.Wants != Voter || joined.Region != "ie1" || !joined.JoinedAt.Equal(f.now) {
		t.Errorf("joined as %+v", joined)
	}
	before := f.Revision()
	if again := body[Member](t, f.must(joining(4))); again != joined || f.Revision() != before {
		t.Errorf("the second sending gave %+v at revision %d, want %+v at %d", again, f.Revision(), joined, before)
	}
	thief := joining(4)
	thief.Node, thief.RaftAddress, thief.GRPCAddress = id[policy.NodeID](policy.KindNode, 5), "10.0.0.5:7001", "10.0.0.5:7002"
	expect(t, f.apply(thief), policy.AlreadyExists)
	f.must(RemoveMember{ClusterID: clusterID, Name: "cp4", Node: joined.Node})
	expect(t, f.apply(thief), policy.PermissionDenied)
	f.must(invitation(f, 6))
	f.now = f.now.Add(2 * time.Hour)
	expect(t, f.apply(joining(6)), policy.PermissionDenied)
}

func TestNobodyJoinsInAnothersPlace(t *testing.T) {
	f := seeded(t)
	f.must(member(1))
	f.must(invitation(f, 4))
	for name, edit := range map[string]func(*Join){
		"certificate":  func(j *Join) { j.Node = member(1).Node },
		"raft address": func(j *Join) { j.RaftAddress = member(1).RaftAddress },
		"gRPC address": func(j *Join) { j.GRPCAddress = member(1).GRPCAddress },
	} {
		j := joining(4)
		edit(&j)
		if r := f.apply(j); r.Err == nil || r.Err.Reason != policy.AlreadyExists {
			t.Errorf("%s of another: %v", name, r.Err)
		}
	}
	expect(t, f.apply(invitation(f, 1)), policy.AlreadyExists)
	stolen := member(1)
	stolen.Node, stolen.IfMatch = id[policy.NodeID](policy.KindNode, 9), etagOf(f.Revision())
	expect(t, f.apply(stolen), policy.PermissionDenied)
}

func TestRemovedMemberIsRememberedAndMayBeInvitedAnew(t *testing.T) {
	f := seeded(t)
	first := body[Member](t, f.must(member(1)))
	f.must(RemoveMember{ClusterID: clusterID, Name: "cp1", Node: first.Node})
	gone, ok := f.Members().Holder(first.Node)
	if !ok || gone.RemovedAt == nil || len(f.Members().Present()) != 0 {
		t.Errorf("the removed member is %+v %v, present are %v", gone, ok, f.Members().Present())
	}
	again := member(1)
	again.IfMatch = gone.ETag
	expect(t, f.apply(again), policy.NotFound)
	f.must(invitation(f, 1))
	f.must(joining(1))
	if m, _ := f.Members().Holder(first.Node); m.RemovedAt != nil {
		t.Error("the member that joined anew counts as removed")
	}
	f.must(RemoveMember{ClusterID: clusterID, Name: "never-heard-of"})
	for i := range maxRemoved + 3 {
		f.now = f.now.Add(time.Second)
		f.must(RemoveMember{ClusterID: clusterID, Name: MemberName("x-" + strings.Repeat("a", i%26+1) + string(rune('a'+i/26)))})
	}
	if n := len(f.Members().list); n > maxRemoved+1 {
		t.Errorf("%d members are remembered", n)
	}
}

// The gate opens when every present member speaks the version, never goes back,
// and then lets no older program in.
func TestVersionGate(t *testing.T) {
	f := seeded(t)
	a := body[Member](t, f.must(member(1)))
	b := body[Member](t, f.must(member(2)))
	raise := RaiseVersion{ClusterID: clusterID, Version: 2}
	expect(t, f.apply(raise), policy.PolicyStale)
	upgrade := func(m Member, n, version int) PutMember {
		p := member(n)
		p.IfMatch, p.Version = m.ETag, version
		return p
	}
	a = body[Member](t, f.must(upgrade(a, 1, 2)))
	expect(t, f.apply(raise), policy.PolicyStale)
	b = body[Member](t, f.must(upgrade(b, 2, 2)))
	b = body[Member](t, f.must(upgrade(b, 2, 1))) // back before the gate opens
	expect(t, f.apply(raise), policy.PolicyStale)
	f.must(upgrade(b, 2, 2))
	f.must(raise)
	if v := f.Members().Version(); v != 2 {
		t.Fatalf("the cluster is at version %d", v)
	}
	expect(t, f.apply(upgrade(a, 1, 1)), policy.PermissionDenied)
	f.must(invitation(f, 3))
	expect(t, f.apply(joining(3)), policy.PermissionDenied)
	before := f.Revision()
	f.must(RaiseVersion{ClusterID: clusterID, Version: 1})
	if f.Members().Version() != 2 || f.Revision() != before {
		t.Error("the version went back")
	}
}

func expect(t testing.TB, r Result, want policy.Reason) {
	t.Helper()
	if r.Err == nil || r.Err.Reason != want {
		t.Errorf("refused with %v, want %s", r.Err, want)
	}
}
