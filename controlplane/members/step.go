package members

import (
	"fmt"
	"time"

	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Rules are what a Steward may do by itself. Every member should have the same.
type Rules struct {
	Floor       int           // voters that no removal goes below
	StableFor   time.Duration // how long a newcomer must be caught up before it votes
	DeadAfter   time.Duration // how long a member may be silent before it is removed; 0: never
	KeepVersion bool          // do not raise the cluster's version
}

// View is everything that a step is decided by.
type View struct {
	Now      time.Time
	Self     string    // we lead
	Since    time.Time // when we began to
	Patience time.Duration
	Config   replica.Configuration
	Members  *store.Members
	Heard    map[string]Heard
	Silent   map[string]bool // our heartbeats to them fail
	Rules    Rules
}

// Deed is what a step does.
type Deed string

// The deeds, in the order in which they are looked for.
const (
	Nothing   Deed = ""
	HandOver  Deed = "hand_over" // we are to lose our vote: another must lead first
	Expel     Deed = "expel"     // take a removed member out of Raft's configuration
	Admit     Deed = "admit"     // put a new member into it, without a vote
	Readdress Deed = "readdress"
	Demote    Deed = "demote"
	Enable    Deed = "enable" // give the vote that the member's row grants
	Grant     Deed = "grant"  // write into the row that it has a vote
	Bury      Deed = "bury"   // mark a dead member as removed
	Raise     Deed = "raise"  // the cluster's version
)

// Action is one step.
type Action struct {
	Do      Deed
	Name    string
	Address string // of Admit, Readdress, Enable
	Version int    // of Raise
	Why     string
}

// Step is the next single step, or Nothing.
func Step(v View) Action {
	for _, look := range []func(View) Action{stepExpel, stepAdmit, stepSuffrage, stepGrant, stepBury, stepRaise} {
		if a := look(v); a.Do != Nothing {
			return a
		}
	}
	return Action{}
}

func stepExpel(v View) Action {
	for _, s := range v.Config.Servers {
		m, ok := v.Members.Find(store.MemberName(s.Name))
		if !ok || m.RemovedAt == nil {
			continue
		}
		if s.Name == v.Self {
			return v.handOver("it was removed")
		}
		return Action{Do: Expel, Name: s.Name, Why: "it was removed"}
	}
	return Action{}
}

// handOver names who is to lead instead of us: the living voter that is least behind.
func (v View) handOver(why string) Action {
	best, at := "", uint64(0)
	for _, s := range v.Config.Servers {
		if s.Votes && s.Name != v.Self && v.alive(s.Name) && (best == "" || v.Heard[s.Name].Applied > at) {
			best, at = s.Name, v.Heard[s.Name].Applied
		}
	}
	if best == "" {
		return Action{}
	}
	return Action{Do: HandOver, Name: best, Why: why}
}

func stepAdmit(v View) Action {
	for _, m := range v.Members.Present() {
		if _, in := v.Config.Has(string(m.Name)); !in {
			return Action{Do: Admit, Name: string(m.Name), Address: m.RaftAddress, Why: "it has joined"}
		}
	}
	return Action{}
}

// stepSuffrage makes address and vote in Raft's configuration those of the rows.
func stepSuffrage(v View) Action {
	for _, s := range v.Config.Servers {
		m, ok := v.Members.Find(store.MemberName(s.Name))
		switch {
		case !ok || m.RemovedAt != nil:
		case s.Address != m.RaftAddress:
			return Action{Do: Readdress, Name: s.Name, Address: m.RaftAddress, Why: "it announces another address"}
		case s.Votes && !m.Votes && s.Name == v.Self:
			if a := v.handOver("it is to vote no more"); a.Do != Nothing {
				return a
			}
		case s.Votes && !m.Votes && v.survives(s.Name):
			return Action{Do: Demote, Name: s.Name, Address: m.RaftAddress, Why: "it is to vote no more"}
		case !s.Votes && m.Votes && v.alive(s.Name):
			return Action{Do: Enable, Name: s.Name, Address: m.RaftAddress, Why: "it was granted a vote"}
		}
	}
	return Action{}
}

// stepGrant gives a vote to who wants one and has been caught up long enough.
func stepGrant(v View) Action {
	for _, m := range v.Members.Present() {
		h := v.Heard[string(m.Name)]
		if m.Wants != store.Voter || m.Votes || h.Steady.IsZero() || !v.alive(string(m.Name)) || m.Version < v.Members.Version() {
			continue
		}
		if steady := v.Now.Sub(h.Steady); steady >= v.Rules.StableFor {
			return Action{Do: Grant, Name: string(m.Name), Why: fmt.Sprintf("it has been caught up for %v", steady.Round(time.Second))}
		}
	}
	return Action{}
}

// stepBury removes who has been silent for too long, on both ways: neither did
// it announce itself, nor did it answer heartbeats.
func stepBury(v View) Action {
	if v.Rules.DeadAfter <= 0 {
		return Action{}
	}
	for _, s := range v.Config.Servers {
		silent := v.Now.Sub(v.lastWord(s.Name))
		if s.Name == v.Self || !v.Silent[s.Name] || silent < v.Rules.DeadAfter {
			continue
		}
		if v.MayRemove(s.Name) == nil {
			return Action{Do: Bury, Name: s.Name, Why: fmt.Sprintf("it has been silent for %v", silent.Round(time.Second))}
		}
	}
	return Action{}
}

// lastWord is when a member was heard, at the earliest when we began to listen.
func (v View) lastWord(name string) time.Time {
	if h, ok := v.Heard[name]; ok && h.At.After(v.Since) {
		return h.At
	}
	return v.Since
}

// stepRaise opens the gate to what every member speaks. A server of which
// nothing is known keeps it shut.
func stepRaise(v View) Action {
	present := v.Members.Present()
	if v.Rules.KeepVersion || len(present) == 0 {
		return Action{}
	}
	for _, s := range v.Config.Servers {
		if _, ok := v.Members.Find(store.MemberName(s.Name)); !ok {
			return Action{}
		}
	}
	least := present[0].Version
	for _, m := range present {
		least = min(least, m.Version)
	}
	if least <= v.Members.Version() {
		return Action{}
	}
	return Action{Do: Raise, Version: least, Why: "every member speaks it"}
}

// alive reports whether a member is there now, as far as we can tell.
func (v View) alive(name string) bool {
	if name == v.Self {
		return true
	}
	h, ok := v.Heard[name]
	return ok && !v.Silent[name] && v.Now.Sub(h.At) <= v.Patience
}

// survives reports whether a living majority is left when a voter goes.
func (v View) survives(without string) bool {
	voters, living := 0, 0
	for _, s := range v.Config.Servers {
		if !s.Votes || s.Name == without {
			continue
		}
		voters++
		if v.alive(s.Name) {
			living++
		}
	}
	return voters > 0 && living > voters/2
}

// MayRemove refuses to remove, or to take the vote from, a member that the
// cluster needs. The error says why and what to do.
func (v View) MayRemove(name string) error {
	s, in := v.Config.Has(name)
	if !in || !s.Votes {
		return nil
	}
	voters := v.Config.Voters()
	if voters-1 < v.Rules.Floor {
		return policy.Errorf(policy.QuorumAtRisk,
			"%d voters would be left, and %d are the floor: first let another voter join (domicile members invite NAME), or lower autopilot.floor in every voter's configuration", voters-1, v.Rules.Floor)
	}
	if !v.survives(name) {
		var gone string
		for _, x := range v.Config.Servers {
			if x.Votes && x.Name != name && !v.alive(x.Name) {
				gone += " " + x.Name
			}
		}
		return policy.Errorf(policy.QuorumAtRisk,
			"without it no living majority of voters would be left, because these do not answer:%s: start them, or remove one of them instead", gone)
	}
	return nil
}

// Health is how a member does, in one word.
type Health string

// The healths.
const (
	OK      Health = "ok"
	Behind  Health = "behind"  // heard of, and not caught up
	Silent  Health = "silent"  // not heard of for too long
	Unknown Health = "unknown" // not heard of since we lead, which is not long
)

// Health of a member.
func (v View) Health(name string) Health {
	h, heard := v.Heard[name]
	switch {
	case v.alive(name) && (name == v.Self || !h.Steady.IsZero()):
		return OK
	case v.alive(name):
		return Behind
	case heard || v.Now.Sub(v.Since) > v.Patience:
		return Silent
	}
	return Unknown
}

// JudgedIn is how long Health may go on being Unknown; 0 when it is not.
func (v View) JudgedIn(name string) time.Duration {
	if v.Health(name) != Unknown {
		return 0
	}
	return v.Patience - v.Now.Sub(v.Since)
}

// Successor is the voter that should lead when we may not go on; "" when none is fit.
func (v View) Successor() string { return v.handOver("").Name }
