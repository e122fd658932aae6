package export

import (
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/internal/postgres"
)

// answers is what every reader of an outbox says.
func answers(t *testing.T, e *Exporter, o *Outbox, now time.Time) map[string]any {
	t.Helper()
	out := map[string]any{}
	say := func(name string, err error, values ...any) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out[name] = values
	}
	list, next, err := o.Transfers(tenant, 2, "")
	say("transfers", err, list, next)
	if len(list) == 0 {
		t.Fatal("there is no transfer, so that nothing is shown")
	}
	x, err := o.Transfer(tenant, list[0].ID)
	say("transfer", err, x)
	sent, err := o.SentOn(tenant, now)
	say("sent", err, sent)
	queued, err := o.Queued(tenant)
	say("queued", err, queued)
	windows, err := o.Windows(tenant, 100)
	say("windows", err, windows)
	recent, err := o.Recent(tenant, 100)
	say("recent", err, recent)
	stream, err := o.Stream(tenant, list[0].Recipient)
	say("stream", err, stream)
	first, payload, ok, err := o.Next(tenant, list[0].Recipient)
	say("next", err, first, payload, ok)
	undelivered, err := o.Undelivered(tenant, list[0].Recipient)
	say("undelivered", err, undelivered)
	depth, err := o.Depth()
	say("depth", err, depth)
	some, from, err := o.since(tenant, nil, 2)
	say("since", err, some, from)
	overlapping, err := o.overlapping(tenant, now.Add(-24*time.Hour), now)
	say("overlapping", err, overlapping)
	frozen, err := o.frozen(first.ID)
	say("frozen", err, frozen)
	all, err := o.queued()
	say("all queued", err, all)
	names, err := o.secretNames(tenant, now)
	say("secrets", err, names)
	buried, err := o.burials(tenant)
	for i, b := range buried {
		buried[i] = &burial{tenant: b.tenant, recipient: b.recipient, certificate: b.certificate, to: b.to, basis: b.basis, rows: b.rows, keys: b.keys}
	}
	say("burials", err, buried)
	with := &Exporter{o: e.o}
	with.o.Outbox = o
	left, deleted, err := with.Unburied(tenant, certificate)
	say("unburied", err, left, deleted)
	ways, err := with.ways(tenant)
	say("ways", err, ways)
	return out
}

// A database may ask for a transaction to be run again from the start, CockroachDB
// for any: whatever a reader collected the first time is in no answer twice.
func TestReadersOfARepeatedTransactionAnswerOnce(t *testing.T) {
	r := newRegion(t)
	var busy atomic.Int32
	e := r.node("n1", postgres.Database(t), &busy)
	check(t, e.RoundFor(t.Context(), tenant))
	for _, name := range []string{"a", "b", "c"} {
		r.ingest(name, 14, "IE")
		r.after(window + 2*grace)
		check(t, e.RoundFor(t.Context(), tenant))
	}
	r.road.down = true
	calls := r.gone("+353860000007")
	f, err := e.Forget(t.Context(), tenant, certificate, calls)
	if err != nil || f.Tombstones == 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	r.ingest("d", 14, "IE")
	r.after(window + 2*grace)
	if e.RoundFor(t.Context(), tenant) == nil {
		t.Fatal("nothing waits in the queue")
	}
	repeated := e.o.Outbox
	once := &Outbox{shelf: repeated.shelf.(shelftest.Repeated).Shelf, sealer: repeated.sealer}
	want := answers(t, e, once, r.now)
	for name, got := range answers(t, e, repeated, r.now) {
		if !reflect.DeepEqual(got, want[name]) {
			t.Errorf("%s, repeated: %+v; once: %+v", name, got, want[name])
		}
	}
}
