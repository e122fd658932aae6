package chaos

import (
	"fmt"
	"time"

	"github.com/domicile-io/domicile/internal/chaos"
)

var networkFaults = []fault{
	{kind: "partition leader", run: partitionLeader},
	{kind: "partition halves", run: func(n *nemesis) (string, error) {
		alone := n.anyVoter()
		return n.impose(chaos.Split([]string{alone}, n.w.others(alone)), 600*time.Millisecond, 2*time.Second)
	}},
	{kind: "partition ring", run: ring},
	{kind: "partition one-way", run: func(n *nemesis) (string, error) {
		v, err := n.target()
		if err != nil {
			return "", err
		}
		shape := chaos.Mute(v)
		if n.draw.IntN(2) == 0 {
			shape = chaos.Deafen(v)
		}
		return n.impose(shape, 600*time.Millisecond, 2*time.Second)
	}},
	{kind: "flapping", run: flap},
	{kind: "delay", run: func(n *nemesis) (string, error) {
		before := n.w.mesh.Counts()
		rule := chaos.Rule{Delay: time.Duration(n.draw.IntN(30)) * time.Millisecond, Jitter: time.Duration(5+n.draw.IntN(60)) * time.Millisecond}
		n.w.mesh.Impose(chaos.Everywhere(rule))
		n.hold(600*time.Millisecond, 1500*time.Millisecond)
		n.w.mesh.Heal()
		return witnessed("bytes delayed", n.w.mesh.Counts().Delayed-before.Delayed), nil
	}},
	{kind: "throttle", run: func(n *nemesis) (string, error) {
		before := n.w.mesh.Counts()
		n.w.mesh.Impose(chaos.Everywhere(chaos.Rule{Rate: 50_000 + n.draw.IntN(400_000)}))
		n.hold(500*time.Millisecond, 1200*time.Millisecond)
		n.w.mesh.Heal()
		return witnessed("bytes throttled", n.w.mesh.Counts().Throttled-before.Throttled), nil
	}},
	{kind: "reset connections", run: func(n *nemesis) (string, error) {
		before := n.w.mesh.Counts()
		for range 1 + n.draw.IntN(4) {
			n.w.mesh.Reset()
			n.hold(50*time.Millisecond, 300*time.Millisecond)
		}
		return witnessed("connections reset", n.w.mesh.Counts().Resets-before.Resets), nil
	}},
}

// ring leaves everybody somebody to talk to: of three voters, the leader and one
// follower do not hear each other, and the other follower hears both.
func ring(n *nemesis) (string, error) {
	leader, err := n.w.leader(n.ctx)
	if err != nil {
		return "", err
	}
	order := n.w.others(leader)
	n.draw.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return n.impose(chaos.Ring(append([]string{leader}, order...)), 600*time.Millisecond, 2*time.Second)
}

func witnessed(what string, count int64) string {
	if count <= 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", count, what)
}

// impose holds a shape, then heals: half of the time what was held goes on, old as
// it is, and half of the time the connections are reset.
func (n *nemesis) impose(s chaos.Shape, least, most time.Duration) (string, error) {
	before := n.w.mesh.Counts()
	n.w.mesh.Impose(s)
	n.hold(least, most)
	n.mend()
	after := n.w.mesh.Counts()
	return witnessed("bytes and connections held", after.Held-before.Held+after.Connections-before.Connections), nil
}

func (n *nemesis) mend() {
	if n.draw.IntN(2) == 0 {
		n.w.mesh.Reset()
	}
	n.w.mesh.Heal()
}

// partitionLeader takes the leader from the others and waits until they have
// another; the old one then comes back believing what it believes.
func partitionLeader(n *nemesis) (string, error) {
	leader, err := n.w.leader(n.ctx)
	if err != nil {
		return "", err
	}
	n.w.mesh.Impose(chaos.Split([]string{leader}, n.w.others(leader)))
	next := n.changed(leader, 5*time.Second)
	n.hold(100*time.Millisecond, 600*time.Millisecond)
	n.mend()
	if next == "" {
		return "", nil
	}
	return fmt.Sprintf("%s was replaced by %s", leader, next), nil
}

// flap cuts and heals faster than an election takes.
func flap(n *nemesis) (string, error) {
	before := n.w.mesh.Counts()
	for range 4 + n.draw.IntN(5) {
		a := n.anyVoter()
		n.w.mesh.Impose(chaos.Split([]string{a}, n.w.others(a)))
		n.hold(50*time.Millisecond, 350*time.Millisecond)
		n.w.mesh.Heal()
		n.hold(20*time.Millisecond, 200*time.Millisecond)
	}
	after := n.w.mesh.Counts()
	return witnessed("bytes and connections held", after.Held-before.Held+after.Connections-before.Connections), nil
}
