package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// cost is what one round took of processors, µs for each operation. On a shared
// machine it says more than rates do.
type cost struct{ server, client float64 }

// meter reads how much processor time a peer's process with its children has
// used, and this one, which is the client of all of them.
type meter struct {
	servers []int // process ids; none: the peer runs in this process
	before  cost
}

// meterOf begins to measure.
func meterOf(servers ...int) *meter {
	return &meter{servers: servers, before: cost{usedBy(servers), usedHere()}}
}

func usedBy(pids []int) (sum float64) {
	for _, pid := range pids {
		sum += used(pid)
	}
	return sum
}

// per gives what was used since, for each of n operations.
func (m *meter) per(n int) cost {
	c := cost{usedBy(m.servers) - m.before.server, usedHere() - m.before.client}
	return cost{c.server / float64(max(n, 1)), c.client / float64(max(n, 1))}
}

func usedHere() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(time.Duration(u.Utime.Nano() + u.Stime.Nano()).Microseconds())
}

const ticksPerSecond = 100 // USER_HZ, the same on every Linux

// used sums a process and its children, µs; what is not there used nothing.
func used(pid int) (sum float64) {
	all := []string{strconv.Itoa(pid)}
	if lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)); err == nil {
		for _, list := range lists {
			if raw, err := os.ReadFile(list); err == nil {
				for _, child := range bytes.Fields(raw) {
					all = append(all, string(child))
				}
			}
		}
	}
	for _, p := range all {
		raw, err := os.ReadFile("/proc/" + p + "/stat")
		if err != nil {
			continue
		}
		f := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:]) // proc(5): from field 3 on
		user, err1 := strconv.Atoi(string(f[11]))
		system, err2 := strconv.Atoi(string(f[12]))
		if err1 == nil && err2 == nil {
			sum += float64(user+system) * 1e6 / ticksPerSecond
		}
	}
	return sum
}

// printCosts writes the processor time of both sides of each ratio.
func printCosts(w io.Writer, all []*target) {
	fmt.Fprintf(w, "\n| # | processor time, µs for each operation: medians | ours: server + client | peer: server + client |\n|---|---|---:|---:|\n")
	for _, t := range all {
		if len(t.oursCost) > 0 && len(t.peerCost) > 0 {
			ours, peer := middle(t.oursCost), middle(t.peerCost)
			fmt.Fprintf(w, "| %s | %s | %.1f + %.1f | %.1f + %.1f |\n", t.id, t.what, ours.server, ours.client, peer.server, peer.client)
		}
	}
}

// middle is the round with the median sum.
func middle(all []cost) cost {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b cost) int { return int(1000 * (a.server + a.client - b.server - b.client)) })
	return all[len(all)/2]
}
