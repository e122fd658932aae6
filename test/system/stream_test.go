package system

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// A node dies in the middle of streams. What was acknowledged is there, once; the
// client's own stream goes on when the node is back and loses nothing of the rest.
func TestINV33KillInMidStreamLosesNothingAcknowledged(t *testing.T) {
	onBothStores(t, killsInMidStream)
}

const streamSenders = 3

func killsInMidStream(t *testing.T, store edit) {
	c := start(t, testcluster.Options{EditRegion: store})
	_, region := place(t, c, "acme-ie", "ie1", "IE", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	load := &streamed{acknowledged: map[string]bool{}, sent: map[string]bool{}}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for n := range streamSenders {
		all.Go(func() {
			if err := load.run(ctx, c, region.Key, n, stop); err != nil {
				t.Errorf("sender %d: %v", n, err)
			}
		})
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
	for id := range load.sent { // each sender closed its stream without an error
		if stored[id] != 1 {
			t.Errorf("%s was sent, its stream was closed, and it is there %d times", id, stored[id])
		}
	}
	if load.cuts < crashKills {
		t.Errorf("%d cuts by %d kills: the streams were not in use", load.cuts, crashKills)
	}
	t.Logf("%d records sent, %d of them answered as duplicates, over %d cuts; %d stored", len(load.sent), load.duplicates, load.cuts, len(stored))
}

// streamed is what senders sent and what was acknowledged of it.
type streamed struct {
	mu           sync.Mutex
	sent         map[string]bool
	acknowledged map[string]bool
	duplicates   int
	cuts         int
}

func (s *streamed) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.acknowledged) }

// run sends batches over one stream until it is told to stop, and closes it.
func (s *streamed) run(ctx context.Context, c *testcluster.Cluster, key string, sender int, stop <-chan struct{}) error {
	trust, err := client.HTTPOptions{CAFile: c.Env.CAFile()}.TLS()
	if err != nil {
		return err
	}
	id := func(batch uint64, n int) string { return fmt.Sprintf("stream-%d-%d-%d", sender, batch, n) }
	st, err := client.OpenStream(ctx, client.StreamOptions{Addresses: []string{c.Env.IngestAddress("ie1")}, Key: key, TLS: trust, Patience: 2 * time.Minute, Ahead: 32 << 10,
		Acknowledged: func(out *ingestv1.StreamResponse) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for n, o := range out.GetOutcomes() {
				s.acknowledged[id(out.GetSequence(), n)] = true
				if o.GetState() == ingestv1.OutcomeState_OUTCOME_STATE_DUPLICATE {
					s.duplicates++
				}
			}
		}})
	if err != nil {
		return err
	}
	for batch := uint64(1); ; batch++ {
		select {
		case <-stop:
			err := st.Close(ctx)
			s.mu.Lock()
			s.cuts += st.Cuts()
			s.mu.Unlock()
			return err
		default:
		}
		var b strings.Builder
		s.mu.Lock()
		for n := range crashBatch {
			s.sent[id(batch, n)] = true
			fmt.Fprintf(&b, "{\"native_id\":%q,\"from\":\"+35319100001\",\"status\":\"completed\"}\n", id(batch, n))
		}
		s.mu.Unlock()
		if got, err := st.Send(ctx, []byte(b.String())); err != nil || got != batch {
			return fmt.Errorf("batch %d is %d: %w", batch, got, err)
		}
	}
}
