package attacks

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/testcluster"
)

// victim is a process under attack, and who else uses it.
type victim struct {
	process *testcluster.Process
	ask     func(context.Context) error // one request of the others
	state   func() string               // what no attack may change, the others aside
	secrets []string                    // that its log must not hold
	lasts   time.Duration               // of an attack at most; 0: duration
	most    int64                       // bytes of memory that the process may have; 0: moreRSS more than before
}

// rss is the resident memory of a process in bytes.
func rss(t *testing.T, p *testcluster.Process) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	check(t, err)
	for _, line := range strings.Split(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			check(t, err)
			return kb << 10
		}
	}
	t.Fatal("no VmRSS: these tests need Linux")
	return 0
}

// attack runs one and sees that the others go on, memory stays bounded, and
// nothing was changed.
func (v victim) attack(t *testing.T, name string, do func(ctx context.Context) (witness string)) {
	t.Helper()
	t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		before, memory := v.state(), rss(t, v.process)
		ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(v.lasts, duration))
		defer cancel()
		var good, bad, peak atomic.Int64
		done := make(chan struct{})
		for range clients {
			go func() {
				defer func() { done <- struct{}{} }()
				for ctx.Err() == nil {
					c, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
					err := v.ask(c)
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
				peak.Store(max(peak.Load(), int64(rss(t, v.process))))
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}()
		witness := do(ctx)
		if v.lasts > 0 {
			cancel() // whoever bounds an attack by itself has seen what it wanted
		}
		<-ctx.Done()
		for range clients + 1 {
			<-done
		}
		g, b := good.Load(), bad.Load()
		t.Logf("%s; others: %d requests, %d failed; memory %d MiB before, %d MiB at most", witness, g+b, b, memory>>20, peak.Load()>>20)
		if g < 10 || float64(g) < success*float64(g+b) {
			t.Errorf("others had %d of %d requests answered", g, g+b)
		}
		if weighed && peak.Load() > cmp.Or(v.most, int64(memory+moreRSS)) {
			t.Errorf("memory grew from %d MiB to %d MiB", memory>>20, peak.Load()>>20)
		}
		if after := v.state(); after != before {
			t.Errorf("the attack changed the state:\n%s\n%s", before, after)
		}
		v.silent(t)
	})
}

// weighed says whether bounds on memory mean anything: the race detector, of which
// processes have their part when the tests have it, takes five to ten times as much.
var weighed = testcluster.RaceFlags() == nil

// silent sees that the log holds neither secrets nor a panic.
func (v victim) silent(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile(v.process.Log())
	check(t, err)
	for _, secret := range v.secrets {
		if strings.Contains(string(log), secret) {
			t.Error("the log holds a credential or what the attacker sent")
		}
	}
	if strings.Contains(string(log), "panic") {
		t.Error("the log speaks of a panic")
	}
}
