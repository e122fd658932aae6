package subject

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// What hangs on a call ends with it, when its retention is over: recordings,
// transcripts, uploads, and its row in another region, also after a crash in the
// midst. Others' stay. An erasure is not final while such a row is still there,
// because it may be the person's.
func TestINV21_NothingOutlivesItsCall(t *testing.T) {
	ctx := context.Background()
	a := newArena(t, 3)
	over, stays := a.send(), a.called(bystander(1))
	for _, call := range []string{over, stays} {
		a.hang(call)
	}
	if !a.there(stays) || a.hanging(over) != 3 {
		t.Fatal("nothing hangs on the call: the test shows nothing")
	}

	destroy := func(ctx context.Context) error {
		_, err := a.store.Rewrite(ctx, a.permit(policy.Erase), store.Rewrite{Calls: []string{over}, KeepCounts: true})
		return err
	}
	for _, at := range []string{"ended media", "ended rows"} {
		crash := errors.New("crash " + at)
		a.between = func(step string) error {
			if step == at {
				return crash
			}
			return nil
		}
		if err := a.service.EndCalls(ctx, a.permit(policy.Erase), []string{over}, destroy); !errors.Is(err, crash) {
			t.Fatalf("crashed %s: %v", at, err)
		}
		a.between = nil
		a.reopen()
	}
	a.us.cut.Store(1)
	a.between = func(step string) error {
		if step == "ended rows" { // one who saw the call is only now done
			a.hang(over)
		}
		return nil
	}
	must(t, a.service.EndCalls(ctx, a.permit(policy.Erase), []string{over}, destroy))
	if n := a.hanging(over); n != 0 {
		t.Errorf("%d of what hung on the call are left", n)
	}
	a.between = nil
	if a.hanging(stays) != 3 {
		t.Error("what hangs on another's call went too")
	}

	// Of the one who is erased now no row has left.
	a.one(a.draw, "n", someone(1), bystander(0), a.clock())
	c := a.erase(a.who(someone(1)))
	if n := c.Counts.Tombstones; n != 0 {
		t.Fatalf("%d rows of the erased person left: the test shows nothing", n)
	}
	if !slices.Contains(c.Waits, "RECIPIENTS") {
		t.Errorf("the certificate waits for %v, and a row of an ended call is still there", c.Waits)
	}
	a.us.cut.Store(0)
	must(t, a.exporter.Bury(ctx, tenant))
	if a.there(over) || !a.there(stays) {
		t.Errorf("the ended call's row is there: %v; another's: %v", a.there(over), a.there(stays))
	}
	if left, _, err := a.exporter.Unburied(tenant, c.ID); err != nil || left != 0 {
		t.Errorf("%d rows are still to be deleted, %v", left, err)
	}
}

// hang gives a call one recording, one transcript and one upload that nobody ends.
func (r *region) hang(call string) {
	r.t.Helper()
	ctx, ask, sound := context.Background(), regionMedia{r}.ask(tenant), wav("of "+call)
	for _, finish := range []bool{true, false} {
		u, err := r.media.Begin(ctx, ask, call, int64(len(sound)))
		must(r.t, err)
		_, err = r.media.Append(ctx, ask, u.ID, 0, bytes.NewReader(sound))
		must(r.t, err)
		if finish {
			_, _, err = r.media.Finish(ctx, ask, u.ID)
			must(r.t, err)
		}
	}
	_, _, err := r.media.PutTranscript(ctx, ask, media.Transcript{Call: call}, []media.Segment{{EndMS: 900, Text: "words of " + call}})
	must(r.t, err)
}

// hanging counts what hangs on a call.
func (r *region) hanging(call string) (n int) {
	r.t.Helper()
	for _, kind := range []store.ItemKind{store.RecordingItem, store.TranscriptItem, store.UploadItem} {
		permit, err := regionMedia{r}.ask(tenant)(policy.Process, kind.Class())
		must(r.t, err)
		page, err := r.store.Items(context.Background(), permit, store.ItemQuery{Kind: kind, Call: call, PageSize: 100})
		must(r.t, err)
		n += len(page.Items)
	}
	return n
}
