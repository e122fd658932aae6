package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

const enforcedRegion = "ie1"

// node is the policy feed of a region's node as its process runs it: its
// certificate, the door, verified bundles, a synced and encrypted cache.
type node struct {
	feed  *feed.Feed
	close []func() error // in the order of opening
}

// enforcedAlone measures P7 and nothing else.
func enforcedAlone(ctx context.Context, dir string, length time.Duration, c *testcluster.Cluster) ([]*delay, error) {
	p, err := openPolicies(ctx, c, workers)
	if err != nil {
		return nil, fmt.Errorf("our clients: %w", err)
	}
	defer p.close()
	return enforced(ctx, filepath.Join(dir, "node"), length, c, p)
}

func openNode(c *testcluster.Cluster, dir string) (n *node, err error) {
	n = &node{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.end())
		}
	}()
	config, err := c.Env.RegionConfig(enforcedRegion)
	if err != nil {
		return nil, err
	}
	material, err := mtls.Load(config.TLS)
	if err != nil {
		return nil, err
	}
	root, err := hex.DecodeString(config.RootPublicKey)
	if err != nil {
		return nil, fmt.Errorf("read the root's public key: %w", err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	door, err := egress.New(egress.Options{Region: enforcedRegion, Dir: filepath.Join(dir, "egress"), Logger: log})
	if err != nil {
		return nil, err
	}
	n.close = append(n.close, door.Close)
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: enforcedRegion})
	if err != nil {
		return nil, err
	}
	n.close = append(n.close, keys.Close)
	if n.feed, err = feed.Open(feed.Options{Region: enforcedRegion, Material: material, ControlPlane: config.ControlPlane,
		RootPublicKey: ed25519.PublicKey(root), Dir: filepath.Join(dir, "bundle"), Keys: keys, Door: door, Logger: log}); err != nil {
		return nil, err
	}
	n.close = append(n.close, n.feed.Close)
	n.feed.Start()
	return n, nil
}

func (n *node) end() (err error) {
	for _, c := range slices.Backward(n.close) {
		err = errors.Join(err, c())
	}
	return err
}

// delay is one row of latencies of P7.
type delay struct {
	what            string
	enforced, after []time.Duration // from sending the write, and from its answer, until the node decides by it
	floor, goal     time.Duration   // of the 99th percentile of enforced
}

// enforced measures P7: a write is sent to the leader over gRPC, and the node's
// feed publishes a view that decides by it. The clock runs from the sending, so
// the write itself is in it. Once with nothing else, once beside other writers, for
// a while each.
func enforced(ctx context.Context, dir string, length time.Duration, c *testcluster.Cluster, p *policies) ([]*delay, error) {
	n, err := openNode(c, dir)
	if err != nil {
		return nil, err
	}
	defer n.end()
	var all []*delay
	for _, beside := range []int{0, workers - 1} {
		d := &delay{what: "one writer, nothing else", floor: 50 * time.Millisecond, goal: 10 * time.Millisecond}
		if beside > 0 {
			d.what = fmt.Sprintf("one writer, beside %d others that write all the time", beside)
		}
		if err := d.measure(ctx, p, n, beside, length); err != nil {
			return nil, fmt.Errorf("P7, %s: %w", d.what, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func (d *delay) measure(ctx context.Context, p *policies, n *node, beside int, length time.Duration) error {
	load, stop := context.WithCancel(ctx)
	ended := make(chan error, beside)
	for i := range beside {
		go func() {
			var err error
			for load.Err() == nil && err == nil {
				err = p.put(ctx, i+1) // to its end: what was written must be known
			}
			ended <- err
		}()
	}
	var err error
	for start := time.Now(); time.Since(start) < length && err == nil; {
		err = d.once(ctx, p, n)
	}
	stop()
	for range beside {
		err = errors.Join(err, <-ended)
	}
	return err
}

// once tightens the first worker's policy and holds the node's view against it.
func (d *delay) once(ctx context.Context, p *policies, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w := p.workers[0]
	sent := time.Now()
	if err := p.put(ctx, 0); err != nil {
		return err
	}
	answered := time.Now()
	if err := n.feed.Wait(ctx, w.revision); err != nil {
		return err
	}
	now := time.Now()
	rules, ok := n.feed.Current().Set.Rules(policy.TenantID(w.tenant))
	if want := time.Duration(w.kept) * time.Second; !ok || rules.Retention(policy.CallRecord) != want {
		return fmt.Errorf("the node's view does not decide by what was written: it keeps call records %v, want %v", rules.Retention(policy.CallRecord), want)
	}
	d.enforced, d.after = append(d.enforced, now.Sub(sent)), append(d.after, now.Sub(answered))
	return nil
}

func percentile(all []time.Duration, share float64) time.Duration {
	s := slices.Sorted(slices.Values(all))
	return s[min(int(share*float64(len(s))), len(s)-1)]
}

// printDelays writes the table of P7.
func printDelays(w io.Writer, all []*delay) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| # | policy write → enforced on a region's node | from sending it: p50 / p99 | from its answer: p50 / p99 | floor (p99) | goal (p99) | verdict |\n|---|---|---:|---:|---:|---:|---|\n")
	for _, d := range all {
		verdict := "BELOW THE FLOOR"
		switch p99 := percentile(d.enforced, 0.99); {
		case p99 <= d.goal:
			verdict = "goal reached"
		case p99 <= d.floor:
			verdict = "above the floor"
		}
		fmt.Fprintf(w, "| P7 | %s, %d writes | %s / %s ms | %s / %s ms | %d ms | %d ms | %s |\n", d.what, len(d.enforced),
			ms(percentile(d.enforced, 0.5)), ms(percentile(d.enforced, 0.99)), ms(percentile(d.after, 0.5)), ms(percentile(d.after, 0.99)),
			d.floor.Milliseconds(), d.goal.Milliseconds(), verdict)
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
