package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/policy"
)

// steady sends single calls from a few clients, and remembers which were acknowledged.
type steady struct {
	region *client.Region
	stop   chan struct{}
	all    sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]time.Time
	next   atomic.Int64
}

func startSteady(region *client.Region, name string) *steady {
	l := &steady{region: region, stop: make(chan struct{}), acked: map[string]time.Time{}}
	for range 4 {
		l.all.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				id := fmt.Sprintf("%s-%d", name, l.next.Add(1))
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				_, err := region.CreateCall(ctx, newCall(id))
				cancel()
				if err == nil {
					l.mu.Lock()
					l.acked[id] = time.Now()
					l.mu.Unlock()
				}
			}
		})
	}
	return l
}

func newCall(id string) data.NewCall {
	return data.NewCall{NativeID: id, From: "+353861234567", To: "+35315551234", Direction: "inbound", Status: "completed"}
}

func (l *steady) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *steady) end() { close(l.stop); l.all.Wait() }

// lost are acknowledged calls that are not there, or there twice.
func (l *steady) lost(t *testing.T) {
	t.Helper()
	there := map[string]int{}
	until(t, startLimit, "the calls can be read", func() error {
		clear(there)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return l.region.AllCalls(ctx, client.Filter{PageSize: 1000}, func(c data.Call) error { there[c.NativeID]++; return nil })
	})
	for id := range l.acked {
		if there[id] != 1 {
			t.Errorf("%s was acknowledged and is there %d times", id, there[id])
		}
	}
}

func (s *site) some(l *steady, n int) {
	s.t.Helper()
	before := l.count()
	until(s.t, startLimit, "load", func() error {
		if got := l.count() - before; got < n {
			return fmt.Errorf("%d acknowledged", got)
		}
		return nil
	})
}

// The first sync that fails ends the node: nothing is acknowledged after it, and
// the next start has all that was.
func TestINV33_FailedSync(t *testing.T) {
	if !chaos.HasStrace() || os.Geteuid() != 0 {
		t.Skip("SKIPPED: failing a sync needs strace and root")
	}
	s := openSite(t, siteOptions{})
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	l := startSteady(region, "sync")
	s.some(l, 30)
	out := filepath.Join(s.dir, "strace")
	w, err := chaos.Inject(context.Background(), s.node.PID(), "error=EIO", out)
	check(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	how, err := s.node.WaitEnd(ctx)
	check(t, err)
	ended := time.Now()
	check(t, w.End())
	l.end()
	if n, err := w.Count(); err != nil || n == 0 {
		t.Fatalf("void: no sync was met: %d, %v", n, err)
	}
	var exit *exec.ExitError
	if !errors.As(how, &exit) || exit.ExitCode() != 74 {
		t.Errorf("the node ended with %v", how)
	}
	for id, at := range l.acked {
		if at.After(ended) {
			t.Errorf("%s was acknowledged after the node ended", id)
		}
	}
	check(t, s.start())
	l.lost(t)
	t.Logf("%d acknowledged, then a sync failed, and the node ended: %v", l.count(), how)
}

// Slow syncs make acknowledgements late, and nothing else.
func TestINV33_SlowSync(t *testing.T) {
	if !chaos.HasStrace() || os.Geteuid() != 0 {
		t.Skip("SKIPPED: slowing a sync needs strace and root")
	}
	s := openSite(t, siteOptions{})
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	l := startSteady(region, "slow")
	s.some(l, 10)
	w, err := chaos.Inject(context.Background(), s.node.PID(), "delay_enter=200000", filepath.Join(s.dir, "strace"))
	check(t, err)
	s.some(l, 10)
	check(t, w.End())
	if n, err := w.Count(); err != nil || n == 0 {
		t.Fatalf("void: no sync was met: %d, %v", n, err)
	}
	check(t, s.node.Kill())
	l.end()
	check(t, s.start())
	l.lost(t)
}

// A disk without a free block: records are refused, or the node ends, and what
// was acknowledged is there when there is room again.
func TestINV33_FullDisk(t *testing.T) {
	s := openSite(t, siteOptions{volume: 256 << 20})
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	l := startSteady(region, "full")
	s.some(l, 30)
	check(t, s.volume.Fill())
	refused := false
	until(t, startLimit, "records are refused", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := region.CreateCall(ctx, newCall("refused"))
		refused = errors.Is(err, &policy.Error{Reason: policy.StorageFull})
		if err == nil {
			return errors.New("still taken in")
		}
		return nil
	})
	l.end()
	if s.node.Running() {
		if state, err := chaos.StateOf(s.node.PID()); err != nil || state == 'Z' {
			check(t, s.reap())
		} else {
			check(t, s.node.Kill())
		}
	}
	check(t, s.volume.Free())
	check(t, s.start())
	l.lost(t)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if _, err := region.CreateCall(ctx, newCall("again")); err != nil {
		t.Errorf("with room again: %v", err)
	}
	t.Logf("%d acknowledged; STORAGE_FULL was answered: %v", l.count(), refused)
}

// steps are the moments of an erasure at which a node is killed.
var steps = []string{"ledger/write", "ledger/sync", "erase/intent", "erased/intent", "erase/payloads", "erased/payloads", "erase/unlink", "erased/unlink", "erased/page", "rewrite/write", "rewrite/sync", "rewrite/synced",
	"destroy/keys", "keys/marked", "destroy/noted", "erase/calls", "erased/calls", "erase/quarantine", "erased/quarantine", "erase/forget", "erased/forget", "erase/executed", "erased/executed"}

// A node is killed at each step of an erasure. The next start ends what was
// acknowledged; nothing of the person is shown then, and everybody else is there.
func TestINV21_KillsWithinAnErasure(t *testing.T) {
	s := openSite(t, siteOptions{})
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	others := 0
	for i, step := range steps {
		number := fmt.Sprintf("+35387%07d", i)
		var calls []data.NewCall
		for k := range 3 {
			c := newCall(fmt.Sprintf("p%d-%d", i, k))
			c.From = number
			other := newCall(fmt.Sprintf("o%d-%d", i, k))
			calls = append(calls, c, other)
			others++
		}
		check(t, s.node.Kill())
		for n := 1; ; n++ { // some are come to at a start, too
			s.arm(step, "kill", n)
			err := s.start()
			if err == nil && !s.fired() {
				break
			}
			if !s.fired() || n == 20 {
				t.Fatalf("%s: %v\n%s", step, err, s.tail())
			}
			check(t, s.reap())
		}
		_, err := region.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))})
		if err != nil { // it was killed already: by what an earlier erasure left to be done
			check(t, s.reap())
			s.arm("", "", 0)
			check(t, s.start())
			_, err = region.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))})
			check(t, err)
			_, err = region.EraseSubject(ctx, data.SubjectRef{Number: number})
			check(t, err)
			until(t, startLimit, step+": the erasure is executed", func() error { return erasedAll(ctx, region, number, i) })
			continue
		}
		_, err = region.EraseSubject(ctx, data.SubjectRef{Number: number})
		until(t, startLimit, "the node comes to "+step, func() error {
			if !s.fired() {
				return errors.New("not yet")
			}
			return nil
		})
		check(t, s.reap())
		s.arm("", "", 0)
		check(t, s.start())
		if err != nil { // the answer was lost: whoever asked asks again
			until(t, startLimit, "asked again", func() error {
				_, err := region.EraseSubject(ctx, data.SubjectRef{Number: number})
				return err
			})
		}
		until(t, startLimit, step+": the erasure is executed", func() error { return erasedAll(ctx, region, number, i) })
	}
	n := 0
	check(t, region.AllCalls(ctx, client.Filter{PageSize: 1000}, func(c data.Call) error {
		if c.NativeID[0] == 'o' {
			n++
		}
		return nil
	}))
	if n != others {
		t.Errorf("%d calls of others are there, and %d were stored", n, others)
	}
	t.Logf("killed at %d moments of an erasure", len(steps))
}

// erasedAll is nil when every erasure is executed and nothing names the person.
func erasedAll(ctx context.Context, region *client.Region, number string, i int) error {
	for token := ""; ; {
		page, err := region.Certificates(ctx, token)
		if err != nil {
			return err
		}
		for _, c := range page.Certificates {
			if c.State == "pending" {
				return fmt.Errorf("%s is pending at %s %s", c.ID, c.Step, c.Problem)
			}
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	found, err := region.SearchCalls(ctx, data.Search{Number: number})
	if err != nil {
		return err
	}
	for _, c := range found.Calls {
		for k := range 3 {
			if c.NativeID == fmt.Sprintf("p%d-%d", i, k) {
				return fmt.Errorf("a call of the person is there")
			}
		}
	}
	return nil
}

// hold stops processes, as a partition of all of them does.
func (s *site) voters(sig syscall.Signal) {
	s.t.Helper()
	for _, v := range s.Env.Voters() {
		check(s.t, s.Process(v).Signal(sig))
	}
}
