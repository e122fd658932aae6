package subject

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A correction of a call that comes after the number was let go, and before the
// call is rewritten, names the person under another subject. It goes as well: its
// call was there before.
func TestINV21_ACorrectionThatComesMeanwhileGoesToo(t *testing.T) {
	r := newRegion(t)
	r.populate()
	late := r.call("late", person, friend, epoch.Add(7*time.Minute))
	r.append(late)
	r.between = func(step string) error {
		if step == string(stepUnlink) {
			late.Native, late.ContentHash = append(late.Native, ' '), [32]byte{7}
			if got := r.append(late); got[0].State != store.NewVersion {
				t.Errorf("the correction is %s", got[0].State)
			}
		}
		return nil
	}
	r.erase(r.who(person))
	r.between = nil
	for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
		t.Errorf("after the erasure: %+v", f)
	}
	if n := len(r.list(store.Query{Number: person})); n != 0 {
		t.Errorf("the number leads to %d calls", n)
	}
}

// What is replayed out of the quarantine while the person is erased is there before
// the number is let go, and goes with the rest, or does not come.
func TestINV21_AReplayBringsNobodyBack(t *testing.T) {
	ctx := context.Background()
	for _, at := range order[:len(order)-2] {
		t.Run(string(at), func(t *testing.T) {
			r := newRegion(t)
			r.populate()
			id := r.quarantine(`{"caller":"` + person + `"`)[0]
			replayed := false
			r.between = func(step string) error {
				if step != string(at) || replayed {
					return nil
				}
				// As dataplane/server does it with a payload that it read before.
				replayed = true
				if err := r.service.Replayable(ctx, tenant, id, nil); err != nil {
					return nil
				}
				got := r.append(r.call("replayed", person, friend, epoch.Add(9*time.Minute)))
				if err := r.service.Replayable(ctx, tenant, id, []string{got[0].ID}); err == nil {
					must(t, r.store.Unquarantine(ctx, r.permit(policy.Process), id))
				}
				return nil
			}
			r.erase(r.who(person))
			r.between = nil
			for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
				t.Errorf("after the erasure: %+v", f)
			}
			if !replayed {
				t.Error("nothing was replayed")
			}
			if at == stepIntent {
				return // the payload left the quarantine before the erasure looked there
			}
			// One that had read the payload long ago comes now.
			wantReason(t, r.service.Replayable(ctx, tenant, id, nil), policy.Destroyed)
			got := r.append(r.call("after", person, friend, epoch.Add(10*time.Minute)))
			wantReason(t, r.service.Replayable(ctx, tenant, id, []string{got[0].ID}), policy.Destroyed)
			if n := len(r.list(store.Query{Number: person})); n != 0 {
				t.Errorf("the number leads to %d calls", n)
			}
		})
	}
}

// watched is exports that say when they were told of calls, and what was stored then.
type watched struct {
	Exports
	told func(calls []export.Gone)
}

func (w watched) ForgetAnd(_ context.Context, _ policy.TenantID, _ string, calls []export.Gone, destroy func(context.Context) error) (export.Forgotten, error) {
	w.told(calls)
	return export.Forgotten{}, destroy(context.Background())
}

// A deletion that was cut short before exports were told tells them when it goes on.
func TestADeletionThatGoesOnTellsExports(t *testing.T) {
	ctx := context.Background()
	var told []string
	r := newRegion(t)
	r.close()
	r.wire = func(o *Options) {
		o.Exports = watched{told: func(calls []export.Gone) {
			for _, c := range calls {
				told = append(told, fmt.Sprintf("%s %v", c.Call, c.Ingested.IsZero()))
			}
		}}
	}
	r.open()
	id, rec := r.lone()
	r.between = func(step string) error {
		if step == "deletion" {
			return errEnough
		}
		return nil
	}
	if err := r.service.DeleteCall(ctx, tenant, id); err == nil || len(told) != 0 {
		t.Fatalf("%v, told %v", err, told)
	}
	r.between = nil
	r.reopen()
	must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	if strings.Join(told, ",") != id+" false" {
		t.Errorf("exports were told of %v", told)
	}
	r.gone(id, rec, 2)
}

// Notes bring the certificate of an erasure back, so that it is not carried out
// again; the number is let go of all the same, and waits for a new index key.
func TestINV22_RestoreWithNotesLetsTheNumberGo(t *testing.T) {
	a := newArena(t, 1)
	a.one(a.draw, "p", someone(0), bystander(0), a.clock())
	a.one(a.draw, "p", bystander(1), bystander(2), a.clock())
	a.snapshot()
	a.forget(a.draw, someone(0), a.who(someone(0)), someone(0))
	a.close()
	a.putBack(a.snaps[0])
	a.open()
	a.executed()
	a.judge("put back", a.snaps[0].begun)
	if _, waiting, err := a.store.Reindexed(context.Background(), a.permit(policy.Erase)); err != nil || waiting.IsZero() {
		t.Errorf("nothing waits for a new index key: %v", err)
	}
	a.one(a.draw, "a", someone(0), bystander(0), a.clock())
	a.judge("and life goes on", 0)
}
