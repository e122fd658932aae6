package replica

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

func epochCommand(t *testing.T, epoch uint64) []byte {
	t.Helper()
	b, err := store.Encode(store.Command{Stamp: store.Stamp{Now: time.Unix(1000, 0), Actor: "bootstrap"},
		Payload: store.RaiseEpoch{ClusterID: clusterID, Epoch: epoch, Cause: store.CauseRecover, Voter: "cp1", Source: fmt.Sprintf("%064x", epoch)}})
	check(t, err)
	return b
}

// offline opens a stopped voter's state for as long as do runs.
func (c *cluster) offline(name string, do func(dir string, s *store.Store) error) {
	c.t.Helper()
	s, err := store.Open(store.Options{Path: filepath.Join(c.dir, name, "state.db"), Logger: discard})
	check(c.t, err)
	check(c.t, do(filepath.Join(c.dir, name, "raft"), s))
	check(c.t, s.Close())
}

// lose destroys all voters but one for good, and stops that.
func (c *cluster) lose(survivor string) Voter {
	c.t.Helper()
	var kept Voter
	for _, v := range c.voters {
		c.kill(v.Name)
		if v.Name == survivor {
			kept = v
			continue
		}
		check(c.t, os.RemoveAll(filepath.Join(c.dir, v.Name)))
	}
	c.voters = []Voter{kept}
	return kept
}

func TestASurvivorIsRecovered(t *testing.T) {
	snapshots := func(o *Options) { o.SnapshotThreshold, o.TrailingLogs, o.SnapshotInterval = 4, 2, 20*time.Millisecond }
	for name, x := range map[string]struct {
		tune func(*Options)
		cut  bool // the power, which takes the state with it
	}{
		"from its log": {}, "from its snapshot": {tune: snapshots},
		"from its log after a power cut": {cut: true}, "from its snapshot after a power cut": {tune: snapshots, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := startCluster(t, 3, x.tune)
			for n := 1; n <= 9; n++ {
				c.tenant(n)
			}
			c.equal()
			term := c.leader().Status().Term
			kept := c.lose("cp2")
			if x.cut {
				check(t, os.Remove(filepath.Join(c.dir, "cp2", "state.db")))
			}
			command := epochCommand(t, 2)
			var before End
			c.offline("cp2", func(dir string, s *store.Store) (err error) {
				check(t, Reload(dir, s, discard))
				before, err = ReadEnd(dir, discard)
				check(t, err)
				if len(before.Members) != 3 {
					t.Errorf("the members are %v", before.Members)
				}
				return Recover(dir, s, kept, command, discard)
			})
			n := c.start("cp2", nil)
			c.tenant(10)
			st := n.Status()
			if len(st.Members) != 1 || st.Term <= term+TermJump {
				t.Errorf("voters %v, term %d after %d", st.Members, st.Term, term)
			}
			if have := policy.EpochOf(n.store.Revision()); have != 2 {
				t.Errorf("the epoch is %d", have)
			}
			for i := 1; i <= 10; i++ {
				if _, err := n.store.Tenant(tenantID(i)); err != nil {
					t.Errorf("tenant %d: %v", i, err)
				}
			}
			c.kill("cp2")
			c.start("cp2", nil)
			c.tenant(11)
		})
	}
}

// A recovery that was cut short after its entry was written goes on with that
// entry, and one that was done does no harm when it is done again.
func TestACutShortRecoveryGoesOn(t *testing.T) {
	c := startCluster(t, 3, nil)
	c.tenant(1)
	c.equal()
	kept := c.lose("cp1")
	command := epochCommand(t, 2)
	c.offline("cp1", func(dir string, s *store.Store) error {
		f, err := openFiles(dir, discard)
		check(t, err)
		end, err := f.end()
		check(t, err)
		check(t, f.append(end, command)) // and the power fails
		check(t, f.close())
		again, err := ReadEnd(dir, discard)
		check(t, err)
		if string(again.Command) != string(command) || again.Index != end.Index+1 || again.Term < end.Term+TermJump {
			t.Errorf("the log ends with %+v after %+v", again, end)
		}
		check(t, Recover(dir, s, kept, again.Command, discard))
		done, err := ReadEnd(dir, discard)
		check(t, err)
		if !done.Compacted || done.Index != again.Index || len(done.Members) != 1 {
			t.Errorf("afterwards: %+v", done)
		}
		return nil
	})
	n := c.start("cp1", nil)
	c.tenant(2)
	if have := policy.EpochOf(n.store.Revision()); have != 2 {
		t.Errorf("the epoch is %d", have)
	}
}

func TestAStateIsSeeded(t *testing.T) {
	c := startCluster(t, 1, nil)
	c.tenant(1)
	kept := c.lose("cp1")
	dir := filepath.Join(c.dir, "cp1")
	c.offline("cp1", func(raftDir string, s *store.Store) error {
		if err := Seed(raftDir, s, kept, discard); err == nil {
			t.Error("an existing folder was seeded")
		}
		check(t, os.RemoveAll(raftDir))
		index, term := s.Applied()
		res, err := s.Apply([]store.Entry{{Index: index + 1, Term: term + TermJump, Data: epochCommand(t, 5)}})
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
		return Seed(filepath.Join(dir, "raft"), s, kept, discard)
	})
	n := c.start("cp1", nil)
	c.tenant(2)
	if have := policy.EpochOf(n.store.Revision()); have != 5 {
		t.Errorf("the epoch is %d", have)
	}
	if st := n.Status(); st.Term <= TermJump || len(st.Members) != 1 {
		t.Errorf("%+v", st)
	}
	c.kill("cp1")
	// Without its state file, the voter gets the state back from the snapshot.
	check(t, os.Remove(filepath.Join(dir, "state.db")))
	n = c.start("cp1", nil)
	c.tenant(3)
	for i := 1; i <= 3; i++ {
		if _, err := n.store.Tenant(tenantID(i)); err != nil {
			t.Errorf("tenant %d: %v", i, err)
		}
	}
}
