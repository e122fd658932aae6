package replica

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A leader that has not applied what was acknowledged before its term would judge
// by what was. Here its state has to be made again from the log, as after a power
// cut, which takes it a while that everybody can see.
func TestINV30_WhoeverLeadsHasAppliedWhatWasAcknowledged(t *testing.T) {
	c := startCluster(t, 1, nil)
	const tenants = 200
	var acknowledged uint64
	for n := range tenants {
		acknowledged = c.tenant(n).Revision
	}
	c.kill("cp1")
	left, err := filepath.Glob(filepath.Join(c.dir, "cp1", "state.db*"))
	check(t, err)
	for _, path := range left {
		check(t, os.Remove(path))
	}
	n := c.start("cp1", nil)
	if at := n.store.Revision(); at >= acknowledged {
		t.Fatalf("void: the state was at revision %d before anybody led", at)
	}
	for end := time.Now().Add(patience); ; {
		changed := n.LeaderChanged()
		if n.IsLeader() {
			break
		}
		select {
		case <-changed:
		case <-time.After(time.Until(end)):
			t.Fatal("nobody leads")
		}
	}
	if at := n.store.Revision(); at < acknowledged {
		t.Errorf("it leads at revision %d, and %d was acknowledged", at, acknowledged)
	}
}
