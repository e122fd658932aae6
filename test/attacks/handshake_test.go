package attacks

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

const (
	silent     = 400       // connections held to each port that say nothing
	silentRSS  = 24 << 20  // bytes of memory that they may cost a voter
	leftBehind = 8 << 10   // bytes of garbage that one leaves that came and was cut
	mostLeft   = 128 << 20 // bytes of garbage that a voter lets lie before it collects it (ADR 0067)
	comingBack = 30 * time.Second
)

// TestINV41_AVoterComesBackPastSilentConnections holds 400 silent connections to
// the Raft port and the gRPC port of each voter, and begins another for each that
// is cut. A voter that is killed meanwhile must come back, and memory must not
// grow by what the connections would cost behind the handshake (Raft's transport
// keeps a quarter of a mebibyte for each: they once cost 100 MiB a port).
func TestINV41_AVoterComesBackPastSilentConnections(t *testing.T) {
	s := open(t)
	before := map[string]int{}
	for _, v := range s.Env.Voters() {
		before[v] = s.rssOf(v)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer func() { cancel(); all.Wait() }()
	var dialled atomic.Int64
	for _, v := range s.Env.Voters() {
		c := s.Env.VoterConfig(v)
		for _, address := range []string{c.RaftAddress, c.GRPCAddress} {
			for range silent {
				all.Go(func() { beSilent(ctx, address, &dialled) })
			}
		}
	}
	s.eventually("the connections", func() bool { return dialled.Load() >= int64(2*silent*len(before)) })

	check(t, s.Process("cp2").Kill())
	began := time.Now()
	check(t, s.Process("cp2").Start())
	ready, stop := context.WithTimeout(ctx, comingBack)
	defer stop()
	check(t, s.Process("cp2").WaitReady(ready))
	tenant, err := s.control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "past-the-silent", HomeRegion: "ie1", BillingCountry: "IE"})
	check(t, err)
	got, err := s.Control("cp2").Tenant(ctx, tenant.GetId())
	check(t, err)
	if got.GetSlug() != tenant.GetSlug() {
		t.Errorf("cp2 gives %v", got)
	}
	t.Logf("cp2 was back after %v; %d silent connections were begun", time.Since(began).Round(time.Millisecond), dialled.Load())
	left := min(int(dialled.Load())/len(before)*leftBehind, mostLeft)
	for v, was := range before {
		now := s.rssOf(v)
		t.Logf("%s: %d MiB before, %d MiB now", v, was>>20, now>>20)
		if weighed && v != "cp2" && now > was+silentRSS+left {
			t.Errorf("the memory of %s grew from %d MiB to %d MiB", v, was>>20, now>>20)
		}
	}
}

// beSilent keeps one connection, and begins it again when it is cut.
func beSilent(ctx context.Context, address string, dialled *atomic.Int64) {
	for ctx.Err() == nil {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		dialled.Add(1)
		if err != nil { // the voter is down, or its queue is full
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		cut := context.AfterFunc(ctx, func() { _ = c.Close() })
		_, _ = io.Copy(io.Discard, c)
		cut()
		_ = c.Close()
	}
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}
