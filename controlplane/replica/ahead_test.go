package replica

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/store"
)

// gate holds up the syncs of one voter's log beside its sending.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // nil: not held
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

func (g *gate) pass(sync func() error) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		<-opened
	}
	return sync()
}

// gatedCluster has three voters whose log can be held up.
func gatedCluster(t *testing.T) (*cluster, map[string]*gate) {
	gates := map[string]*gate{"cp1": {}, "cp2": {}, "cp3": {}}
	c := startCluster(t, 3, func(o *Options) {
		o.syncing = gates[o.Name].pass
		o.DiskTimeout = 2 * patience
	})
	t.Cleanup(func() {
		for _, g := range gates {
			g.open()
		}
	})
	return c, gates
}

// later proposes a tenant and gives the outcome when there is one.
func later(n *node, tenant int) <-chan error {
	outcome := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s := store.Stamp{Now: time.Now(), Actor: actor, IdempotencyKey: fmt.Sprintf("00000000-0000-4000-8000-%012x", tenant), RequestHash: hash(fmt.Sprint(tenant))}
		_, err := n.Propose(ctx, store.Command{Stamp: s, Payload: tenantPayload(tenant)})
		outcome <- err
	}()
	return outcome
}

// everyoneHas waits until every voter has entries up to index in its log.
func (c *cluster) everyoneHas(index uint64) {
	c.t.Helper()
	eventually(c.t, "entries on every voter", func() bool {
		for _, n := range c.nodes {
			if n.raft.LastIndex() < index {
				return false
			}
		}
		return true
	})
}

// Raft believes a change to be committed while the leader's own disk has not synced
// it. Nobody is answered, no other voter hears of it and nothing is applied, until
// it has.
func TestINV30_NothingCountsBeforeTheLeadersOwnDisk(t *testing.T) {
	c, gates := gatedCluster(t)
	c.tenant(1)
	c.equal()
	leader := c.leader()
	before := leader.raft.LastIndex()
	gates[leader.o.Name].hold()
	first := later(leader, 2)
	c.everyoneHas(before + 1)
	eventually(t, "Raft to count the leader's copy", func() bool { return leader.raft.CommitIndex() > before })
	// What is sent from now on would carry that commit. Two more entries: that the
	// second has come means that the one before it was taken in whole.
	outcomes := []<-chan error{first, later(leader, 3)}
	c.everyoneHas(before + 2)
	outcomes = append(outcomes, later(leader, 4))
	c.everyoneHas(before + 3)
	for name, n := range c.nodes {
		if n != leader && n.raft.CommitIndex() > before {
			t.Errorf("%s was told of the commit of entry %d, and the leader may still lose it", name, n.raft.CommitIndex())
		}
		if applied, _ := n.store.Applied(); applied > before {
			t.Errorf("%s has applied entry %d, and the leader may still lose it", name, applied)
		}
	}
	for i, o := range outcomes {
		select {
		case err := <-o:
			t.Fatalf("tenant %d was answered before the leader's disk had it: %v", i+2, err)
		default:
		}
	}
	gates[leader.o.Name].open()
	for _, o := range outcomes {
		check(t, <-o)
	}
	c.equal()
}

// A leader that another one follows stores no newer term, and so answers nobody in
// it, before its own disk has what it sent as leader.
func TestINV30_ALeaderSyncsBeforeItStepsDown(t *testing.T) {
	c, gates := gatedCluster(t)
	c.tenant(1)
	c.equal()
	old := c.leader()
	var mu sync.Mutex
	early := 0
	guard := old.disk.votes.guard
	old.disk.votes.guard = func(what string, write func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if old.disk.log.Synced() < old.disk.log.Last() {
			early++
		}
		return guard(what, write)
	}
	before, term := old.raft.LastIndex(), old.raft.CurrentTerm()
	gates[old.o.Name].hold()
	outcome := later(old, 2)
	c.everyoneHas(before + 1)
	transfer := old.raft.LeadershipTransfer() // so that another asks for votes
	eventually(t, "another leader", func() bool {
		for _, n := range c.nodes {
			if n != old && n.IsLeader() && n.raft.CurrentTerm() > term {
				return old.raft.State() != raft.Leader
			}
		}
		return false
	})
	gates[old.o.Name].open()
	eventually(t, "the old leader to follow", func() bool { return old.raft.CurrentTerm() > term })
	_ = transfer.Error() // it gave up, perhaps, while our disk was held up
	<-outcome            // done or unknown: the entry was on every voter
	c.equal()
	mu.Lock()
	defer mu.Unlock()
	if early > 0 {
		t.Errorf("a newer term or a vote was stored %d times while entries sent as leader were not durable", early)
	}
}

// A heartbeat of a newer leader changes the term on a goroutine of its own, while
// the old leader's loop may be about to store. Whichever comes first, nothing
// unsynced is left behind the newer term.
func TestINV30_NothingIsAheadOfAPassedTerm(t *testing.T) {
	g := &gate{}
	d, err := openDisk(t.TempDir(), 2*patience, func(err error) { t.Error(err) })
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	t.Cleanup(g.open)
	inner := d.syncLog
	d.syncLog = func() error { return g.pass(inner) }
	check(t, d.SetUint64(keyTerm, 3))
	command := func(index, term uint64) []*raft.Log {
		return []*raft.Log{{Index: index, Term: term, Type: raft.LogCommand, Data: withSum([]byte("x"))}}
	}
	d.ahead.of(func() bool { return true })
	check(t, d.StoreLogs(append(command(1, 3), &raft.Log{Index: 2, Term: 3, Type: raft.LogNoop})))
	if d.log.Synced() != 2 {
		t.Fatalf("synced up to %d, want 2: Raft itself acts on the second", d.log.Synced())
	}
	g.hold()
	check(t, d.StoreLogs(command(3, 3))) // returns though no sync does
	entered := make(chan error, 1)
	go func() { entered <- d.SetUint64(keyTerm, 4) }()
	g.open()
	check(t, <-entered)
	if d.log.Synced() != 3 {
		t.Fatalf("in term 4, and synced up to %d, want 3", d.log.Synced())
	}
	g.hold()
	check(t, d.StoreLogs(command(4, 3))) // its loop has not noticed yet; no sync beside it runs
	if d.log.Synced() != 4 {
		t.Fatalf("an entry of term 3, stored in term 4, is not synced: up to %d, want 4", d.log.Synced())
	}
}
