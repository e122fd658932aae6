package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/domicile-io/domicile/internal/chaos"
)

var processFaults = []fault{
	{kind: "kill leader", run: func(n *nemesis) (string, error) {
		leader, err := n.w.leader(n.ctx)
		if err != nil {
			return "", err
		}
		pid := n.w.Process(leader).PID()
		if err := n.w.Process(leader).Kill(); err != nil {
			return "", err
		}
		next := n.changed(leader, 5*time.Second)
		n.hold(0, 500*time.Millisecond)
		if err := n.start(leader); err != nil || next == "" {
			return "", err
		}
		return fmt.Sprintf("%s (%d) was replaced by %s and is %d now", leader, pid, next, n.w.Process(leader).PID()), nil
	}},
	{kind: "kill follower", run: func(n *nemesis) (string, error) {
		v, err := n.follower()
		if err != nil {
			return "", err
		}
		return n.kill(v)
	}},
	{kind: "kill all", run: func(n *nemesis) (string, error) { return n.kill(n.w.voters...) }},
	{kind: "pause leader", run: func(n *nemesis) (string, error) {
		leader, err := n.w.leader(n.ctx)
		if err != nil {
			return "", err
		}
		return n.pause(800*time.Millisecond, 2*time.Second, leader)
	}},
	{kind: "pause follower", run: func(n *nemesis) (string, error) {
		v, err := n.follower()
		if err != nil {
			return "", err
		}
		return n.pause(400*time.Millisecond, 2*time.Second, v)
	}},
	{kind: "pause all", run: func(n *nemesis) (string, error) {
		return n.pause(200*time.Millisecond, 900*time.Millisecond, n.w.voters...)
	}},
	{kind: "restart leader", run: func(n *nemesis) (string, error) {
		leader, err := n.w.leader(n.ctx)
		if err != nil {
			return "", err
		}
		if err := n.w.Process(leader).Stop(); err != nil {
			return "", err
		}
		next := n.changed(leader, 5*time.Second)
		if err := n.start(leader); err != nil || next == "" {
			return "", err
		}
		return fmt.Sprintf("%s handed over to %s", leader, next), nil
	}},
	{kind: "snapshot install", run: installSnapshot},
}

func (n *nemesis) follower() (string, error) {
	leader, err := n.w.leader(n.ctx)
	if err != nil {
		return "", err
	}
	others := n.w.others(leader)
	return others[n.draw.IntN(len(others))], nil
}

// kill kills voters at once and starts them again.
func (n *nemesis) kill(voters ...string) (string, error) {
	before := map[string]int{}
	for _, v := range voters {
		before[v] = n.w.Process(v).PID()
		if err := n.w.Process(v).Kill(); err != nil {
			return "", err
		}
	}
	n.hold(100*time.Millisecond, 800*time.Millisecond)
	for _, v := range voters {
		if err := n.w.Process(v).Start(); err != nil {
			return "", err
		}
	}
	for _, v := range voters {
		if err := n.w.Process(v).WaitReady(n.ctx); err != nil {
			return "", err
		}
		if n.w.Process(v).PID() == before[v] {
			return "", nil
		}
	}
	return fmt.Sprintf("%v were killed and have other process ids", voters), nil
}

// pause stops voters without their noticing, and lets them go on.
func (n *nemesis) pause(least, most time.Duration, voters ...string) (string, error) {
	var all []error
	stopped := 0
	for _, v := range voters {
		all = append(all, n.w.Process(v).Signal(syscall.SIGSTOP))
	}
	n.hold(least, most)
	for _, v := range voters {
		if state, err := chaos.StateOf(n.w.Process(v).PID()); err == nil && state == 'T' {
			stopped++
		}
	}
	for _, v := range voters {
		all = append(all, n.w.Process(v).Signal(syscall.SIGCONT))
	}
	if err := errors.Join(all...); err != nil || stopped < len(voters) {
		return "", err
	}
	return fmt.Sprintf("%v were stopped", voters), nil
}

// installSnapshot keeps a follower away until the log does not reach back to it.
// A snapshot replaces the file of its state, and nothing else does: the witness.
func installSnapshot(n *nemesis) (string, error) {
	v, err := n.follower()
	if err != nil {
		return "", err
	}
	if err := n.w.Process(v).Kill(); err != nil {
		return "", err
	}
	file := filepath.Join(n.w.data[v], "state.db")
	before, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	begin, err := n.applied()
	if err != nil {
		return "", err
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if at, err := n.applied(); err == nil && at > begin+trailingLogs+2*snapshotEvery {
			break
		}
		n.hold(50*time.Millisecond, 50*time.Millisecond)
	}
	if err := n.start(v); err != nil {
		return "", err
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if after, err := os.Stat(file); err == nil && !os.SameFile(before, after) {
			return fmt.Sprintf("%s replaced its state by its leader's snapshot", v), nil
		}
		n.hold(20*time.Millisecond, 20*time.Millisecond)
	}
	return "", nil
}

// applied is how far the leader's state is in the Raft log.
func (n *nemesis) applied() (uint64, error) {
	leader, err := n.w.leader(n.ctx)
	if err != nil {
		return 0, err
	}
	return uint64(n.w.status(n.ctx, leader).GetAppliedIndex()), nil
}
