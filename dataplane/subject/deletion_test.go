package subject

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// lone is a call of the person that nothing else of the region mentions, with a
// recording and a transcript, among calls of others in the same chunk.
func (r *region) lone() (id string, rec record.Record) {
	r.t.Helper()
	rec = r.call("lone", person, friend, epoch.Add(time.Minute))
	out := r.append(r.call("before", "+353862222201", friend, epoch), rec, r.call("behind", "+353862222202", friend, epoch.Add(2*time.Minute)))
	id = out[1].ID
	ctx, ask := context.Background(), regionMedia{r}.ask(tenant)
	sound := wav("of " + person)
	u, err := r.media.Begin(ctx, ask, id, int64(len(sound)))
	must(r.t, err)
	_, err = r.media.Append(ctx, ask, u.ID, 0, bytes.NewReader(sound))
	must(r.t, err)
	_, _, err = r.media.Finish(ctx, ask, u.ID)
	must(r.t, err)
	_, _, err = r.media.PutTranscript(ctx, ask, media.Transcript{Call: id, Language: "en-IE"}, []media.Segment{{Speaker: "caller", EndMS: 900, Text: "my name is " + name}})
	must(r.t, err)
	return id, rec
}

// gone demands that nothing of the deleted call is left, and that its feed's retry
// does not bring it back.
func (r *region) gone(id string, rec record.Record, others int) {
	r.t.Helper()
	_, err := r.store.Call(context.Background(), r.permit(policy.View), id)
	wantReason(r.t, err, policy.NotFound)
	if got := r.append(rec); got[0].State != store.Duplicate {
		r.t.Errorf("the feed's retry is %s", got[0].State)
	}
	for _, f := range scanner().Bytes("store", r.everything(r.t, r.store)) {
		r.t.Errorf("after the deletion: %+v", f)
	}
	if n := len(r.list(store.Query{})); n != others {
		r.t.Errorf("%d calls are left, want %d", n, others)
	}
	recordings, _, err := r.media.Recordings(context.Background(), regionMedia{r}.ask(tenant), media.Query{})
	if err != nil || len(recordings) != 0 {
		r.t.Errorf("%d recordings are left, %v", len(recordings), err)
	}
	rows, err := r.store.Rollups(context.Background(), r.permit(policy.View), "2026-03-14", "2026-03-14")
	must(r.t, err)
	sum := int64(0)
	for _, row := range rows {
		sum += row.Calls
	}
	if sum != int64(others) {
		r.t.Errorf("the counters say %d calls, want %d", sum, others)
	}
}

func TestDeleteCall(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	id, rec := r.lone()
	if len(scanner().Bytes("store", r.everything(t, r.store))) == 0 {
		t.Fatal("the scan finds nothing before the deletion: it shows nothing")
	}
	wantReason(t, r.service.DeleteCall(ctx, otherTenant, id), policy.NotFound)
	wantReason(t, r.service.DeleteCall(ctx, tenant, "CA"), policy.NotFound)
	if lastOf(t, r.ledger, otherTenant) != 0 {
		t.Error("what was refused is in the ledger")
	}
	must(t, r.service.DeleteCall(ctx, tenant, id))
	r.gone(id, rec, 2)
	wantReason(t, r.service.DeleteCall(ctx, tenant, id), policy.NotFound)
	r.reopen()
	r.gone(id, rec, 2)
	r.audit = errors.New("the disk is gone")
	wantReason(t, r.service.DeleteCall(ctx, tenant, r.list(store.Query{})[0].ID), policy.NotReady)
}

func TestHoldsStandAgainstDeletingACall(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	id, rec := r.lone()
	who := r.who(friend) // the other party's hold
	h, err := r.service.PutHold(ctx, tenant, &who, Hold{Reason: "LITIGATION", By: "SK00000000000000000000000000000001"})
	must(t, err)
	before := r.everything(t, r.store)
	if e := wantReason(t, r.service.DeleteCall(ctx, tenant, id), policy.LegalHold); e.Metadata["holds"] != h.ID {
		t.Errorf("the refusal says %v", e.Metadata)
	}
	if !bytes.Equal(before, r.everything(t, r.store)) || lastOf(t, r.ledger, tenant) != 0 {
		t.Error("a refused deletion changed something")
	}
	must1(t)(r.service.ReleaseHold(ctx, tenant, h.ID))
	must(t, r.service.DeleteCall(ctx, tenant, id))
	r.gone(id, rec, 2)
}

// A backup of before does not bring a deleted call back, and shows nobody
// anything until it is deleted again.
func TestINV22_RestoreDeletesCallsAgain(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	id, rec := r.lone()
	backup := r.backup()
	must(t, r.service.DeleteCall(ctx, tenant, id))
	r.putBack(backup)
	_, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.View, Class: policy.CallRecord})
	wantReason(t, err, policy.NotReady)
	must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	// The other two stood under the same key, which the deletion destroyed.
	r.gone(id, rec, 0)
	r.reopen()
	r.gone(id, rec, 0)
}

// A process that ends in the middle goes on at its next start, before it shows anything.
func TestINV22_DeletionThatIsCutShortIsFinished(t *testing.T) {
	ctx := context.Background()
	for _, at := range []string{"deletion", "deletion media"} {
		r := newRegion(t)
		id, rec := r.lone()
		crash := errors.New("crash")
		r.between = func(step string) error {
			if step == at {
				return crash
			}
			return nil
		}
		if err := r.service.DeleteCall(ctx, tenant, id); !errors.Is(err, crash) {
			t.Fatal(err)
		}
		r.between = nil
		r.reopen()
		_, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.View, Class: policy.CallRecord})
		wantReason(t, err, policy.NotReady)
		must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
		r.gone(id, rec, 2)
	}
}

// Whatever a restored store lacks, the first that is made good does not let the
// others' calls come in again.
func TestINV22_RestoreForgetsAllAtOnce(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	id, rec := r.lone()
	backup := r.backup()
	r.erase(r.who("+353862222201"))
	must(t, r.service.DeleteCall(ctx, tenant, id))
	r.erase(r.who("+353862222202"))
	r.putBack(backup)
	must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	r.gone(id, rec, 0)
	for _, again := range []record.Record{r.call("before", "+353862222201", friend, epoch), r.call("behind", "+353862222202", friend, epoch.Add(2*time.Minute))} {
		if got := r.append(again); got[0].State != store.Duplicate {
			t.Errorf("a retry of an erased person's call is %s", got[0].State)
		}
	}
}
