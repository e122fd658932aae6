package export

import (
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// calls lists the ids of the tenant's calls.
func (r *region) calls() (ids []string) {
	r.t.Helper()
	permit, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.View, Class: policy.CallRecord})
	check(r.t, err)
	page, err := r.store.List(r.t.Context(), permit, store.Query{Start: time.Unix(0, 0), End: r.now.Add(time.Hour), PageSize: 1000})
	check(r.t, err)
	for _, c := range page.Calls {
		ids = append(ids, c.ID)
	}
	return ids
}

// linked counts the calls whose pseudonym, made by all that the region still has,
// is among rows.
func (r *region) linked(calls []string, rows map[string]bool) (n int) {
	r.t.Helper()
	scope := record.Scope{Tenant: tenant, Recipient: recipient, Purpose: "analytics", Period: r.now.UTC().Format(periodFormat)}
	for _, id := range calls {
		row, err := r.exporter.rowOf(scope, id)
		check(r.t, err)
		if rows[row] {
			n++
		}
	}
	return n
}

// While a period's secret is there, its region can say which call each row that
// left is. Once it is destroyed nobody can: not the region with every record still
// in hand, nor after it has started again from what is on its disk.
func TestINV15_DestroyedSecretsLeaveRowsUnlinkable(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.sends("a", 2)
	calls, left := r.calls(), maps.Clone(r.road.held)
	if n := r.linked(calls, left); len(calls) != 40 || len(left) != 40 || n != 40 {
		t.Fatalf("%d rows of %d calls left, and %d are linked while their secret lives", len(left), len(calls), n)
	}
	transfers, secrets, err := r.exporter.Purge(t.Context(), tenant)
	if err != nil || transfers != 2 || secrets != 1 {
		t.Fatalf("%d transfers and %d secrets are destroyed: %v", transfers, secrets, err)
	}
	if n := r.linked(calls, left); n != 0 {
		t.Errorf("%d rows lead back although their secret is destroyed", n)
	}
	check(t, r.exporter.Outbox().Close())
	check(t, r.keys.Close())
	r.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(r.dir, "keys"), Region: "ie1"})
	check(t, err)
	r.open()
	if n := r.linked(calls, left); n != 0 {
		t.Errorf("%d rows lead back after a restart", n)
	}
}
