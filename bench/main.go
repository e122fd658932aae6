// Command bench measures this machine and Domicile on it, in one run: the
// disk's fsync rate first, because it bounds everything durable, then policy
// decisions and changes to the bundle of a million tenants, policy writes over REST, how soon a region's node decides by a write,
// ingest over HTTPS, sealed and indexed, and policy and record store beside their
// peers. Numbers of different runs or machines are not comparable; ratios
// within one run are. It asserts nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/domicile-io/domicile/internal/testcluster"
)

func main() {
	short := flag.Bool("short", false, "fit in two minutes")
	only := flag.String("only", "", "control: only the policy store beside etcd; writes, batches: of that, only single writes, or those in batches; records: only the record store beside PostgreSQL and pebble; bundle: only decisions, and a change to a region's bundle; enforced: only how soon a region's node decides by a write")
	many := flag.Int("records", 0, "records that a region holds before a subject's look-up, growth and recovery are measured, loaded over the API; growth is from a tenth of them; 0: what the other measurements have left. Ten million take some minutes and 4 GB of disk")
	dir := flag.String("dir", "", "where to keep data (default: a temporary folder; choose the disk you want measured)")
	flag.Parse()
	if *many < 0 || *many > 0 && *many < leastRecords {
		fmt.Fprintf(os.Stderr, "bench: -records %d is too few to say anything of growth: at least %d, or 0\n", *many, leastRecords)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *short, *only, *many); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, short bool, only string, many int) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "domicile-bench")
		if err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer os.RemoveAll(made)
		dir = made
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make -dir: %w", err)
	}
	length := 20 * time.Second
	if short {
		length = 6 * time.Second
	}
	fmt.Printf("machine: %s/%s, %d cores, %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	r := &report{}
	if err := physical(dir, r); err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if err := testcluster.Build(ctx, bin); err != nil {
		return err
	}
	var targets []*target
	var limits []limit
	if only == "" || only == "bundle" {
		var err error
		if limits, err = bundled(ctx, short); err != nil {
			return err
		}
	}
	if only == "" {
		if err := system(ctx, dir, bin, length, r); err != nil {
			return err
		}
	}
	if only == "" || only == "records" {
		t, l, err := records(ctx, filepath.Join(dir, "records"), bin, length, many)
		targets, limits = t, append(limits, l...)
		if err != nil { // after minutes: what was measured is worth having
			printTargets(os.Stdout, targets)
			printLimits(os.Stdout, limits)
			return err
		}
	}
	if only != "records" && only != "bundle" {
		more, err := control(ctx, dir, bin, length, only, r)
		if err != nil {
			return err
		}
		targets = append(more, targets...)
	}
	r.print(os.Stdout)
	if only != "enforced" && only != "bundle" {
		printTargets(os.Stdout, targets)
		printCosts(os.Stdout, targets)
	}
	printLimits(os.Stdout, limits)
	printDelays(os.Stdout, r.delays)
	return nil
}

// control measures three voters alone, so that no node of a region takes part of
// the machine, beside three processes of etcd. All six run the whole time; only one
// side is loaded at once.
func control(ctx context.Context, dir, bin string, length time.Duration, only string, r *report) ([]*target, error) {
	c, err := testcluster.Open(ctx, testcluster.Options{Dir: filepath.Join(dir, "control"), Bin: bin, Only: testcluster.ControlPlane})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if only == "enforced" {
		r.delays, err = enforcedAlone(ctx, dir, length, c)
		return nil, err
	}
	each := length / 4
	turns := 5
	if length < 10*time.Second {
		turns = 3
	}
	if only == "writes" || only == "batches" {
		return beside(ctx, dir, each, turns, only, c, r)
	}
	if err := r.rounds("policy writes over REST", "writes/s", fmt.Sprintf("3 voters, %d writers, tenants created, HTTP/1.1 through the gateway", policyWriters), rounds,
		func() (float64, error) { return tenants(ctx, c, each) }); err != nil {
		return nil, err
	}
	return beside(ctx, dir, each, turns, only, c, r)
}
