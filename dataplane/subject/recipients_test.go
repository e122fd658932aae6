package subject

import (
	"context"
	"crypto/ed25519"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// A certificate is not final before the other region has answered that it deleted
// the person's rows: not while it is away for hours, nor when it has deleted them
// and its answer is lost; and it is final all the same when that region was put
// back from a backup meanwhile. Put back afterwards, it shows none of them again.
// Whoever has the node's public key verifies the certificate without anybody.
func TestINV21_FinalOnlyWhenTheOtherRegionHasAnswered(t *testing.T) {
	ctx := context.Background()
	a := newArena(t, 1)
	call := a.send()
	there := func() bool { return a.there(call) }
	before, err := os.ReadFile(a.us.file())
	must(t, err)

	a.us.cut.Store(1)
	c, err := a.service.Erase(ctx, tenant, a.who(someone(0)))
	must(t, err)
	a.executed()
	waits := func(when string) {
		t.Helper()
		if err := a.exporter.Bury(ctx, tenant); err == nil {
			t.Errorf("%s: the other region was told", when)
		}
		must(t, a.service.Round(ctx, []policy.TenantID{tenant}))
		got, err := a.service.Certificate(ctx, tenant, c.ID)
		if err != nil || got.State != Executed || !slices.Contains(got.Waits, "RECIPIENTS") {
			t.Fatalf("%s: %s, waits for %v, %v", when, got.State, got.Waits, err)
		}
	}
	waits("just erased")
	for range 3 { // whatever else it waits for
		must(t, a.keys.Rotate(ctx))
		must(t, a.store.Reindex(ctx, a.permit(policy.Erase)))
		a.shift.Add(int64(24 * time.Hour))
		waits("away for a day")
	}
	a.us.cut.Store(2)
	waits("its answer is lost")
	if there() {
		t.Error("the other region was told, and has the row")
	}
	a.us.putBack(before, nil) // a disk that was put back without what its backups noted
	if !there() {
		t.Fatal("the older file does not hold the row: the test shows nothing")
	}
	a.reopen()
	a.us.cut.Store(1)
	waits("both started again")
	a.us.cut.Store(0)
	must(t, a.exporter.Bury(ctx, tenant))
	must(t, a.service.Round(ctx, []policy.TenantID{tenant}))
	got, err := a.service.Certificate(ctx, tenant, c.ID)
	must(t, err)
	if got.State != Final || got.Counts.Deleted != 1 || there() {
		t.Fatalf("%s, waits for %v, %d rows deleted, the row is there: %v", got.State, got.Waits, got.Counts.Deleted, there())
	}
	a.us.putBack(before, a.us.noted)
	if there() {
		t.Error("the other region's backup brings the row back")
	}
	if n := len(a.rowsAbroad()); n != bystanders {
		t.Errorf("%d rows are left, want those of %d others", n, bystanders)
	}
	last := got.Signed[len(got.Signed)-1]
	says, err := Stated(last.Statement)
	if err != nil || !ed25519.Verify(a.public, last.Statement, last.Value) || says.State != Final || says.ID != c.ID || says.Counts != got.Counts {
		t.Errorf("the certificate does not verify: %+v, %v", says, err)
	}
	if ed25519.Verify(a.public, append([]byte{}, append(last.Statement, ' ')...), last.Value) {
		t.Error("another statement verifies as well")
	}
}

// send lets a row of a call of somebody leave, with those of all bystanders.
func (a *arena) send() (call string) {
	a.t.Helper()
	must(a.t, a.exporter.RoundFor(context.Background(), tenant))
	for n := range bystanders {
		a.one(a.draw, "b", bystander(n), bystander(bystanders), a.clock())
	}
	a.one(a.draw, "p", someone(0), bystander(0), a.clock())
	a.shift.Add(int64(3 * raceWindow))
	must(a.t, a.exporter.RoundFor(context.Background(), tenant))
	if call = a.called(someone(0)); !a.there(call) {
		a.t.Fatal("the person's row did not leave: the test shows nothing")
	}
	return call
}

// there reports whether a call's row is in the other region.
func (a *arena) there(call string) bool { _, ok := a.rowsAbroad()[a.rowOf(call)]; return ok }

// called is the one call of a number.
func (a *arena) called(number string) string {
	a.t.Helper()
	for id, c := range a.book.calls {
		if c.from == number {
			return id
		}
	}
	a.t.Fatal("no such call")
	return ""
}
