package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// quickly is an autopilot that need not be waited for.
var quickly = controlplane.Autopilot{StableFor: 300 * time.Millisecond}

// newcomer makes the configuration of a member that joins with a token.
func (c *cluster) newcomer(name, token string) int {
	c.t.Helper()
	first := c.configs[0]
	dir := filepath.Join(filepath.Dir(first.DataDir), name+"-"+freePort(c.t)[10:])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	next := first
	next.Name, next.DataDir, next.Voters, next.Bootstrap = name, filepath.Join(dir, "data"), nil, nil
	next.TLS = c.issue(filepath.Join(dir, "tls"), mtls.ControlRegion, mtls.ControlPlane)
	next.GatewayTLS = c.issue(filepath.Join(dir, "gw"), mtls.ControlRegion, mtls.Gateway)
	next.RESTAddress, next.GRPCAddress, next.RaftAddress, next.OpsAddress = freePort(c.t), freePort(c.t), freePort(c.t), ""
	next.Join = &controlplane.Join{Members: []string{first.GRPCAddress, c.configs[len(c.configs)-1].GRPCAddress}, TokenFile: file}
	c.configs, c.planes = append(c.configs, next), append(c.planes, nil)
	return len(c.configs) - 1
}

func (c *cluster) invite(name, suffrage string) string {
	c.t.Helper()
	return c.want(c.do(c.leader(), "POST", "/v1/members:invite", map[string]any{"name": name, "suffrage": suffrage}, nil), 201, "").str("token")
}

// members gives the members by name, as the leader sees them.
func (c *cluster) members() map[string]map[string]any {
	c.t.Helper()
	out := map[string]map[string]any{}
	a := c.want(c.do(c.leader(), "GET", "/v1/members", nil, nil), 200, "")
	list, _ := a.Body["members"].([]any)
	for _, x := range list {
		m := x.(map[string]any)
		out[m["name"].(string)] = m
	}
	return out
}

// becomes waits until a member has a suffrage; "" is until it is gone.
func (c *cluster) becomes(name, suffrage string) {
	c.t.Helper()
	eventually(c.t, func() error {
		m, ok := c.members()[name]
		if got, _ := m["suffrage"].(string); got != suffrage || ok != (suffrage != "") || ok && m["health"] != "ok" {
			return fmt.Errorf("%s is %q, %v", name, got, m["health"])
		}
		return nil
	}, "%s does not become %q", name, suffrage)
}

func autopiloted(t *testing.T, voters int, a controlplane.Autopilot) *cluster {
	c := prepare(t, voters)
	for i := range c.configs {
		c.configs[i].Autopilot = a
	}
	c.startAll()
	return c
}

// The whole life of a member: invited, joined, caught up, voting, removed, told.
func TestMemberJoinsVotesAndIsRemoved(t *testing.T) {
	c := autopiloted(t, 3, quickly)
	token := c.invite("cp4", "")
	i := c.newcomer("cp4", token)
	c.start(i)
	c.becomes("cp4", "voter")
	c.want(c.do(i, "POST", "/v1/tenants", map[string]any{"slug": "by-cp4", "home_region": "ie1", "billing_country": "IE"}, nil), 201, "")
	c.stop(i)
	c.start(i) // a restart joins nothing anew
	c.becomes("cp4", "voter")

	thief := c.newcomer("cp5", token)
	c.start(thief)
	c.ends(thief, "does not work")

	c.granted("DELETE", "/v1/members/cp4")
	c.becomes("cp4", "")
	c.ends(i, controlplane.ErrRemoved.Error())
	term := c.planes[c.leader()].Status().LeaderID
	c.start(i) // it comes back all the same, is told again, and disturbs nobody
	c.ends(i, controlplane.ErrRemoved.Error())
	if now := c.planes[c.leader()].Status().LeaderID; now != term {
		t.Errorf("the removed member changed the leader from %s to %s", term, now)
	}
	a := c.want(c.do(c.leader(), "DELETE", "/v1/members/cp3", nil, nil), 409, policy.QuorumAtRisk)
	if !strings.Contains(a.str("detail"), "domicile members invite") {
		t.Errorf("the refusal does not say what to do: %s", a.str("detail"))
	}
	c.audited("member.invite", "member.join", "member.put", "member.remove")
}

// ends waits until a plane stops by itself, and says that.
func (c *cluster) ends(i int, why string) {
	c.t.Helper()
	select {
	case <-c.planes[i].Done():
		if err := c.planes[i].Err(); !strings.Contains(err.Error(), why) {
			c.t.Errorf("%s stopped because of %v, want %q", c.configs[i].Name, err, why)
		}
	case <-time.After(patience):
		c.t.Fatalf("%s goes on", c.configs[i].Name)
	}
	c.stop(i)
}

// audited checks that each action has left a leaf.
func (c *cluster) audited(actions ...string) {
	c.t.Helper()
	a := c.want(c.do(c.leader(), "GET", "/v1/audit/leaves?page_size=1000", nil, nil), 200, "")
	for _, x := range actions {
		if !strings.Contains(a.Raw, x) {
			c.t.Errorf("no leaf says %s", x)
		}
	}
}

// A non-voter answers reads that ask for least latency, forwards the rest, and
// never gets a vote.
func TestNonVoterServesReads(t *testing.T) {
	c := autopiloted(t, 3, quickly)
	i := c.newcomer("far", c.invite("far", "nonvoter"))
	c.start(i)
	c.becomes("far", "nonvoter")
	c.want(c.do(i, "POST", "/v1/tenants", map[string]any{"slug": "forwarded", "home_region": "ie1", "billing_country": "IE"}, nil), 201, "")
	eventually(t, func() error {
		if a := c.do(i, "GET", "/v1/tenants/forwarded", nil, headers{"X-Consistency": "minimize_latency"}); a.Status != 200 {
			return errStatus(a.Status)
		}
		return nil
	}, "the non-voter does not show the tenant")
	for _, x := range []int{0, 1, 2} { // it answers when no voter runs
		c.stop(x)
	}
	c.want(c.do(i, "GET", "/v1/tenants/forwarded", nil, headers{"X-Consistency": "minimize_latency"}), 200, "")
	c.want(c.once(i, "GET", "/v1/tenants/forwarded", nil, nil), 503, policy.NotReady)
}

// A leader that is to go hands over first; promote and demote change the vote.
func TestLeaderIsDemotedAndPromoted(t *testing.T) {
	c := autopiloted(t, 3, controlplane.Autopilot{StableFor: 300 * time.Millisecond, Floor: 1})
	was := c.configs[c.leader()].Name
	c.granted("POST", "/v1/members/"+was+":demote")
	c.becomes(was, "nonvoter")
	c.granted("POST", "/v1/members/"+was+":promote")
	c.becomes(was, "voter")
	// Whom a leader hands over to may be late, and another is elected meanwhile.
	eventually(t, func() error {
		if now := c.configs[c.leader()].Name; now != was {
			c.do(0, "POST", "/v1/members/"+was+":transferLeadership", nil, nil)
			return errors.New(now + " leads")
		}
		return nil
	}, "%s does not lead", was)
}

// granted sends a request until it is: while a member that is late looks silent,
// the change of another's vote puts the quorum at risk, and is refused.
func (c *cluster) granted(method, path string) {
	c.t.Helper()
	eventually(c.t, func() error {
		if a := c.do(c.leader(), method, path, nil, nil); a.Status != 200 {
			return errors.New(a.str("detail"))
		}
		return nil
	}, "%s %s is not granted", method, path)
}

// Two of five die: the autopilot removes them, one after the other, down to the
// floor and no further, and the three others go on.
func TestDeadMembersAreRemovedDownToTheFloor(t *testing.T) {
	c := autopiloted(t, 5, controlplane.Autopilot{StableFor: 300 * time.Millisecond, DeadAfter: 2 * time.Second})
	kill := func(i int) string { name := c.configs[i].Name; c.stop(i); return name }
	for range 2 {
		c.becomes(kill(c.follower()), "")
		c.leader()
	}
	gone := kill(c.follower())
	eventually(t, func() error {
		if m := c.members()[gone]; m["health"] != "silent" {
			return fmt.Errorf("%s is %v", gone, m["health"])
		}
		return nil
	}, "a dead voter is not seen")
	if n := len(c.members()); n != 3 {
		t.Errorf("%d members are left, want 3", n)
	}
}

// A voter whose machine is gone is looked for where a person says that it will be,
// and votes from there. One that runs says itself where it is, and nobody is sent
// to another's address.
func TestAVoterMovesToAnotherAddress(t *testing.T) {
	c := autopiloted(t, 3, quickly)
	for _, x := range c.configs {
		c.becomes(x.Name, "voter")
	}
	i := c.follower()
	moving, staying := c.configs[i].Name, c.configs[c.leader()]
	raft, grpc := freePort(t), freePort(t)
	readdress := func(raft, grpc string) answer {
		return c.do(c.leader(), "POST", "/v1/members/"+moving+":readdress", map[string]any{"raft_address": raft, "grpc_address": grpc}, nil)
	}
	if a := c.want(readdress(raft, grpc), 409, policy.QuorumAtRisk); !strings.Contains(a.str("detail"), "advertise") {
		t.Errorf("the refusal does not say what to do: %s", a.str("detail"))
	}
	c.stop(i)
	eventually(t, func() error {
		if a := readdress(staying.RaftAddress, grpc); a.str("reason") != string(policy.AlreadyExists) {
			return errors.New(a.Raw)
		}
		return nil
	}, "a silent member is not sent to another's address with the right words")
	m := c.want(readdress(raft, grpc), 200, "")
	if m.str("raft_address") != raft || m.str("grpc_address") != grpc {
		t.Errorf("it is said to be at %s", m.Raw)
	}
	c.want(readdress(raft, grpc), 200, "") // again: nothing more
	c.configs[i].RaftAddress, c.configs[i].GRPCAddress = raft, grpc
	c.start(i)
	c.becomes(moving, "voter")
	if m := c.members()[moving]; m["raft_address"] != raft {
		t.Errorf("it is at %v, want %s", m["raft_address"], raft)
	}
	c.want(c.do(i, "POST", "/v1/tenants", map[string]any{"slug": "by-the-moved", "home_region": "ie1", "billing_country": "IE"}, nil), 201, "")
}

// Reads leave barriers in the Raft log, which no member's state holds: however many
// there were, nobody is behind for it.
func TestReadsPutNobodyBehind(t *testing.T) {
	c := autopiloted(t, 3, quickly)
	for _, name := range []string{"cp1", "cp2", "cp3"} {
		c.becomes(name, "voter")
	}
	for range 600 { // more than the 512 entries that count as caught up
		c.want(c.do(c.leader(), "GET", "/v1/regions/ie1", nil, nil), 200, "")
	}
	eventually(t, func() error {
		for name, m := range c.members() {
			if n, _ := m["behind"].(float64); m["health"] != "ok" || n > 0 {
				return fmt.Errorf("%s is %v, %v behind", name, m["health"], m["behind"])
			}
		}
		return nil
	}, "members are behind")
}

// A voter of the first configuration that never ran has no row: its vote cannot be
// changed, which is said, and it can be removed.
func TestAVoterThatNeverRanIsRemoved(t *testing.T) {
	c := prepare(t, 3)
	for i := range c.configs {
		c.configs[i].Autopilot = controlplane.Autopilot{Floor: 2}
	}
	c.start(0)
	c.start(1)
	c.ready() // who leads has its first token in the state
	c.becomes("cp1", "voter")
	c.becomes("cp2", "voter")
	for _, verb := range []string{"demote", "promote"} {
		a := c.want(c.do(c.leader(), "POST", "/v1/members/cp3:"+verb, nil, nil), 503, policy.NotReady)
		if !strings.Contains(a.str("detail"), "domicile members remove cp3") {
			t.Errorf("%s: the refusal does not say what to do: %s", verb, a.str("detail"))
		}
	}
	c.granted("DELETE", "/v1/members/cp3")
	eventually(t, func() error {
		if m, ok := c.members()["cp3"]; ok {
			return fmt.Errorf("it is listed: %v", m)
		}
		return nil
	}, "cp3 is not gone")
}

// A member that is known by another certificate is not believed.
func TestAnotherCertificateIsNotBelieved(t *testing.T) {
	c := newCluster(t, 1)
	stranger := c.configs[0]
	stranger.TLS = c.issue(filepath.Join(t.TempDir(), "tls"), mtls.ControlRegion, mtls.ControlPlane)
	before := c.members()["cp1"]["node"]
	c.stop(0)
	c.configs[0] = stranger
	c.start(0)
	c.leader()
	if after := c.members()["cp1"]["node"]; after != before {
		t.Errorf("cp1 was %v and is %v", before, after)
	}
}

func TestJoinerIsRefusedWithoutBeingAsked(t *testing.T) {
	for name, edit := range map[string]func(*controlplane.Config){
		"join":                   func(c *controlplane.Config) { c.Join = &controlplane.Join{Members: []string{"a:1"}, TokenFile: "x"} },
		"advertise.raft_address": func(c *controlplane.Config) { c.RaftAddress, c.Voters, c.Bootstrap = "0.0.0.0:1", nil, nil },
		"autopilot.floor":        func(c *controlplane.Config) { c.Autopilot.Floor = store.MaxMembers + 1 },
	} {
		cfg := prepare(t, 1).configs[0]
		edit(&cfg)
		if _, err := controlplane.Open(context.Background(), cfg, controlplane.Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
