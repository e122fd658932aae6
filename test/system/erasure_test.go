package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// gone is an erasure of one of a tenant's callers, of whom a row is in another region.
type gone struct {
	home, there *client.Region
	number      string
	id          string // certificate
}

// erase asks for it.
func (g *gone) erase(ctx context.Context, t *testing.T) {
	t.Helper()
	c, err := g.home.EraseSubject(ctx, data.SubjectRef{Number: g.number})
	check(t, err)
	g.id = c.ID
}

// stands is nil when the certificate is as far as named: a state, and what it waits for.
func (g *gone) stands(ctx context.Context, state string, waits ...string) error {
	c, err := g.home.Certificate(ctx, g.id)
	if err != nil {
		return err
	}
	if c.State != state || waits != nil && !slices.Equal(c.Waits, waits) {
		return fmt.Errorf("the certificate is %s (step %s, problem %q), waits for %v, want %s %v", c.State, c.Step, c.Problem, c.Waits, state, waits)
	}
	return nil
}

// finished holds a final certificate against what it must say.
func (g *gone) finished(ctx context.Context, t *testing.T, answered time.Time) {
	t.Helper()
	c, err := g.home.Certificate(ctx, g.id)
	check(t, err)
	if len(c.Signed) != 2 || c.Signed[0].State != "executed" || c.Signed[1].State != "final" || len(c.Waits) != 0 {
		t.Fatalf("%+v", c)
	}
	for i, s := range c.Signed {
		said, err := subject.Stated(s.Statement)
		if err != nil || said.ID != g.id || said.State != s.State || (said.Final != nil) != (i == 1) {
			t.Errorf("signature %d states %+v; %v", i, said, err)
		}
	}
	if c.Executed == nil || c.Final == nil || !c.Executed.Before(answered) || c.Final.Before(answered) {
		t.Errorf("executed %v, final %v; the recipient's region answered after %v", c.Executed, c.Final, answered)
	}
	if c.Counts.Tombstones != 1 || c.Counts.Deleted != 1 || c.Counts.Dropped+c.Counts.Redacted != 1 {
		t.Errorf("counts: %+v", c.Counts)
	}
	check(t, rowsThere(ctx, g.there, exportCallers-1))
	if owners, err := g.home.FindSubjects(ctx, data.SubjectRef{Number: g.number}); err != nil || len(owners.Owners) != 0 {
		t.Errorf("the person is found: %+v, %v", owners, err)
	}
}

// A person of whom rows are in another region is erased over the real door, while
// both regions' nodes are killed: the home's after the request, before it hears
// what the other deleted, and once more; the other's after it deleted, and before it
// is asked at all. Each certificate is executed at once and final only when the
// other region has answered.
func TestINV21_ErasureIsFinalWhenTheOtherRegionHasAnsweredThoughBothDie(t *testing.T) {
	if !chaos.HasClock() {
		t.Skip("SKIPPED: another process's clock needs root and Linux on amd64")
	}
	if os.Getenv("DOMICILE_ERASURE_STORES") == "" { // two minutes more
		erasedInTwoRegions(t, func(*dev.Environment, *dataplane.Config) error { return nil })
		return
	}
	onBothStores(t, erasedInTwoRegions)
}

func erasedInTwoRegions(t *testing.T, store edit) {
	var wire *strait
	c := start(t, testcluster.Options{ExportInterval: 200 * time.Millisecond, ExportWindow: 2 * time.Second, Regions: []string{"ie1", "us1"},
		EditRegion: func(env *dev.Environment, cfg *dataplane.Config) (err error) {
			if err := store(env, cfg); err != nil || cfg.Region != "ie1" {
				return err
			}
			cfg.Keys.RotateSpacing, cfg.Keys.ReindexEvery = time.Second, time.Second // what an erasure asks for is waited for in this test
			p := cfg.Peers["us1"]
			if wire, err = newStrait(p.Address); err == nil {
				p.Address = wire.listener.Addr().String()
				cfg.Peers["us1"] = p
			}
			return err
		}})
	defer wire.listener.Close()
	defer wire.hold(false)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	first, second := &gone{number: "+353860000003"}, &gone{number: "+353860000007"}
	first.home, first.there = exporting(ctx, t, c, "acme-ie", exportRecipient)
	second.home, second.there = exporting(ctx, t, c, "beta-ie", "RP"+strings.Repeat("6", 32))
	for _, g := range []*gone{first, second} {
		sendClass(ctx, t, g.home, "calls")
		until(t, time.Minute, "the rows are there", func() error { return delivered(ctx, g.home, g.there, 1) })
	}
	again := func(name string) {
		t.Helper()
		check(t, c.Process(name).Kill())
		check(t, c.Process(name).Start())
		check(t, c.Process(name).WaitReady(ctx))
	}

	// The other region deletes, and what it answers is kept back.
	wire.hold(true)
	first.erase(ctx, t)
	until(t, time.Minute, "the row is deleted there", func() error { return rowsThere(ctx, first.there, exportCallers-1) })
	until(t, time.Minute, "the first erasure is executed", func() error { return first.stands(ctx, "executed") })
	again("us1")
	check(t, rowsThere(ctx, first.there, exportCallers-1)) // deleted for good
	check(t, c.Process("us1").Kill())
	again("ie1") // which has not heard
	wire.hold(false)

	// The other region is away; the home dies with an erasure that has only begun.
	second.erase(ctx, t)
	again("ie1")
	until(t, time.Minute, "the second erasure is executed", func() error { return second.stands(ctx, "executed") })
	tried := wire.dials.Load()
	again("ie1")
	for _, g := range []*gone{first, second} {
		until(t, 2*time.Minute, "the indexes are keyed anew", func() error { return g.stands(ctx, "executed", "KEY_GENERATION", "RECIPIENTS") })
	}
	jumped := pastTheCaches(ctx, t, c.Process("ie1").PID(), first, second)
	until(t, time.Minute, "the home asks in vain", func() error {
		if wire.dials.Load() == tried {
			return errors.New("it does not")
		}
		return nil
	})
	for _, g := range []*gone{first, second} {
		until(t, 2*time.Minute, "nothing but the other region is waited for", func() error { return g.stands(ctx, "executed", "RECIPIENTS") })
	}

	back := time.Now()
	check(t, c.Process("us1").Start())
	check(t, c.Process("us1").WaitReady(ctx))
	for _, g := range []*gone{first, second} {
		until(t, 4*time.Minute, "the certificate is final", // who was refused a connection waits for two minutes in the end
			func() error { return g.stands(ctx, "final") })
		g.finished(ctx, t, back)
	}
	check(t, jumped.End())
	again("ie1")
	for _, g := range []*gone{first, second} {
		until(t, time.Minute, "final stays final", func() error { return g.stands(ctx, "final") })
	}
}

// pastTheCaches lets the ten minutes go by on a node for which caches of a destroyed key
// generation live, until both certificates wait for nothing but the recipient's region.
// A generation that was destroyed meanwhile has ten minutes of its own.
func pastTheCaches(ctx context.Context, t *testing.T, pid int, all ...*gone) *chaos.Clock {
	t.Helper()
	for by := policy.KeysFor + time.Minute; ; by += policy.KeysFor + time.Minute {
		jumped, err := chaos.JumpClock(pid, by)
		check(t, err)
		began := time.Now()
		for _, g := range all {
			for err = g.stands(ctx, "executed", "RECIPIENTS"); err != nil && time.Since(began) < 45*time.Second; err = g.stands(ctx, "executed", "RECIPIENTS") {
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			return jumped
		}
		check(t, jumped.End())
		if by > 4*policy.KeysFor {
			t.Fatal(err)
		}
	}
}
