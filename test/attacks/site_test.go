package attacks

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/internal/testcluster"
)

const (
	duration = 3 * time.Second // of one attack
	clients  = 4               // that go on working meanwhile
	moreRSS  = 192 << 20       // bytes of memory that an attack may cost
	success  = 0.99            // of the others' requests (INV41)
)

// site is a control plane of three voters; cp1 is attacked.
type site struct {
	t *testing.T
	*testcluster.Cluster
	control          *client.Control
	rest, grpc, raft string // host:port of cp1
	ca               string
}

func open(t *testing.T) *site {
	t.Helper()
	c, err := testcluster.Open(t.Context(), testcluster.Options{Dir: t.TempDir(), Bin: bin, Only: testcluster.ControlPlane})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	u, err := url.Parse(c.Env.VoterURL("cp1"))
	check(t, err)
	config := c.Env.VoterConfig("cp1")
	s := &site{t: t, Cluster: c, control: c.Control("cp1"), rest: u.Host, grpc: config.GRPCAddress, raft: config.RaftAddress, ca: c.Env.CAFile()}
	s.settle()
	return s
}

// settle waits until each voter has announced itself, which is a change of the
// state that no attack made: one leaf for each, after the first of the cluster.
func (s *site) settle() {
	s.t.Helper()
	s.eventually("every voter's announcement", func() bool { return s.changes() > len(s.Env.Voters()) })
}

// changes is how many the audit log of cp1 has.
func (s *site) changes() int {
	s.t.Helper()
	size, err := strconv.Atoi(strings.Fields(s.checkpoint())[0])
	check(s.t, err)
	return size
}

func (s *site) rssOf(name string) int { s.t.Helper(); return rss(s.t, s.Process(name)) }

// attack runs one against cp1. The audit log has a leaf for every change, so that
// an equal root is an equal history (INV27).
func (s *site) attack(name string, do func(ctx context.Context) (witness string)) {
	s.t.Helper()
	v := victim{process: s.Process("cp1"), state: s.checkpoint, secrets: []string{s.Env.Token(), private}, ask: func(ctx context.Context) error {
		_, err := s.control.Regions(ctx)
		return err
	}}
	v.attack(s.t, name, do)
}

// private is what attackers send and nobody may find in a log.
const private = "Aoife-353861234567"

// checkpoint is size and root of the audit log.
func (s *site) checkpoint() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cp, err := s.control.AuditCheckpoint(ctx)
	check(s.t, err)
	lines := strings.Split(cp.GetNote(), "\n")
	if len(lines) < 3 {
		s.t.Fatalf("no checkpoint: %q", cp.GetNote())
	}
	return lines[1] + " " + lines[2]
}
