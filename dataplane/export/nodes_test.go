package export

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// lonely is a road that at most one node is on.
type lonely struct {
	*road
	t    *testing.T
	busy *atomic.Int32
}

func (l lonely) Invoke(ctx context.Context, method string, args, reply any, o ...grpc.CallOption) error {
	if l.busy.Add(1) > 1 {
		l.t.Error("two nodes send for a tenant at once")
	}
	defer l.busy.Add(-1)
	time.Sleep(time.Millisecond) // so that a second one would be met
	return l.road.Invoke(ctx, method, args, reply, o...)
}

// node is another node of the region, with the records of the first and an outbox
// in the region's database.
func (r *region) node(name, dsn string, busy *atomic.Int32) *Exporter {
	r.t.Helper()
	dialer := net.Dialer{}
	db, err := sql.Open(context.Background(), sql.Options{DSN: dsn, Dial: dialer.DialContext, Region: "ie1", Cluster: "test"})
	check(r.t, err)
	r.t.Cleanup(db.Close)
	kept, err := db.Shelf(context.Background(), "outbox")
	check(r.t, err)
	sealer, err := store.NewSealer(r.keys, "ie1", "export/outbox")
	check(r.t, err)
	outbox, err := OpenOutbox(shelftest.Repeating(kept, postgres.Collision()), sealer)
	check(r.t, err)
	o := r.exporter.o
	o.Outbox, o.Metrics, o.Leases = outbox, nil, lease.Contend(lease.Options{Book: db.Book(), Node: name})
	road := lonely{&r.road, r.t, busy}
	o.Sender = &peer.Sender{Dial: func(policy.Permit) (grpc.ClientConnInterface, error) { return road, nil },
		Reach: func(policy.TenantID, policy.RegionID, string) (grpc.ClientConnInterface, error) { return road, nil }}
	e, err := New(o)
	check(r.t, err)
	return e
}

// Whatever nodes work at once, each window is judged once, each transfer arrives
// once and counts once, and what is erased at one node leaves from none.
func TestNodesExportOnce(t *testing.T) {
	r := newRegion(t)
	dsn := postgres.Database(t)
	var busy atomic.Int32
	nodes := []*Exporter{r.node("n1", dsn, &busy), r.node("n2", dsn, &busy)}
	check(t, nodes[0].RoundFor(t.Context(), tenant))
	const windows, callers = 4, 14
	for w := range windows {
		r.ingest(string(rune('a'+w)), callers, "IE")
		r.after(window + 2*grace)
		r.road.cutAfter = w == 1 // it arrives, and nobody hears so
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				if err := nodes[i%2].RoundFor(t.Context(), tenant); err != nil && !errors.Is(err, errCut) {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	r.road.cutAfter = false
	check(t, nodes[1].RoundFor(t.Context(), tenant))
	if r.road.rows != windows*callers || int(r.road.mark) != windows || len(r.road.payloads) != windows {
		t.Errorf("%d rows in %d transfers at mark %d", r.road.rows, len(r.road.payloads), r.road.mark)
	}
	for _, n := range nodes {
		list, _, err := n.Outbox().Transfers(tenant, 100, "")
		check(t, err)
		sent, err := n.Outbox().SentOn(tenant, r.now)
		check(t, err)
		if len(list) != windows || sent != windows {
			t.Errorf("%d transfers, of which %d count against the day's cap; want %d", len(list), sent, windows)
		}
	}
}

// A node that lost its lease writes nothing more into the outbox.
func TestAFormerHolderOfExportsWritesNothing(t *testing.T) {
	r := newRegion(t)
	dsn := postgres.Database(t)
	var busy atomic.Int32
	n1, n2 := r.node("n1", dsn, &busy), r.node("n2", dsn, &busy)
	held, release, err := n1.o.Leases.Hold(t.Context(), lease.Export(tenant))
	check(t, err)
	release() // as if it were stopped in the middle, and its time ran out
	check(t, n2.RoundFor(t.Context(), tenant))
	at := r.now.Add(24 * time.Hour)
	err = n1.outbox(held).Judge(tenant, WindowNote{Recipient: recipient, From: r.now, Until: at, Released: 1}, nil, nil)
	if !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Fatalf("it wrote: %v", err)
	}
	s, err := n2.Outbox().Stream(tenant, recipient)
	if err != nil || !s.Judged.Before(at) {
		t.Fatalf("judged until %v, %v", s.Judged, err)
	}
}
