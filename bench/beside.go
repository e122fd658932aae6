package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/domicile-io/domicile/internal/testcluster"
)

// target is one row of the table of ratios: ours over the peer's, in one run.
type target struct {
	id, what    string
	ours, peer  []float64 // of each round, operations a second
	oursCost    []cost
	peerCost    []cost
	floor, goal float64
	shown       bool // and held to no target
	unit, note  string
}

// workers of the load: 64 clients.
const workers = 64

// beside measures our policy store and etcd in turns on the same machine.
func beside(ctx context.Context, dir string, each time.Duration, turns int, only string, c *testcluster.Cluster, r *report) ([]*target, error) {
	ours, err := openPolicies(ctx, c, workers)
	if err != nil {
		return nil, fmt.Errorf("our clients: %w", err)
	}
	defer ours.close()
	peer, err := openPeer(ctx, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: etcd is absent:", err)
	} else {
		defer peer.close()
	}
	write := &target{id: "P1", what: "policy writes over gRPC, 64 clients / etcd puts of 1 KB", floor: 1, goal: 1.8, unit: "writes/s", note: "TLS, token, audit, idempotency on"}
	batch := &target{id: "P3", what: "policy writes in batches of 100, 64 clients / etcd puts, one by one", floor: 3, goal: 8, unit: "writes/s"}
	stale := &target{id: "P4", what: "stale policy reads / etcd serializable", floor: 1.2, goal: 2, unit: "reads/s"}
	linear := &target{id: "P4", what: "linearizable policy reads / etcd linearizable", floor: 0.9, goal: 1.2, unit: "reads/s"}
	steps := []struct {
		t    *target
		ours func(context.Context, int) (int, error)
		peer func(context.Context, int) error
	}{
		{write, single(ours.put), peer.put},
		{batch, ours.batch, peer.put},
		{stale, single(func(ctx context.Context, w int) error { return ours.get(ctx, w, "minimize_latency") }),
			func(ctx context.Context, w int) error { return peer.get(ctx, w, clientv3.WithSerializable()) }},
		{linear, single(func(ctx context.Context, w int) error { return ours.get(ctx, w, "fully_consistent") }),
			func(ctx context.Context, w int) error { return peer.get(ctx, w) }},
	}
	switch only {
	case "writes":
		steps = steps[:1]
	case "batches":
		steps = steps[1:2]
	}
	var voters, members []int
	for _, name := range []string{"cp1", "cp2", "cp3"} {
		voters = append(voters, c.Process(name).PID())
	}
	if peer != nil {
		for _, p := range peer.procs {
			members = append(members, p.Process.Pid)
		}
	}
	for range turns {
		for _, s := range steps {
			v, used, err := many(ctx, workers, each, voters, s.ours)
			if err != nil {
				return nil, fmt.Errorf("ours, %s: %w", s.t.what, err)
			}
			s.t.ours, s.t.oursCost = append(s.t.ours, v), append(s.t.oursCost, used)
			if peer == nil {
				continue
			}
			v, used, err = many(ctx, workers, each, members, single(s.peer))
			if err != nil {
				return nil, fmt.Errorf("etcd, %s: %w", s.t.what, err)
			}
			s.t.peer, s.t.peerCost = append(s.t.peer, v), append(s.t.peerCost, used)
		}
	}
	if len(steps) == 1 {
		return []*target{steps[0].t}, nil
	}
	if r.delays, err = enforced(ctx, filepath.Join(dir, "node"), 2*each, c, ours); err != nil {
		return nil, err
	}
	return []*target{write, batch, stale, linear}, nil
}

func openPeer(ctx context.Context, dir string) (*etcd, error) {
	program, err := buildEtcd(ctx, dir)
	if err != nil {
		return nil, err
	}
	return startEtcd(ctx, program, filepath.Join(dir, "etcd"))
}

// printTargets writes the ratios. A peer that is missing is "absent", never passed.
func printTargets(w io.Writer, all []*target) {
	fmt.Fprintf(w, "\n| # | ours / peer | ours: median (min – max) | peer: median (min – max) | unit | ratio | floor | goal | verdict |\n|---|---|---:|---:|---|---:|---:|---:|---|\n")
	for _, t := range all {
		ratio, verdict := "–", "absent"
		if len(t.ours) > 0 && len(t.peer) > 0 {
			r := median(t.ours) / median(t.peer)
			ratio = fmt.Sprintf("%.2f ×", r)
			switch {
			case t.shown:
				verdict = "no target"
			case r >= t.goal:
				verdict = "goal reached"
			case r >= t.floor:
				verdict = "above the floor"
			default:
				verdict = "BELOW THE FLOOR"
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %.1f | %.1f | %s |\n", t.id, t.what, spread(t.ours), spread(t.peer), t.unit, ratio, t.floor, t.goal, verdict)
	}
	fmt.Fprintf(w, "| P2 | the same writes / rqlite | – | absent | writes/s | – | 2.0 | 4.0 | absent |\n")
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func spread(v []float64) string {
	if len(v) == 0 {
		return "absent"
	}
	return fmt.Sprintf("%s (%s – %s)", figure(median(v)), figure(slices.Min(v)), figure(slices.Max(v)))
}
