package attacks

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
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
	for end := time.Now().Add(30 * time.Second); ; {
		size, err := strconv.Atoi(strings.Fields(s.checkpoint())[0])
		check(s.t, err)
		if size > len(s.Env.Voters()) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("not every voter has announced itself: %d changes", size)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// rss is the resident memory of cp1.
func (s *site) rss() int { s.t.Helper(); return s.rssOf("cp1") }

func (s *site) rssOf(name string) int {
	s.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process(name).PID()))
	check(s.t, err)
	for _, line := range strings.Split(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			check(s.t, err)
			return kb << 10
		}
	}
	s.t.Fatal("no VmRSS: these tests need Linux")
	return 0
}

// attack runs one and sees that the others go on, memory stays bounded, and
// nothing was changed: the audit log has a leaf for every change, so that an
// equal root is an equal history (INV27).
func (s *site) attack(name string, do func(ctx context.Context) (witness string)) {
	s.t.Helper()
	s.t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		before, memory := s.checkpoint(), s.rss()
		ctx, cancel := context.WithTimeout(t.Context(), duration)
		defer cancel()
		var good, bad atomic.Int64
		var peak atomic.Int64
		done := make(chan struct{})
		for range clients {
			go func() {
				defer func() { done <- struct{}{} }()
				for ctx.Err() == nil {
					c, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
					_, err := s.control.Regions(c)
					stop()
					if err != nil {
						bad.Add(1)
						t.Logf("a client's request failed: %v", err)
						continue
					}
					good.Add(1)
				}
			}()
		}
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				peak.Store(max(peak.Load(), int64(s.rss())))
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}()
		witness := do(ctx)
		<-ctx.Done()
		for range clients + 1 {
			<-done
		}
		g, b := good.Load(), bad.Load()
		t.Logf("%s; others: %d requests, %d failed; memory %d MiB before, %d MiB at most", witness, g+b, b, memory>>20, peak.Load()>>20)
		if g < 10 || float64(g) < success*float64(g+b) {
			t.Errorf("others had %d of %d requests answered", g, g+b)
		}
		if peak.Load() > int64(memory+moreRSS) {
			t.Errorf("memory grew from %d MiB to %d MiB", memory>>20, peak.Load()>>20)
		}
		if after := s.checkpoint(); after != before {
			t.Errorf("the attack changed the state:\n%s\n%s", before, after)
		}
		log, err := os.ReadFile(s.Process("cp1").Log())
		check(t, err)
		if strings.Contains(string(log), s.Env.Token()) || strings.Contains(string(log), private) {
			t.Error("the log holds a token or what the attacker sent")
		}
		if strings.Contains(string(log), "panic") {
			t.Error("the voter's log speaks of a panic")
		}
	})
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
