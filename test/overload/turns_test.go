package overload

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// onOneCore starts the node anew as one that has one core and knows it.
func (n *node) onOneCore() {
	n.t.Helper()
	p := n.Process("ie1")
	check(n.t, p.Stop())
	p.Environ("GOMAXPROCS=1")
	check(n.t, p.Start())
	check(n.t, p.WaitReady(n.t.Context()))
}

// watchTurns measures, until it is stopped, what is no doing of the node's: how late
// a thing that the sender wanted to do each millisecond was done, and for what part of the
// time threads of the node ran, and were ready to and had no processor. When these are large, other
// work on the machine, or the sender, is what the load's numbers are of.
func (m *measured) watchTurns() (stop func() string) {
	end, done := make(chan struct{}), make(chan []time.Duration)
	pid := m.n.Process("ie1").PID()
	ranBefore, waitedBefore := turns(pid)
	began := time.Now()
	go func() {
		var late []time.Duration
		for {
			at := time.Now()
			select {
			case <-end:
				done <- late
				return
			case <-time.After(time.Millisecond):
			}
			late = append(late, time.Since(at)-time.Millisecond)
		}
	}()
	return func() string {
		close(end)
		late := <-done
		ran, waited := turns(pid)
		share := func(d time.Duration) float64 { return 100 * d.Seconds() / time.Since(began).Seconds() }
		return fmt.Sprintf("%s; %.0f %%, %.0f %%", short(percentile(late, 0.99)), share(ran-ranBefore), share(waited-waitedBefore))
	}
}

// turns are how long the threads of a process ran, and were ready to run and did not.
func turns(pid int) (ran, waited time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		raw, err := os.ReadFile(task)
		if err != nil {
			continue // it ended
		}
		var on, off int64
		if _, err := fmt.Fscan(strings.NewReader(string(raw)), &on, &off); err == nil {
			ran, waited = ran+time.Duration(on), waited+time.Duration(off)
		}
	}
	return ran, waited
}
