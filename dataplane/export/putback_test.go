package export

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
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

// What an outbox sent after its backup it knows nothing of: a call of that time
// that is erased before its window is judged again is told of all the same.
func TestINV21_ARestoredOutboxTellsOfRowsThatItForgot(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.ingest("first", 20, "IE")
	r.after(window + 2*grace)
	check(t, r.round())
	var old bytes.Buffer
	check(t, r.shelf.Shelf.(shelftest.Repeated).Shelf.(*bolt.Shelf).Snapshot(&old))
	r.ingest("second", 20, "GB")
	r.after(window + 2*grace)
	check(t, r.round())
	if r.road.rows != 40 {
		t.Fatalf("%d rows left, want 40", r.road.rows)
	}
	check(t, r.exporter.Outbox().Close())
	check(t, os.WriteFile(filepath.Join(r.dir, "outbox.db"), old.Bytes(), 0o600))
	r.open()
	_, err := PutBackOutbox(r.shelf, PutBack{At: r.now})
	check(t, err)
	r.open()
	r.forget("+353860000000") // in both windows
	check(t, r.exporter.Bury(context.Background(), tenant))
	if n := len(r.road.held); n != 38 {
		t.Errorf("%d rows are there, want 38", n)
	}
	r.ingest("later", 20, "FR") // of which the outbox knows all
	before := r.now
	r.after(window + 2*grace)
	if got := r.forget("+353860000001"); got.Tombstones != 2 {
		t.Errorf("of three calls, the last since %v and not judged, %d are told of; want 2", before, got.Tombstones)
	}
}

// A stream of which nothing was judged when the backup was made has lost all of its
// time, and a second backup that is put back finds none of it again.
func TestWhatAStreamLostIsNotForgotten(t *testing.T) {
	var s Stream
	at := time.Unix(1e9, 0)
	s.lose(at)
	s.Judged = at.Add(time.Hour)
	s.lose(at.Add(2 * time.Hour))
	if !s.LostFrom.IsZero() || !s.LostUntil.Equal(at.Add(2*time.Hour)) {
		t.Errorf("lost from %v until %v", s.LostFrom, s.LostUntil)
	}
}
