package export

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

var allowed = policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"}

// release ingests one class that passes and closes its window.
func (r *region) release(name string, callers int) {
	r.t.Helper()
	r.ingest(name, callers, "IE")
	r.after(window + 2*grace)
}

func (r *region) transfers() []Transfer {
	r.t.Helper()
	out, _, err := r.exporter.Outbox().Transfers(tenant, maxPage, "")
	check(r.t, err)
	return out
}

// A receiver that lost its file starts at 0; what it had confirmed is gone there
// and here, so it becomes a gap and the rest goes on.
func TestReceiverThatLostItsFileGoesOn(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	for i := range 3 {
		r.release(fmt.Sprint("w", i), 14)
		check(t, r.round())
	}
	r.road.mark, r.road.rows, r.road.payloads = 0, 0, map[string]string{}
	r.release("after", 15)
	check(t, r.round())
	if r.road.mark != 4 || r.road.rows != 15 || r.road.refused != 1 {
		t.Fatalf("mark %d, rows %d, gaps %d", r.road.mark, r.road.rows, r.road.refused)
	}
}

// A sender that lost its outbox starts at 1 where the receiver is at 2: its
// transfers are new and must not be taken for repeats.
func TestSenderThatLostItsOutboxLosesNothingNew(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	for i := range 2 {
		r.release(fmt.Sprint("w", i), 14)
		check(t, r.round())
	}
	check(t, r.exporter.Outbox().Close())
	r.dir = t.TempDir()
	r.open()
	check(t, r.round())
	r.release("after", 15)
	check(t, r.round())
	if r.road.mark != 3 || r.road.rows != 14+14+15 {
		t.Fatalf("mark %d, rows %d", r.road.mark, r.road.rows)
	}
	if x := r.transfers(); len(x) != 1 || x[0].Sequence != 3 || x[0].State != Acknowledged {
		t.Fatalf("%+v", x)
	}
}

// A recipient that was taken out of the policy and put back gets nothing that
// waited for it, and nothing that was acknowledged meanwhile.
func TestRecipientThatWasAbsentGetsNothingOfThatTime(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.road.down = true
	r.release("waiting", 20)
	_ = r.round()
	r.declare(2, allowed, func(p *policy.ResidencyPolicy) { p.Recipients = policy.Recipients{DenyAll: true} })
	check(t, r.exporter.forfeitAbsent(t.Context()))
	r.release("absent", 20)
	check(t, r.exporter.forfeitAbsent(t.Context()))
	r.policy(3, allowed)
	r.road.down = false
	r.after(2 * window)
	check(t, r.round())
	r.release("back", 15)
	check(t, r.round())
	if r.road.rows != 15 {
		t.Fatalf("%d rows left, want the 15 of after", r.road.rows)
	}
	if x := r.transfers(); x[0].State != Refused {
		t.Fatalf("%+v", x[0])
	}
}

// What was frozen under a lower threshold, or for another region or purpose, is
// not sent under today's.
func TestFrozenTransferIsHeldAgainstTodaysRecipient(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*policy.Recipient)
		why  string
	}{
		"threshold":      {func(x *policy.Recipient) { x.Threshold = 50 }, "THRESHOLD_RAISED"},
		"more colluding": {func(x *policy.Recipient) { x.Colluding = 20 }, "THRESHOLD_RAISED"},
		"purpose":        {func(x *policy.Recipient) { x.Purpose = "marketing" }, "RECIPIENT_CHANGED"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			check(t, r.round())
			r.road.down = true
			r.release("old", 20)
			_ = r.round()
			r.declare(2, allowed, func(p *policy.ResidencyPolicy) { c.edit(&p.Recipients.List[0]) })
			r.road.down = false
			check(t, r.round())
			if x := r.transfers(); r.road.rows != 0 || x[0].State != Refused || x[0].Why != c.why || !x[0].Delivered {
				t.Fatalf("%d rows left; %+v", r.road.rows, x[0])
			}
		})
	}
}

// A cap of two a day lets exactly two leave, and two the next day.
func TestCapCountsWhatLeftOnceADay(t *testing.T) {
	r := newRegion(t)
	r.policy(1, policy.EgressRule{Effect: policy.Cap, PerDay: 2, Basis: "PSEUDONYMISED-UC2"})
	for day := range 2 {
		r.now = time.Date(2026, 11, 3+day, 10, 0, 0, 0, time.UTC)
		check(t, r.round())
		for i := range 4 {
			r.release(fmt.Sprint("d", day, "w", i), 14)
			check(t, r.round())
		}
		if want := 2 * 14 * (day + 1); r.road.rows != want {
			t.Fatalf("day %d: %d rows left, want %d", day, r.road.rows, want)
		}
	}
}

// An outbox that has nothing to do writes nothing: a commit is a sync of the disk.
func TestIdleRoundsDoNotWrite(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	before := r.shelf.updates.Load()
	for range 10 {
		check(t, r.round())
	}
	if after := r.shelf.updates.Load(); after != before {
		t.Fatalf("%d commits of idle rounds", after-before)
	}
}

// A region that was away for more windows than a round looks at goes on with the
// rest: none of them held anything, and each round got as far as the one before.
func TestARunOfEmptyWindowsLongerThanARound(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.after((maxWindows + 10) * window)
	r.ingest("back", 20, "IE")
	r.after(2 * window)
	for range 3 {
		check(t, r.round())
	}
	if r.road.rows != 20 {
		t.Fatalf("%d of 20 rows left in three rounds", r.road.rows)
	}
}

// counted counts the commits of a shelf.
type counted struct {
	shelf.Shelf
	updates atomic.Int64
}

func (c *counted) Update(change func(shelf.Tx) error) error {
	c.updates.Add(1)
	return c.Shelf.Update(change)
}

func TestNotesOfWindowsAreBounded(t *testing.T) {
	r := newRegion(t)
	o := r.exporter.Outbox()
	check(t, o.edit(tenant, recipient, func(tx shelf.Tx, _ *Stream) error {
		for i := range maxNotes + 50 {
			from := r.now.Add(time.Duration(i) * window)
			check(t, putNote(tx, tenant, WindowNote{Recipient: recipient, From: from, Until: from.Add(window), Released: i + 1}))
		}
		return nil
	}))
	all, err := o.Windows(tenant, 10*maxNotes)
	check(t, err)
	if len(all) != maxNotes || all[0].Released != 51 {
		t.Fatalf("%d notes, the first of window %d", len(all), all[0].Released)
	}
	last, err := o.Windows(tenant, 3)
	check(t, err)
	if len(last) != 3 || last[2].Released != maxNotes+50 {
		t.Fatalf("the latest: %+v", last)
	}
	var many []Suppression
	for i := range 1000 {
		many = append(many, Suppression{Class: fmt.Sprint(i), Rows: i, Needed: 13})
	}
	short, rows := shortened(many), 0
	for _, s := range short {
		rows += s.Rows
	}
	if len(short) != maxSuppressions || rows != 999*1000/2 || short[maxSuppressions-1].Class != OtherClasses {
		t.Fatalf("%d lines of %d rows", len(short), rows)
	}
}

func TestMetricsAndRecordsSayWhatLeft(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.road.down = true
	r.ingest("many", 13, "IE")
	r.ingest("few", 12, "GB")
	r.after(window + 2*grace)
	if err := r.round(); !errors.Is(err, errUnreachable) {
		t.Fatalf("got %v", err)
	}
	if depth := r.exporter.Outbox().depth(); depth != 1 {
		t.Errorf("queue length %v", depth)
	}
	r.road.down = false
	check(t, r.round())
	for name, want := range map[string]float64{
		"domicile_export_released_rows_total":   13,
		"domicile_export_suppressed_rows_total": 12,
		"domicile_export_transfers_total":       1,
		"domicile_export_payload_bytes_total":   float64(r.transfers()[0].Bytes),
		"domicile_export_queue_length":          0,
	} {
		if got := r.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if x := r.transfers()[0]; len(x.Fields) == 0 || x.Needed != 13 {
		t.Errorf("%+v", x)
	}
}

// metric reads a metric as an operator would, summed over its labels.
func (r *region) metric(name string) (sum float64) {
	r.t.Helper()
	families, err := r.registry.Gather()
	check(r.t, err)
	found := false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		found = true
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if !found {
		r.t.Errorf("no metric %s", name)
	}
	return sum
}

// A record that was stamped at a window's end and became durable during a stall
// of the disk still belongs to the window.
func TestWindowWaitsForWhatWasStampedInIt(t *testing.T) {
	for window, want := range map[time.Duration]time.Duration{time.Second: time.Second, 10 * time.Second: time.Second, time.Minute: 6 * time.Second, time.Hour: maxGrace} {
		e := &Exporter{o: Options{Window: window}}
		if got := e.grace(); got != want {
			t.Errorf("a window of %v is judged after %v, want %v", window, got, want)
		}
	}
}
