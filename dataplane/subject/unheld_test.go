package subject

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

var errCrash = errors.New("the process ends here")

var litigation = Hold{Reason: "LITIGATION", By: "SK00000000000000000000000000000001"}

// another is a service of another node over the same store and ledger: it shares no
// lock with the first.
func (r *region) another() *Service {
	r.t.Helper()
	o := r.service.o
	o.Between = nil
	s, err := New(o)
	must(r.t, err)
	return s
}

// at does something once, when the service comes to a step.
func (r *region) at(step string, do func() error) (came *bool) {
	came = new(bool)
	r.between = func(now string) error {
		if now != step || *came {
			return nil
		}
		*came = true
		return do()
	}
	return came
}

// TestINV24_AHoldComesInTheMomentOfADestruction: it was decided that no hold stands
// against it, and before it is done another node answers for one. Nothing is
// destroyed after that answer.
func TestINV24_AHoldComesInTheMomentOfADestruction(t *testing.T) {
	ctx := context.Background()
	for name, destroy := range map[string]func(r *region, id string) error{
		"a call": func(r *region, id string) error { return r.service.DeleteCall(ctx, tenant, id) },
		"the person": func(r *region, _ string) error {
			_, err := r.service.Erase(ctx, tenant, r.who(person))
			return err
		},
		"whom the person spoke with": func(r *region, _ string) error {
			_, err := r.service.Erase(ctx, tenant, r.who(friend))
			return err
		},
		"a recording": func(r *region, id string) error {
			ask := regionMedia{r}.ask(tenant)
			list, _, err := r.media.Recordings(ctx, ask, media.Query{Call: id})
			must(t, err)
			return r.service.Destroy(ctx, tenant, func() (string, error) { return id, nil }, func(ctx context.Context) error { return r.media.Delete(ctx, ask, list[0].ID) })
		},
		"a transcript": func(r *region, id string) error {
			ask := regionMedia{r}.ask(tenant)
			list, _, err := r.media.Transcripts(ctx, ask, media.Query{Call: id})
			must(t, err)
			return r.service.Destroy(ctx, tenant, func() (string, error) { return id, nil }, func(ctx context.Context) error { return r.media.DeleteTranscript(ctx, ask, list[0].ID) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			id, _ := r.lone()
			before := len(r.everything(t, r.store))
			came := r.at("unheld", func() error {
				who := r.who(person)
				_, err := r.another().PutHold(ctx, tenant, &who, litigation)
				return err
			})
			wantReason(t, destroy(r, id), policy.LegalHold)
			must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
			if !*came {
				t.Fatal("no hold came in between")
			}
			if lastOf(t, r.ledger, tenant) != 0 {
				t.Error("the ledger names what was refused")
			}
			holds, _, err := r.store.Holds(ctx, tenant)
			must(t, err)
			if after := len(r.everything(t, r.store)); len(holds) != 1 || after != before+len(holds[0].ID)+1+len(holds[0].Body)+1 {
				t.Errorf("%d bytes are shown after the hold, %d before it", after, before)
			}
			r.reopen()
			must1(t)(r.service.ReleaseHold(ctx, tenant, holds[0].ID))
			r.between = nil
			must(t, destroy(r, id))
		})
	}
}

// The end of a retention looks at a page's holds, and drops the page: a hold that
// comes in between is among those that it looks at again.
func TestINV24_AHoldComesWhileMediaExpire(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []store.ItemKind{store.RecordingItem, store.TranscriptItem} {
		r := newRegion(t)
		r.lone()
		looks := 0
		expire := func() media.Expired {
			done, err := r.media.Expire(ctx, regionMedia{r}.ask(tenant), kind, r.now.Add(time.Hour), func(ctx context.Context, calls []string) (map[string]bool, error) {
				kept, err := r.service.HeldCalls(ctx, r.permit(policy.Erase), calls)
				if looks++; looks == 1 {
					who := r.who(person)
					must1(t)(r.another().PutHold(ctx, tenant, &who, litigation))
				}
				return kept, err
			})
			must(t, err)
			return done
		}
		if done := expire(); done != (media.Expired{Kept: 1}) || looks != 2 {
			t.Errorf("%s: %+v after %d looks", kind, done, looks)
		}
		holds, _, err := r.store.Holds(ctx, tenant)
		must(t, err)
		must1(t)(r.service.ReleaseHold(ctx, tenant, holds[0].ID))
		if done := expire(); done != (media.Expired{Destroyed: 1}) {
			t.Errorf("%s, after the hold: %+v", kind, done)
		}
	}
}

// What was decided first is carried out, also by whoever finds it after a crash; a
// hold on it is refused, and covers nothing.
func TestINV24_AHoldComesTooLate(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	id, rec := r.lone()
	who, friendly := r.who(person), r.who(friend)
	late := func() error {
		_, err := r.another().PutHold(ctx, tenant, &who, litigation)
		wantReason(t, err, policy.AlreadyExists)
		_, err = r.another().PutHold(ctx, tenant, &friendly, litigation)
		wantReason(t, err, policy.AlreadyExists)
		return errCrash
	}
	came := r.at("deletion begun", late)
	if err := r.service.DeleteCall(ctx, tenant, id); err != errCrash || !*came || lastOf(t, r.ledger, tenant) != 0 {
		t.Fatalf("the deletion ended with %v, %d are in the ledger", err, lastOf(t, r.ledger, tenant))
	}
	r.reopen()
	r.between = nil
	must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	r.gone(id, rec, 2)
	if lastOf(t, r.ledger, tenant) != 1 {
		t.Error("the ledger does not name the call")
	}
	must1(t)(r.service.PutHold(ctx, tenant, &friendly, litigation)) // of what is left
}

// A hold on somebody whom the person spoke with is placed while the person is being
// erased: calls of both that are there still are kept, and the erasure waits.
func TestINV24_AnErasureWaitsBeforeHeldCalls(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.lone()
	r.append(r.call("other", person, "+353868888888", epoch.Add(time.Hour)))
	friendly, stranger := r.who(friend), r.who("+353868888888")
	var h Hold
	came := r.at("unlink", func() (err error) { h, err = r.another().PutHold(ctx, tenant, &friendly, litigation); return err })
	c, err := r.service.Erase(ctx, tenant, r.who(person))
	must(t, err)
	wantReason(t, r.service.Round(ctx, []policy.TenantID{tenant}), policy.LegalHold)
	if !*came {
		t.Fatal("no hold came in between")
	}
	c, err = r.service.Certificate(ctx, tenant, c.ID)
	if err != nil || c.State != Pending || c.Problem != string(policy.LegalHold) || c.Counts.Redacted != 1 {
		t.Fatalf("the certificate is %+v, %v", c, err)
	}
	named := 0
	for _, call := range r.list(store.Query{}) {
		if call.Record.From.E164 == person {
			named++
		}
	}
	if named != 1 {
		t.Errorf("%d calls name the person; the held one does", named)
	}
	must1(t)(r.service.ReleaseHold(ctx, tenant, h.ID))
	came = r.at("page", func() error { // now it has come to that call
		_, err := r.another().PutHold(ctx, tenant, &friendly, litigation)
		wantReason(t, err, policy.AlreadyExists)
		must1(t)(r.another().PutHold(ctx, tenant, &stranger, litigation))
		return nil
	})
	must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	if c, err = r.service.Certificate(ctx, tenant, c.ID); err != nil || c.State == Pending || c.Problem != "" || !*came {
		t.Fatalf("the certificate is %+v, %v", c, err)
	}
	for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
		t.Errorf("after the erasure: %+v", f)
	}
}
