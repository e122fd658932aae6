package replica

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/internal/mtls"
)

// A voter that is killed has not committed all that it has shown. It starts with it,
// although nobody is there to say what is committed.
func TestINV30_AKilledVoterStartsWithWhatItHadShown(t *testing.T) {
	c := startCluster(t, 3, nil)
	c.gather = time.Hour
	for _, v := range c.voters { // with stores that commit nothing by the clock
		c.kill(v.Name)
		c.start(v.Name, nil)
	}
	leader := c.leader().o.Name
	follower := "cp1"
	if leader == follower {
		follower = "cp2"
	}
	var revision uint64
	for n := range 40 {
		revision = c.tenant(n).Revision
	}
	for _, name := range []string{follower, leader} {
		n := c.nodes[name]
		check(t, n.WaitRevision(t.Context(), revision))
		check(t, chaos.Copy(filepath.Join(c.dir, name), filepath.Join(c.dir, name+" killed")))
	}
	for _, v := range c.voters {
		c.kill(v.Name)
	}
	for _, name := range []string{follower, leader} { // never both: there is no quorum
		dir := filepath.Join(c.dir, name)
		check(t, os.RemoveAll(dir))
		check(t, os.Rename(dir+" killed", dir))
		at, shown := c.left(name)
		if at >= shown {
			t.Fatalf("void: %s had committed everything: entry %d of %d", name, at, shown)
		}
		n := c.start(name, nil)
		if got := n.store.Revision(); got != revision {
			t.Errorf("%s starts at revision %d, and had shown %d", name, got, revision)
		}
		for i := range 40 {
			if _, err := n.store.Tenant(tenantID(i)); err != nil {
				t.Errorf("%s, tenant %d: %v", name, i, err)
			}
		}
		c.kill(name)
	}
	for _, v := range c.voters {
		c.start(v.Name, nil)
	}
	c.tenant(41)
	c.equal()
}

// left says where the file of a voter that does not run is, and how far it was shown.
func (c *cluster) left(name string) (at, shown uint64) {
	c.t.Helper()
	s, err := store.Open(store.Options{Path: filepath.Join(c.dir, name, "state.db")})
	check(c.t, err)
	at, _ = s.Applied()
	shown = s.Shown()
	check(c.t, s.Close())
	return at, shown
}

// A state that was shown beyond the end of the Raft log is not that log's.
func TestAMarkBeyondTheLogIsRefused(t *testing.T) {
	c := startCluster(t, 1, nil)
	c.tenant(1)
	c.kill("cp1")
	state := filepath.Join(c.dir, "cp1", "state.db")
	mark := binary.BigEndian.AppendUint64(nil, 1_000_000)
	mark = binary.BigEndian.AppendUint32(mark, crc32.Checksum(mark, crc32.MakeTable(crc32.Castagnoli)))
	check(t, os.WriteFile(state+".applied", mark, 0o600))
	s, err := store.Open(store.Options{Path: state})
	check(t, err)
	defer s.Close()
	r, err := Open(Options{Name: "cp1", Dir: filepath.Join(c.dir, "cp1", "raft"), Voters: c.voters, Store: s, Bootstrap: true,
		TLS: c.material(clusterID, mtls.ControlPlane, 9)})
	if err == nil {
		_ = r.Shutdown(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("it was taken: %v", err)
	}
}
