package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The tenants of a region's bundle for P5 and P6. The targets are for a million, of
// which the building alone takes half a minute: the short form has fewer, and says so.
const (
	bundleTenants      = 1_000_000
	bundleTenantsShort = 100_000
)

// measure is one number that a benchmark of dataplane/feed gives, and its target.
type measure struct {
	id, what, benchmark, unit string // unit: as the benchmark prints it
	shown                     string // unit that is shown
	scale                     float64
	floor, goal               float64
}

var measures = []measure{
	{"P5", "decision in process, one tenant", "BenchmarkDecideHot", "ns/op", "ns", 1, 100, 40},
	{"P5", "decision in process, random tenants", "BenchmarkDecideRandom", "ns/op", "ns", 1, 1000, 300},
	{"P5", "allocations of a decision, random tenants", "BenchmarkDecideRandom", "allocs/op", "", 1, 0, 0},
	{"P6", "one change verified and applied to the bundle", "BenchmarkApplyOneChange", "ns/op", "µs", 1e-3, 1000, 100},
	{"P6", "memory of the node for each tenant: view, rules, keys and hashes", "BenchmarkApplyOneChange", "B/tenant", "B", 1, 600, 300},
}

// bundled measures P5 and P6. What a node does with a bundle is nobody's to call from
// outside, so they are the benchmarks of its own package, run here and read.
func bundled(ctx context.Context, short bool) ([]limit, error) {
	tenants, times := bundleTenants, 5
	if short {
		tenants, times = bundleTenantsShort, 3
	}
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	run := exec.CommandContext(ctx, "go", "test", "./dataplane/feed", "-run", "^$", "-bench", "^Benchmark(ApplyOneChange|DecideHot|DecideRandom)$",
		"-count", strconv.Itoa(times), "-timeout", "30m", "-feed.tenants", strconv.Itoa(tenants))
	run.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	run.Stderr = os.Stderr
	out, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("P5, P6: %w\n%s", err, out)
	}
	got := figures(out)
	var all []limit
	for _, m := range measures {
		v := got[m.benchmark+" "+m.unit]
		if len(v) == 0 {
			return nil, errors.Join(fmt.Errorf("%s: %s gave no %s", m.id, m.benchmark, m.unit), fmt.Errorf("%s", out))
		}
		all = append(all, limit{m.id, fmt.Sprintf("%s, of %d (%s – %s)", m.what, tenants, figure(slices.Min(v)*m.scale), figure(slices.Max(v)*m.scale)),
			median(v) * m.scale, m.shown, m.floor, m.goal})
	}
	return all, nil
}

// figures reads go test's lines: name, runs, and then pairs of value and unit.
func figures(out []byte) map[string][]float64 {
	got := map[string][]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(f[0], "-")
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				got[name+" "+f[i+1]] = append(got[name+" "+f[i+1]], v)
			}
		}
	}
	return got
}
