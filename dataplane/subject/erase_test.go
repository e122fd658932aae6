package subject

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const friend = "+353861111111"

// populate is a person's calls among others': from, to, with nobody else, with
// an extension, corrected later, and payloads that nobody could parse.
func (r *region) populate() {
	r.t.Helper()
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	var recs []record.Record
	for n := range 60 {
		recs = append(recs, r.call(fmt.Sprintf("other-%d", n), fmt.Sprintf("+3538622222%02d", n), friend, at(n)))
	}
	recs = append(recs, r.call("from", person, friend, at(1)), r.call("to", friend, person, at(2)), r.call("alone", person, "anonymous", at(3)), r.call("extension", person, "1001", at(4)))
	r.append(recs...)
	late := r.call("corrected", person, friend, at(5))
	r.append(late)
	late.From, late.CallerName = r.numbers.Party("+353863333333", "IE"), "somebody else"
	late.Native, late.ContentHash = []byte("corrected"), [32]byte{9}
	r.append(late)
	r.quarantine(`{"caller":"`+person+`"`, "cdr,086 739-1846,x", "From=%2B353867391846", `{"n":"\u002b353867391846"`, "nothing of anybody", "caller 0861111111")
}

func TestErase(t *testing.T) {
	r := newRegion(t)
	r.populate()
	before := r.list(store.Query{})
	if found := scanner().Bytes("store", r.everything(t, r.store)); len(found) == 0 {
		t.Fatal("the scan finds nothing before the erasure: it shows nothing")
	}
	c := r.erase(r.who("086 739 1846"))
	if n := c.Counts; c.State != Executed || n.Dropped != 1 || n.Redacted != 4 || n.Quarantined != 4 || n.Versions < 6 || n.Chunks == 0 || n.Keys == 0 || c.Entry != 1 || len(c.Owners) != 1 {
		t.Fatalf("certificate: %+v", c)
	}
	for range 2 {
		for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
			t.Errorf("after the erasure: %+v", f)
		}
		after := r.list(store.Query{})
		if len(after) != len(before)-1 {
			t.Fatalf("%d of %d calls are left", len(after), len(before))
		}
		for _, call := range after {
			rec := call.Record
			redacted := rec.From == (record.Party{}) && rec.To.Raw != "" || rec.To == (record.Party{}) && rec.From.E164 == friend || rec.From.E164 == "+353863333333"
			untouched := rec.Native != nil && slices.ContainsFunc(before, func(b store.Call) bool {
				return b.ID == call.ID && string(b.Record.Native) == string(rec.Native) && b.Record.From == rec.From
			})
			if redacted == untouched || redacted && (rec.Billsec != 59*time.Second || rec.Start.IsZero() || rec.STIR != (record.STIR{})) {
				t.Errorf("%s: redacted %v, untouched %v", call.ID, redacted, untouched)
			}
		}
		if owners, err := r.service.Find(context.Background(), tenant, r.who(person)); err != nil || len(owners) != 0 {
			t.Fatalf("the number still leads to %v, %v", owners, err)
		}
		rows, err := r.store.Rollups(context.Background(), r.permit(policy.View), "2026-01-01", "2026-12-31")
		must(t, err)
		counted := int64(0)
		for _, row := range rows {
			counted += row.Calls
		}
		if counted != int64(len(after)) {
			t.Errorf("rollups count %d of %d calls", counted, len(after))
		}
		left, _, err := r.store.Quarantines(context.Background(), r.permit(policy.View), 100, "")
		if err != nil || len(left) != 2 {
			t.Errorf("%d payloads are left, %v; want those of others", len(left), err)
		}
		r.reopen()
	}
	if len(c.Signed) != 1 || !ed25519.Verify(r.public, c.Signed[0].Statement, c.Signed[0].Value) {
		t.Fatal("the certificate is not signed")
	}
	if stated, err := Stated(c.Signed[0].Statement); err != nil || stated.Counts != c.Counts || stated.State != Executed {
		t.Fatalf("the statement says %+v, %v", stated, err)
	}
	// A feed's retry brings nobody back; a new call is a new subject's.
	again := r.append(r.call("from", person, friend, epoch.Add(time.Minute)))[0]
	if again.State != store.Duplicate {
		t.Errorf("a retry is %s", again.State)
	}
	r.append(r.call("new", person, friend, epoch.Add(2*time.Hour)))
	owners, err := r.service.Find(context.Background(), tenant, r.who(person))
	if err != nil || len(owners) != 1 || owners[0].Calls != 1 || owners[0].Subject == c.Owners[0].Subject {
		t.Fatalf("a new call: %+v %v", owners, err)
	}
}

// Whatever step a process ends at, another goes on, and the end is the same.
func TestEraseGoesOnAfterACrashAnywhere(t *testing.T) {
	for _, at := range []string{"intent", "unlink", "page", "calls", "quarantine", "forget", "executed"} {
		t.Run(at, func(t *testing.T) {
			r := newRegion(t)
			r.populate()
			crash := errors.New("crash")
			r.between = func(step string) error {
				if step == at {
					return crash
				}
				return nil
			}
			_, err := r.service.Erase(context.Background(), tenant, r.who(person))
			if err == nil {
				err = r.service.Round(context.Background(), []policy.TenantID{tenant})
			}
			if !errors.Is(err, crash) {
				t.Fatalf("got %v, want the crash: it did not happen", err)
			}
			r.between = nil
			r.reopen()
			must(t, r.service.Round(context.Background(), []policy.TenantID{tenant}))
			list, _, err := r.service.Certificates(context.Background(), tenant, 100, "")
			if err != nil || len(list) != 1 || list[0].State != Executed {
				t.Fatalf("%+v, %v", list, err)
			}
			if n := list[0].Counts; n.Dropped != 1 || n.Redacted != 4 || n.Quarantined != 4 {
				t.Errorf("counts after going on: %+v", n)
			}
			for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
				t.Errorf("after the erasure: %+v", f)
			}
			if n := len(sinceOf(t, r.ledger, tenant)); n != 2 { // the intent, and the payloads
				t.Errorf("the ledger has %d entries", n)
			}
		})
	}
}

func TestEraseAskedTwiceIsOne(t *testing.T) {
	r := newRegion(t)
	r.populate()
	first, err := r.service.Erase(context.Background(), tenant, r.who(person))
	must(t, err)
	second, err := r.service.Erase(context.Background(), tenant, r.who(person))
	if err != nil || second.ID != first.ID {
		t.Fatalf("%s and %s, %v", first.ID, second.ID, err)
	}
	must(t, r.service.Round(context.Background(), []policy.TenantID{tenant}))
	third := r.erase(r.who(person))
	if third.ID == first.ID || third.Counts.Redacted != 0 || len(third.Owners) != 0 {
		t.Fatalf("of nobody: %+v", third)
	}
}

func TestINV28_NoErasureWithoutAnAudit(t *testing.T) {
	r := newRegion(t)
	r.populate()
	r.audit = errors.New("disk gone")
	_, err := r.service.Erase(context.Background(), tenant, r.who(person))
	wantReason(t, err, policy.NotReady)
	wantReason(t, r.service.Export(context.Background(), tenant, r.who(person), true, &failing{t}), policy.NotReady)
	r.audit = nil
	if n := len(sinceOf(t, r.ledger, tenant)); n != 0 {
		t.Fatalf("%d intents", n)
	}
	if found := scanner().Bytes("store", r.everything(t, r.store)); len(found) == 0 {
		t.Fatal("something was erased all the same")
	}
	r.erase(r.who(person))
}

// failing is where nothing may be written to.
type failing struct{ t *testing.T }

func (f *failing) Write([]byte) (int, error) {
	f.t.Error("something was exported")
	return 0, errors.New("no")
}

// 04 §3: erasure and subject export work however long the control plane is away.
func TestEraseAndExportWithoutControlPlane(t *testing.T) {
	r := newRegion(t)
	r.populate()
	r.age = 400 * 24 * time.Hour
	if _, err := r.store.List(context.Background(), policy.Permit{}, store.Query{}); err == nil {
		t.Fatal("the empty permit lists")
	}
	a := r.export(r.who(person))
	if len(a.calls) != 5 {
		t.Fatalf("%d calls in the archive", len(a.calls))
	}
	r.erase(r.who(person))
	r.age = 0
	for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
		t.Errorf("after the erasure: %+v", f)
	}
}
