package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// Any one voter may die at any moment: what was acknowledged is there on those
// that remain, and on the one that died once it is back.
func TestINV31KillOfAnyVoterLosesNothingAcknowledged(t *testing.T) {
	c := start(t, testcluster.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var acknowledged []string
	for round, victim := range c.Env.Voters() {
		writer := c.Control(other(c, victim))
		stop, ended := make(chan struct{}), make(chan []string)
		go func() { ended <- create(ctx, t, writer, round, stop) }()
		until(t, 20*time.Second, "first writes", func() error { return exists(ctx, writer, slug(round, 3)) })
		check(t, c.Process(victim).Kill())
		until(t, 30*time.Second, "writes without "+victim, func() error {
			_, err := writer.Regions(ctx)
			return err
		})
		close(stop)
		acknowledged = append(acknowledged, <-ended...)
		check(t, c.Process(victim).Start())
		check(t, c.Process(victim).WaitReady(ctx))
	}
	for _, voter := range c.Env.Voters() {
		for _, s := range acknowledged {
			if err := exists(ctx, c.Control(voter), s); err != nil {
				t.Errorf("%s lost %s: %v", voter, s, err)
			}
		}
	}
	t.Logf("%d tenants acknowledged over %d kills", len(acknowledged), len(c.Env.Voters()))
}

func other(c *testcluster.Cluster, victim string) string {
	for _, v := range c.Env.Voters() {
		if v != victim {
			return v
		}
	}
	return ""
}

// slug makes a name without five digits in a row.
func slug(round, n int) string { return fmt.Sprintf("crash-%d-x%dx%d", round, n/100, n%100) }

// create makes tenants until it is told to stop, and lists those acknowledged.
func create(ctx context.Context, t *testing.T, c *client.Control, round int, stop <-chan struct{}) (done []string) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return done
		default:
		}
		_, err := c.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: slug(round, n), HomeRegion: "ie1", BillingCountry: "IE"})
		switch {
		case err == nil:
			done = append(done, slug(round, n))
		case errors.Is(err, &policy.Error{Reason: policy.AlreadyExists}):
			// The client asked again after an unknown outcome; it was done the first time.
			done = append(done, slug(round, n))
		case errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown}), errors.Is(err, &policy.Error{Reason: policy.NotReady}):
		default:
			t.Errorf("create: %v", err)
			return done
		}
	}
}

func exists(ctx context.Context, c *client.Control, slug string) error {
	_, err := c.Tenant(ctx, slug)
	return err
}

const (
	crashWriters = 4
	crashBatch   = 50
	crashKills   = 3
)

// A data-plane node dies under ingest load: every acknowledged record is there
// afterwards, once.
func TestINV33KillOfADataPlaneLosesNothingAcknowledged(t *testing.T) {
	onBothStores(t, killsUnderLoad)
}

func killsUnderLoad(t *testing.T, store edit) {
	c := start(t, testcluster.Options{EditRegion: store})
	_, region := place(t, c, "acme-ie", "ie1", "IE", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	load := &ingest{region: region, acknowledged: map[string]bool{}}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range crashWriters {
		all.Go(func() { load.run(ctx, w, stop) })
	}
	killUnderLoad(ctx, t, c, load.count)
	close(stop)
	all.Wait()
	stored := map[string]int{}
	check(t, region.AllCalls(ctx, client.Filter{}, func(call data.Call) error { stored[call.NativeID]++; return nil }))
	for id := range load.acknowledged {
		if stored[id] != 1 {
			t.Errorf("%s is there %d times", id, stored[id])
		}
	}
	t.Logf("%d records acknowledged over %d kills, %d stored", len(load.acknowledged), crashKills, len(stored))
}

// ingest sends batches and remembers which were acknowledged.
type ingest struct {
	region       *client.Region
	mu           sync.Mutex
	acknowledged map[string]bool
}

func (l *ingest) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

func (l *ingest) run(ctx context.Context, writer int, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		var body bytes.Buffer
		var ids []string
		for i := range crashBatch {
			id := fmt.Sprintf("w%d-b%d-r%d", writer, n, i)
			ids = append(ids, id)
			line, _ := json.Marshal(data.NewCall{NativeID: id, From: "+353861234567", To: "+35315551234", Direction: "inbound", Status: "completed"})
			body.Write(append(line, '\n'))
		}
		counts, err := l.region.Batch(ctx, client.Upload{Body: &body})
		if err != nil || counts.Accepted+counts.Duplicates != crashBatch {
			continue // not acknowledged: it may or may not be there
		}
		l.mu.Lock()
		for _, id := range ids {
			l.acknowledged[id] = true
		}
		l.mu.Unlock()
	}
}

// killUnderLoad kills ie1's node some times, each after it has acknowledged some more
// records, of which acknowledged is the number.
func killUnderLoad(ctx context.Context, t *testing.T, c *testcluster.Cluster, acknowledged func() int) {
	t.Helper()
	for range crashKills {
		before := acknowledged()
		until(t, 30*time.Second, "load", func() error {
			if n := acknowledged() - before; n < 20*crashBatch {
				return fmt.Errorf("only %d records acknowledged", n)
			}
			return nil
		})
		check(t, c.Process("ie1").Kill())
		check(t, c.Process("ie1").Start())
		check(t, c.Process("ie1").WaitReady(ctx))
	}
}
