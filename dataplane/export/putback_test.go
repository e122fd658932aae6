package export

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// An outbox of before an erasure sends nothing of whoever was erased, and goes on
// to tell receivers whom to delete.
func TestINV22_ARestoredOutboxSendsNobodyWhoWasErased(t *testing.T) {
	for _, erased := range []bool{true, false} {
		r := newRegion(t)
		check(t, r.round())
		r.ingest("many", 20, "IE")
		r.after(window + 2*grace)
		r.road.down = true
		_ = r.round()
		queued, err := r.exporter.Outbox().queued()
		if check(t, err); len(queued) != 1 {
			t.Fatalf("%d transfers wait", len(queued))
		}
		var noted []Tombstone
		p := PutBack{Erased: map[policy.TenantID]bool{}}
		if erased {
			// As it is when the store forgets and the outbox is the older one: the note is all that is left.
			r.exporter.Outbox().OnBury(func(_ policy.TenantID, list []Tombstone) { noted = append(noted, list...) })
			check(t, r.exporter.Outbox().bury(lair{x: queued[0], rows: map[string]bool{"00000000000000000000000000000007": true}}, certificate))
			p.Erased[tenant], p.Tombstones = true, noted
			if len(noted) != 1 {
				t.Fatal("nothing was noted")
			}
		}
		check(t, r.exporter.Outbox().Close())
		r.open()
		out, err := PutBackOutbox(r.shelf, p)
		check(t, err)
		r.open()
		r.road.down = false
		check(t, r.round())
		switch {
		case erased && (out.GivenUp != 1 || out.Waiting != 0 || r.road.rows != 0 || r.road.refused != 1):
			t.Errorf("%+v, %d rows were sent, %d gaps", out, r.road.rows, r.road.refused)
		case !erased && (out.GivenUp != 0 || out.Waiting != 1 || r.road.rows != 20):
			t.Errorf("%+v, %d rows were sent", out, r.road.rows)
		}
		if left, _, err := r.exporter.Unburied(tenant, certificate); erased && (err != nil || left != 1) {
			t.Errorf("%d to delete, %v", left, err)
		}
	}
}
