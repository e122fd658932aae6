package overload

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/dataplane"
)

// The promises (05 of the contract, and 04 section 6).
const (
	atLeast     = 0.80                  // of the peak, at 5 times the capacity
	refusedIn   = 50 * time.Millisecond // p99
	others      = 0.99                  // of their requests, beside a tenant at 20 times
	normalAfter = 30 * time.Second
)

// TestINV41_Overload measures: it needs the machine to itself, and a node and a
// sender that do not share a core. make overload runs it.
func TestINV41_Overload(t *testing.T) {
	if !*measure {
		t.Skip("measures; make overload runs it")
	}
	n := openNode(t, func(*dataplane.Config) {})
	n.onOneCore()
	apart(t, n.Process("ie1").PID())
	m := &measured{t: t, n: n, base: n.rss(), busy: load()}
	stop := m.watch()
	loud := n.tenant("loud")
	quiet := []*sender{n.tenant("q1"), n.tenant("q2"), n.tenant("q3"), n.tenant("q4")}

	loud.closed(16, *phase/4) // caches, connections, the disk
	capacity := loud.closed(16, *phase)
	rate := float64(len(capacity.ok)) / capacity.took.Seconds()
	m.capacity(rate, capacity)
	before := m.open(loud, "0.5 ×, before", rate/2, *phase/2)
	peak := max(capacity.goodput(), 1)
	for _, times := range []float64{1, 2, 5, 10} {
		a := m.open(loud, fmt.Sprintf("%v ×", times), rate*times, *phase)
		peak = max(peak, a.goodput())
		if times == 5 && a.goodput() < atLeast*peak {
			t.Errorf("goodput at 5 × is %.0f records/s, less than %.0f %% of the peak, %.0f", a.goodput(), 100*atLeast, peak)
		}
		if late := percentile(a.refused, 0.99); late > refusedIn {
			t.Errorf("at %v × the 99th percentile of refusals took %v", times, late)
		}
	}
	flood := time.Now()
	after := loud.open(t, rate/2, *phase/2)
	for after.share() < 1 && time.Since(flood) < normalAfter {
		after = loud.open(t, rate/2, *phase/2)
	}
	m.row(fmt.Sprintf("0.5 ×, %.0f s after", (time.Since(flood)-after.took).Seconds()), after)
	if after.share() < 1 || percentile(after.ok, 0.5) > 2*percentile(before.ok, 0.5)+10*time.Millisecond {
		t.Errorf("after the flood %.1f %% were taken, median %v; before it %v", 100*after.share(), percentile(after.ok, 0.5), percentile(before.ok, 0.5))
	}
	m.fairness(loud, quiet, rate)
	stop()
	m.losses(append(quiet, loud))
	m.write()
}

// measured is the table.
type measured struct {
	t    *testing.T
	n    *node
	base int64
	most int64
	busy string // the machine's load average when it began
	rows []string
	said []string
	idle string // of the latest load: how late the sender itself was, and how long the node waited for its core
}

// open is one load, with what it says of sender and node.
func (m *measured) open(s *sender, load string, rate float64, d time.Duration) *answers {
	s.prepare(int(1.1*rate*d.Seconds()) + 50)
	stop := m.watchTurns()
	a := s.open(m.t, rate, d)
	m.idle = stop()
	m.row(load, a)
	return a
}

func (m *measured) capacity(rate float64, a *answers) {
	m.said = append(m.said, fmt.Sprintf("Capacity: %.0f batches of %d records a second, %.0f records/s (16 senders, each waiting for its answer; gzip; the node on one core, the senders on the other).",
		rate, batchSize, a.goodput()))
	if len(a.other) > 0 || rate < 1 {
		m.t.Fatalf("no capacity could be measured: %v", a.other)
	}
}

func (m *measured) row(load string, a *answers) {
	row := fmt.Sprintf("| %s | %.0f | %.0f | %.0f %% | %s | %s | %s | %s | %d |", load, float64(a.sent+a.held)/a.took.Seconds(), a.goodput(),
		100*a.share(), short(percentile(a.ok, 0.5)), short(percentile(a.refused, 0.5)), short(percentile(a.refused, 0.99)), m.idle, m.n.rss()>>20)
	m.rows = append(m.rows, row)
	m.t.Log(row, a.other, "held back:", a.held, "made late:", a.late.Load(), "connections made:", a.dialled.Load())
	if len(a.other) > 0 {
		m.t.Errorf("%s: neither taken nor refused: %v", load, a.other)
	}
}

func short(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// fairness lets one tenant send 20 times its part of the node, four others less
// than theirs.
func (m *measured) fairness(loud *sender, quiet []*sender, rate float64) {
	fair := rate / float64(len(quiet)+1)
	var all sync.WaitGroup
	of := make([]*answers, len(quiet)+1)
	loud.prepare(mostPrepared)
	for _, s := range quiet {
		s.prepare(int(fair * phase.Seconds()))
	}
	stop := m.watchTurns()
	all.Go(func() { of[0] = loud.open(m.t, 20*fair, *phase) })
	for i, s := range quiet {
		all.Go(func() { of[i+1] = s.open(m.t, fair/2, *phase) })
	}
	all.Wait()
	m.idle = stop()
	m.row("one tenant at 20 × its part", of[0])
	sent, ok, slow := 0, 0, time.Duration(0)
	for i, a := range of[1:] {
		m.t.Logf("%s: %d sent, %d taken (median %s, p99 %s), %d refused", quiet[i].slug, a.sent, len(a.ok), short(percentile(a.ok, 0.5)), short(percentile(a.ok, 0.99)), len(a.refused))
		sent, ok, slow = sent+a.sent+a.held, ok+len(a.ok), max(slow, percentile(a.ok, 0.99))
	}
	share := float64(ok) / float64(sent)
	m.said = append(m.said, fmt.Sprintf("Beside that tenant, four others at half their part each: %d of %d requests taken (%.2f %%), the slowest one's 99th percentile %s.", ok, sent, 100*share, short(slow)))
	if share < others {
		m.t.Errorf("the others had %d of %d requests taken; %v %v %v %v", ok, sent, of[1].other, of[2].other, of[3].other, of[4].other)
	}
}

// losses compares what was acknowledged with what is there.
func (m *measured) losses(all []*sender) {
	var stored, sure, unsure int64
	for _, s := range all {
		got := m.n.stored(s.slug)
		if got < s.acknowledged.Load() || got > s.acknowledged.Load()+s.unsure.Load() {
			m.t.Errorf("%s: %d calls are stored, %d acknowledged, %d not known", s.slug, got, s.acknowledged.Load(), s.unsure.Load())
		}
		stored, sure, unsure = stored+got, sure+s.acknowledged.Load(), unsure+s.unsure.Load()
	}
	m.said = append(m.said, fmt.Sprintf("Acknowledged: %d records; stored: %d; without an answer: %d.", sure, stored, unsure))
	m.said = append(m.said, fmt.Sprintf("Resident memory: %d MiB before, %d MiB at most.", m.base>>20, m.most>>20))
	if m.most-m.base > moreRSS {
		m.t.Errorf("memory grew from %d MiB to %d MiB", m.base>>20, m.most>>20)
	}
}

// watch samples the node's memory until it is stopped.
func (m *measured) watch() (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			m.most = max(m.most, m.n.rss())
			select {
			case <-end:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() { close(end); <-done }
}

func (m *measured) write() {
	m.said = append(m.said, fmt.Sprintf("The machine's load average (1, 5, 15 minutes): %s when it began, %s when it ended, the run itself included.", m.busy, load()))
	text := strings.Join(m.said, "\n") + "\n\n| load | batches/s sent | records/s taken | of those answered, taken | median, taken | median, refused | p99, refused | sender late, p99; node ran, was kept from its core | RSS, MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n" + strings.Join(m.rows, "\n") + "\n"
	m.t.Log("\n" + text)
	if *result == "" || m.t.Failed() {
		return
	}
	raw, err := os.ReadFile(*result)
	check(m.t, err)
	const begin, end = "<!-- from make overload -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(string(raw), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		m.t.Fatalf("%s has no place for the table", *result)
	}
	check(m.t, os.WriteFile(*result, []byte(head+begin+fmt.Sprintf("%s, %s, %d cores.\n\n", time.Now().UTC().Format(time.DateOnly), kernel(), runtime.NumCPU())+text+end+tail), 0o644))
}

// load is the machine's load average: what else ran says whether a run is to be believed.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(raw)); err == nil && len(f) > 3 {
		return strings.Join(f[:3], ", ")
	}
	return "not known"
}

func kernel() string {
	out, err := exec.Command("uname", "-sr").Output()
	if err != nil {
		return runtime.GOOS
	}
	return strings.TrimSpace(string(out))
}

// apart puts the node on one core and this process on the others, before what
// else runs here when that is allowed: a sender that takes the node's processor
// would measure itself.
func apart(t *testing.T, pid int) {
	t.Helper()
	if runtime.NumCPU() < 2 {
		t.Fatal("a measurement needs two cores")
	}
	put := func(pid int, cores ...int) {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		check(t, err)
		for _, task := range tasks {
			var tid int
			_, err := fmt.Sscan(task.Name(), &tid)
			check(t, err)
			var set unix.CPUSet
			for _, c := range cores {
				set.Set(c)
			}
			check(t, unix.SchedSetaffinity(tid, &set))
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, tid, -15) // without the right to, it is as others are
		}
	}
	var rest []int
	for c := 1; c < runtime.NumCPU(); c++ {
		rest = append(rest, c)
	}
	// Within a session that the kernel schedules as one, its place among others counts.
	_ = os.WriteFile("/proc/self/autogroup", []byte("-15"), 0)
	put(pid, 0)
	put(os.Getpid(), rest...)
}
