package members

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a Steward. All fields are required.
type Options struct {
	Name    string        // ours
	Node    policy.NodeID // ours: the actor of what the steward changes
	Cluster string
	Store   *store.Store
	Replica *replica.Replica
	Roll    *Roll
	Rules   Rules
	Every   time.Duration // between looks; it also looks when the leader changes or is poked
	Logger  *slog.Logger
	Did     func(Deed) // counts
}

// Steward brings Raft's configuration to what the state says, while this member
// leads.
type Steward struct {
	o    Options
	poke chan struct{}
}

// NewSteward makes a steward; Run works.
func NewSteward(o Options) *Steward {
	return &Steward{o: o, poke: make(chan struct{}, 1)}
}

// Poke makes the steward look now.
func (s *Steward) Poke() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (s *Steward) Run(ctx context.Context) {
	tick := time.NewTicker(s.o.Every)
	defer tick.Stop()
	for {
		leader := s.o.Replica.LeaderChanged()
		if s.o.Replica.IsLeader() {
			s.work(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-leader:
		case <-s.poke:
		case <-tick.C:
		}
	}
}

// maxSteps bounds the steps of one look.
const maxSteps = 2 * store.MaxMembers

func (s *Steward) work(ctx context.Context) {
	s.o.Roll.Begin(s.o.Replica.Term(), time.Now())
	for range maxSteps {
		a := Step(s.View())
		if a.Do == Nothing || ctx.Err() != nil || !s.o.Replica.IsLeader() {
			return
		}
		if err := s.take(ctx, a); err != nil {
			s.o.Logger.Warn("a step of the membership was not taken, and is tried again", "do", string(a.Do), "member", a.Name, "why", a.Why, "err", err)
			return
		}
		s.o.Did(a.Do)
		s.o.Logger.Info("the membership was changed", "do", string(a.Do), "member", a.Name, "version", a.Version, "why", a.Why)
	}
}

// View is everything that steps are decided by, as of now.
func (s *Steward) View() View {
	heard, since := s.o.Roll.Snapshot()
	v := View{Now: time.Now(), Self: s.o.Name, Since: since, Patience: s.o.Roll.Patience(), Config: s.o.Replica.Configuration(),
		Members: s.o.Store.Members(), Heard: heard, Silent: map[string]bool{}, Rules: s.o.Rules}
	for _, x := range v.Config.Servers {
		if s.o.Replica.Silent(x.Name) {
			v.Silent[x.Name] = true
		}
	}
	return v
}

// take takes one step.
func (s *Steward) take(ctx context.Context, a Action) error {
	index := s.o.Replica.Configuration().Index
	switch a.Do {
	case HandOver:
		return s.o.Replica.TransferTo(ctx, a.Name)
	case Expel:
		return s.o.Replica.RemoveServer(ctx, a.Name, index)
	case Admit, Demote:
		return s.o.Replica.SetServer(ctx, replica.Server{Name: a.Name, Address: a.Address}, index)
	case Enable:
		return s.o.Replica.SetServer(ctx, replica.Server{Name: a.Name, Address: a.Address, Votes: true}, index)
	case Readdress:
		have, _ := s.o.Replica.Configuration().Has(a.Name)
		return s.o.Replica.Readdress(ctx, replica.Server{Name: a.Name, Address: a.Address, Votes: have.Votes}, index)
	case Grant:
		m, ok := s.o.Store.Members().Find(store.MemberName(a.Name))
		if !ok {
			return fmt.Errorf("member %s is gone", a.Name)
		}
		p := m.Put()
		p.Votes = true
		return s.propose(ctx, p)
	case Bury:
		m, _ := s.o.Store.Members().Find(store.MemberName(a.Name))
		return s.propose(ctx, store.RemoveMember{ClusterID: s.o.Cluster, Name: store.MemberName(a.Name), Node: m.Node})
	case Raise:
		return s.propose(ctx, store.RaiseVersion{ClusterID: s.o.Cluster, Version: a.Version})
	}
	return fmt.Errorf("no such step: %s", a.Do)
}

func (s *Steward) propose(ctx context.Context, p store.Payload) error {
	res, err := s.o.Replica.Propose(ctx, store.Command{Stamp: store.Stamp{Now: time.Now().UTC(), Actor: string(s.o.Node)}, Payload: p})
	if err == nil && res.Err != nil {
		return res.Err
	}
	return err
}
