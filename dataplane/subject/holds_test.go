package subject

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

func TestHoldsStandAgainstErasing(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.populate()
	who, friendly, stranger := r.who(person), r.who(friend), r.who("+353868888888")
	r.append(r.call("apart", "+353868888888", "+353869999999", epoch))
	h, err := r.service.PutHold(ctx, tenant, &who, Hold{Reason: "LITIGATION", Reference: "2026/114-b", By: "SK00000000000000000000000000000001"})
	must(t, err)
	r.reopen()
	for _, w := range []Who{who, friendly} { // themselves, and those they spoke with
		_, err := r.service.Erase(ctx, tenant, w)
		if e := wantReason(t, err, policy.LegalHold); e.Metadata["holds"] != h.ID || e.Metadata["hold_reasons"] != "LITIGATION" {
			t.Errorf("the refusal says %v", e.Metadata)
		}
	}
	list, _, err := r.service.Certificates(ctx, tenant, 100, "")
	if err != nil || len(list) != 0 || lastOf(t, r.ledger, tenant) != 0 {
		t.Fatalf("a refusal left %v in store, %d in the ledger, %v", list, lastOf(t, r.ledger, tenant), err)
	}
	r.erase(stranger) // nobody's hold
	owners, err := r.service.Find(ctx, tenant, who)
	if err != nil || len(owners) != 1 || len(owners[0].Holds) != 1 {
		t.Fatalf("%+v %v", owners, err)
	}
	held, err := r.service.HeldCalls(ctx, r.permit(policy.Erase), ids(r.list(store.Query{})))
	must(t, err)
	n := 0
	for _, is := range held {
		if is {
			n++
		}
	}
	if n != 5 { // the corrected call names the person in an earlier version only
		t.Errorf("retention is told to keep %d calls", n)
	}
	must1(t)(r.service.ReleaseHold(ctx, tenant, h.ID))
	again, err := r.service.ReleaseHold(ctx, tenant, h.ID)
	if err != nil || again.Released.IsZero() {
		t.Fatalf("%+v %v", again, err)
	}
	r.erase(who)
}

// A correction that names somebody else does not take a call out of a hold: nothing
// that still holds the person's own version is destroyed, whoever asks.
func TestINV24_ACorrectionTakesNoCallOutOfAHold(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.populate()
	who, another := r.who(person), r.who("+353863333333")
	h, err := r.service.PutHold(ctx, tenant, &who, Hold{Reason: "LITIGATION", By: "SK00000000000000000000000000000001"})
	must(t, err)
	corrected := ""
	for _, c := range r.list(store.Query{}) {
		if c.Record.From.E164 == "+353863333333" {
			corrected = c.ID
		}
	}
	if corrected == "" {
		t.Fatal("there is no call that was corrected")
	}
	held := func(err error) {
		t.Helper()
		if e := wantReason(t, err, policy.LegalHold); e.Metadata["holds"] != h.ID {
			t.Errorf("the refusal says %v", e.Metadata)
		}
	}
	held(r.service.DeleteCall(ctx, tenant, corrected))
	held(r.service.mayDestroy(ctx, tenant, func() (string, error) { return corrected, nil }))
	_, err = r.service.Erase(ctx, tenant, another)
	held(err)
	must1(t)(r.service.ReleaseHold(ctx, tenant, h.ID))
	must(t, r.service.DeleteCall(ctx, tenant, corrected))
}

func ids(calls []store.Call) (out []string) {
	for _, c := range calls {
		out = append(out, c.ID)
	}
	return out
}

func must1(t *testing.T) func(any, error) {
	return func(_ any, err error) { t.Helper(); must(t, err) }
}

func TestHoldOnEverybodyEnds(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.populate()
	must1(t)(r.service.PutHold(ctx, tenant, nil, Hold{Reason: "REGULATOR", Until: r.now.Add(time.Hour)}))
	_, err := r.service.Erase(ctx, tenant, r.who(person))
	wantReason(t, err, policy.LegalHold)
	r.now = r.now.Add(time.Hour)
	r.erase(r.who(person))
}

// What has begun is not held any more, and says so.
func TestNoHoldOnWhatIsBeingErased(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.populate()
	who := r.who(person)
	c, err := r.service.Erase(ctx, tenant, who)
	must(t, err)
	_, err = r.service.PutHold(ctx, tenant, &who, Hold{Reason: "LITIGATION"})
	if e := wantReason(t, err, policy.AlreadyExists); e.Metadata["certificate"] != c.ID {
		t.Errorf("%v", e.Metadata)
	}
	must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	_, err = r.service.PutHold(ctx, tenant, &who, Hold{Reason: "LITIGATION"})
	wantReason(t, err, policy.NotFound)
}

func TestHoldsSayNothingOfAnybody(t *testing.T) {
	r := newRegion(t)
	r.populate()
	who := r.who(person)
	for _, h := range []Hold{{Reason: "because"}, {Reason: "LITIGATION", Reference: "+353 86 739 1846"}, {Reason: "LITIGATION", Reference: "0867391846"},
		{Reason: "LITIGATION", Reference: "086-739.1846"}, {Reason: "LITIGATION", Reference: "Caoimhe Murchu"}, {Reason: "LITIGATION", Until: epoch.Add(-time.Hour)}, {Reason: "LITIGATION", Reference: strings.Repeat("x", 65)}} {
		_, err := r.service.PutHold(context.Background(), tenant, &who, h)
		wantReason(t, err, policy.InvalidArgument)
	}
}

// What belongs to a held call is destroyed by nobody; what belongs to another, or to
// none, only a hold on everybody keeps.
func TestHoldsStandAgainstDestroyingWhatACallHas(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.populate()
	who := r.who(person)
	r.append(r.call("apart", "+353868888888", "+353869999999", epoch))
	of := func(id string) func() (string, error) { return func() (string, error) { return id, nil } }
	unasked := func() (string, error) { t.Error("asked for the call without a hold"); return "", nil }
	must(t, r.service.mayDestroy(ctx, tenant, unasked))
	h, err := r.service.PutHold(ctx, tenant, &who, Hold{Reason: "LITIGATION", By: "SK00000000000000000000000000000001"})
	must(t, err)
	held, err := r.service.HeldCalls(ctx, r.permit(policy.Erase), ids(r.list(store.Query{})))
	must(t, err)
	some := 0
	for id, is := range held {
		err := r.service.mayDestroy(ctx, tenant, of(id))
		if !is {
			must(t, err)
			continue
		}
		some++
		if e := wantReason(t, err, policy.LegalHold); e.Metadata["holds"] != h.ID {
			t.Errorf("the refusal says %v", e.Metadata)
		}
	}
	if some == 0 || some == len(held) {
		t.Fatalf("%d of %d calls are held, which shows nothing", some, len(held))
	}
	must(t, r.service.mayDestroy(ctx, tenant, of("")))
	_, err = r.service.PutHold(ctx, tenant, nil, Hold{Everybody: true, Reason: "LITIGATION", By: "SK00000000000000000000000000000001"})
	must(t, err)
	wantReason(t, r.service.mayDestroy(ctx, tenant, of("")), policy.LegalHold)
	wantReason(t, r.service.mayDestroy(ctx, tenant, of("CA"+strings.Repeat("0", 32))), policy.LegalHold)
}
