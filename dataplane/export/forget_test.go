package export

import (
	"context"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// gone is every call of a caller, as an erasure names it.
func (r *region) gone(number string) (out []Gone) {
	r.t.Helper()
	permit, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.View, Class: policy.CallRecord})
	check(r.t, err)
	page, err := r.store.List(context.Background(), permit, store.Query{Number: number, PageSize: 1000})
	check(r.t, err)
	for _, c := range page.Calls {
		out = append(out, Gone{Call: c.ID, Ingested: c.IngestedAt})
	}
	if len(out) == 0 {
		r.t.Fatal("no such call")
	}
	return out
}

const certificate = "EC00000000000000000000000000000001"

func (r *region) forget(number string) Forgotten {
	r.t.Helper()
	out, err := r.exporter.Forget(context.Background(), tenant, certificate, r.gone(number))
	check(r.t, err)
	return out
}

// A queued transfer loses the erased person's row, and what is left passes the
// gate as it leaves: 14 callers less one are enough, 13 less one are not.
func TestErasedRowsLeaveTheQueue(t *testing.T) {
	for callers, want := range map[int]int{14: 13, 13: 0} {
		r := newRegion(t)
		check(t, r.round())
		r.ingest("many", callers, "IE")
		r.ingest("others", 13, "GB") // the same callers in another class, which the erased one leaves as well
		r.after(window + 2*grace)
		r.road.down = true
		_ = r.round()
		got := r.forget("+353860000000")
		if got.Withdrawn != 2 || got.Tombstones != 2 {
			t.Fatalf("%+v", got)
		}
		if again := r.forget("+353860000000"); again.Withdrawn != 0 {
			t.Errorf("again: %+v", again)
		}
		r.road.down = false
		check(t, r.round())
		if r.road.rows != want {
			t.Errorf("of %d callers %d rows left, want %d", callers, r.road.rows, want)
		}
		if want == 0 && r.road.refused != 1 {
			t.Errorf("%d gaps, want one for the transfer of which nothing was left", r.road.refused)
		}
	}
}

// Rows that left are deleted by whoever has them, when it answers, also after
// the policy does not name the recipient any more, and after a restart.
func TestErasedRowsAreTakenBack(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.ingest("many", 20, "IE")
	r.after(window + 2*grace)
	check(t, r.round())
	if r.road.rows != 20 || len(r.road.held) != 20 {
		t.Fatalf("%d rows left", r.road.rows)
	}
	if got := r.forget("+353860000007"); got.Withdrawn != 0 || got.Tombstones != 1 {
		t.Fatalf("%+v", got)
	}
	r.road.down = true
	if err := r.exporter.Bury(context.Background(), tenant); err == nil {
		t.Fatal("a region that did not answer counts as told")
	}
	r.declare(2, policy.EgressRule{Effect: policy.Deny}, func(p *policy.ResidencyPolicy) { p.Recipients = policy.Recipients{DenyAll: true} })
	r.age = 2 * policy.FreshFor // nor does an old bundle hold a deletion up
	check(t, r.exporter.Outbox().Close())
	r.open()
	if left, _, err := r.exporter.Unburied(tenant, certificate); err != nil || left != 1 {
		t.Fatalf("%d left, %v", left, err)
	}
	r.road.down = false
	check(t, r.exporter.Bury(context.Background(), ""))
	left, deleted, err := r.exporter.Unburied(tenant, certificate)
	if err != nil || left != 0 || deleted != 1 || len(r.road.held) != 19 {
		t.Fatalf("%d left, %d deleted, %d held, %v", left, deleted, len(r.road.held), err)
	}
}

// No window is judged from a record between the moment in which its rows are named
// and the one in which it is destroyed: they would leave, and nothing lead to them.
func TestINV21_NothingIsJudgedWhileARecordIsDestroyed(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.ingest("many", 14, "IE")
	gone := r.gone("+353860000000")
	r.after(window + 2*grace)
	judged := make(chan error, 1)
	_, err := r.exporter.ForgetAnd(context.Background(), tenant, certificate, gone, func(ctx context.Context) error {
		go func() { judged <- r.round() }()
		select {
		case err := <-judged:
			t.Errorf("a window was judged meanwhile: %v", err)
			judged <- err
		case <-time.After(50 * time.Millisecond): // time enough to be wrong in
		}
		permit, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.Erase, Class: policy.CallRecord})
		if err == nil {
			_, err = r.store.Rewrite(ctx, permit, store.Rewrite{Calls: []string{gone[0].Call}})
		}
		return err
	})
	check(t, err)
	check(t, <-judged)
	if r.road.rows != 13 {
		t.Errorf("%d rows left, want 13", r.road.rows)
	}
}
