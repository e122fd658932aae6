package storetest

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

func testFoldKamailio(t *testing.T, f *fixture) {
	start := Epoch.Add(-time.Minute)
	events := []record.Record{
		Acc(1, "INVITE", 200, start), CDR(1, start.Add(2*time.Second), 90*time.Second), Acc(1, "BYE", 200, start.Add(92*time.Second)),
	}
	id := f.append(TenantA, events[0])[0].ID
	for _, e := range events[1:] {
		got := f.append(TenantA, e)[0]
		wantState(t, got, store.Stored)
		if got.ID != id {
			t.Fatalf("event of the same call-id became call %s, want %s", got.ID, id)
		}
		wantState(t, f.append(TenantA, e)[0], store.Duplicate)
	}
	f.append(TenantA, Acc(2, "INVITE", 486, start))
	c := f.call(TenantA, id)
	r := c.Record
	if c.Versions != 3 || r.Status != record.Completed || r.SIPCode != 200 || r.Billsec != 90*time.Second || r.STIR.Attest != "A" || !r.Start.Equal(start.Add(2*time.Second)) {
		t.Fatalf("folded to versions=%d status=%s code=%d billsec=%s attest=%q start=%s", c.Versions, r.Status, r.SIPCode, r.Billsec, r.STIR.Attest, r.Start)
	}
	if !c.ListedAt.Equal(start) {
		t.Fatalf("listed at %s, want the first event's start %s", c.ListedAt, start)
	}
	// The other order gives the same call.
	reversed := f.append(TenantB, events[2], events[1], events[0])
	b := f.call(TenantB, reversed[0].ID).Record
	if b.Status != r.Status || b.SIPCode != r.SIPCode || b.Billsec != r.Billsec || !b.Start.Equal(r.Start) || !b.End.Equal(r.End) {
		t.Fatalf("reversed: status=%s code=%d billsec=%s start=%s end=%s", b.Status, b.SIPCode, b.Billsec, b.Start, b.End)
	}
}

func testFoldTwilio(t *testing.T, f *fixture) {
	id := f.append(TenantA, Callback(1, 0, record.Ringing))[0].ID
	f.append(TenantA, Callback(1, 3, record.Completed))
	late := f.append(TenantA, Callback(1, 2, record.InProgress))[0]
	wantState(t, late, store.Stored)
	c := f.call(TenantA, id)
	if late.ID != id || c.Record.Status != record.Completed || c.Versions != 3 {
		t.Fatalf("a late lower sequence left status %s, %d versions", c.Record.Status, c.Versions)
	}
}

func testPlace(t *testing.T, f *fixture) {
	noStart := Native(1)
	noStart.Start = time.Time{}
	id := f.append(TenantA, noStart)[0].ID
	listed := f.call(TenantA, id).ListedAt
	if d := listed.Sub(f.clock.Now()); d < 0 || d > time.Millisecond {
		t.Fatalf("without a start the call is listed at %s, want its ingest time %s", listed, f.clock.Now())
	}
	f.clock.Advance(time.Hour)
	later := Native(1)
	later.Native = append(later.Native, ' ')
	f.append(TenantA, Hashed(later))
	got := f.list(TenantA, store.Query{})
	if len(got) != 1 || !got[0].ListedAt.Equal(listed) || got[0].Versions != 2 {
		t.Fatalf("a later version moved the call: %d calls, listed at %s, want %s", len(got), got[0].ListedAt, listed)
	}
	if !got[0].UpdatedAt.After(got[0].IngestedAt) {
		t.Fatalf("updated at %s, ingested at %s", got[0].UpdatedAt, got[0].IngestedAt)
	}
}
