package backup

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

func (w *world) rewrite(r store.Rewrite) {
	w.t.Helper()
	out, err := w.store.Rewrite(context.Background(), storetest.Permit(w.t, storetest.TenantA, policy.Erase), r)
	must(w.t, err)
	if out.Keys == 0 {
		w.t.Fatal("no key was destroyed: the test shows nothing")
	}
}

// redact takes the caller out, and the payload; the call's key names him too.
func redact(r *record.Record) {
	if r.From.E164 == "" {
		return
	}
	r.From, r.CallerName, r.Native = record.Party{}, "", nil
	r.CallKey = "erased/" + r.CallKey
}

func (w *world) item(kind store.ItemKind, id int, version uint64, body string) store.Item {
	w.t.Helper()
	item, err := w.store.PutItem(context.Background(), storetest.PermitOf(w.t, storetest.TenantA, policy.Store, kind.Class()),
		store.Item{Kind: kind, ID: fmt.Sprintf("%s%032x", kind.IDKind(), id), Body: []byte(body), Unique: fmt.Appendf(nil, "u%d", id)}, version)
	must(w.t, err)
	return item
}

func (w *world) itemBody(kind store.ItemKind, id int) string {
	w.t.Helper()
	item, err := w.store.Item(context.Background(), storetest.PermitOf(w.t, storetest.TenantA, policy.View, kind.Class()), kind, fmt.Sprintf("%s%032x", kind.IDKind(), id))
	if err != nil {
		return err.Error()
	}
	return string(item.Body)
}

func (w *world) counted() (calls int64) {
	w.t.Helper()
	rows, err := w.store.Rollups(context.Background(), storetest.Permit(w.t, storetest.TenantA, policy.View), "2026-01-01", "2026-12-31")
	must(w.t, err)
	for _, r := range rows {
		calls += r.Calls
	}
	return calls
}

// Calls that stood in the same chunks as an erased person's are put back from
// notes, byte for byte, although every key of theirs in the snapshot is
// destroyed; the person is not.
// So it is when they were merged before the snapshot, after it, or between erasures.
func TestINV21_NotesBringOthersBackAndNobodyElse(t *testing.T) {
	for _, merged := range []string{"never", "before", "after", "between"} {
		t.Run(merged, func(t *testing.T) { notesBringOthersBack(t, merged) })
	}
}

func notesBringOthersBack(t *testing.T, merged string) {
	for _, reindexed := range []bool{false, true} {
		w := newWorld(t)
		merge := func(when string) {
			if when == merged {
				w.merge()
			}
		}
		out := w.pieces(0, 60, merged != "never")
		w.append(storetest.Acc(3, "INVITE", 200, storetest.Epoch), storetest.CDR(3, storetest.Epoch, time.Minute))
		merge("before")
		w.create()
		merge("after")
		w.rewrite(store.Rewrite{Calls: []string{out[7].ID, out[8].ID}})
		merge("between")
		w.rewrite(store.Rewrite{Calls: []string{out[9].ID, out[10].ID}, Fate: func(store.Call) store.Fate { return store.Redact }, Redact: redact})
		w.rewrite(store.Rewrite{Calls: []string{out[11].ID}}) // the same chunk again: only the last note's key lives
		if reindexed {
			must(t, w.store.Reindex(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Erase)))
		}
		want := w.calls()
		if len(want) != 58 {
			t.Fatalf("%d calls", len(want))
		}
		r := w.restore("", nil)
		if r.Renewed == 0 || r.Lost != 0 || r.Forgotten != 3 || r.Calls != 58 {
			t.Errorf("reindexed %v: %+v", reindexed, r)
		}
		for range 2 {
			same(t, fmt.Sprintf("reindexed %v", reindexed), w.calls(), want)
			if n := w.counted(); n != 58 {
				t.Errorf("reindexed %v: rollups count %d", reindexed, n)
			}
			w.close()
			w.open()
		}
		// What comes again is a duplicate, an event of an erased call too; nobody is back.
		for n := range 60 {
			if a := w.append(storetest.Native(n))[0]; a.State != store.Duplicate && !(reindexed && (n >= 7 && n <= 11)) {
				t.Errorf("reindexed %v: call %d is %s", reindexed, n, a.State)
			}
		}
		if !reindexed {
			later := storetest.Native(9)
			later.Native = append(later.Native, "and later"...)
			if a := w.append(storetest.Hashed(later))[0]; a.State != store.Duplicate {
				t.Errorf("a late event of a redacted call is %s", a.State)
			}
			same(t, "after retries", w.calls(), want)
			page, err := w.store.List(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), store.Query{Number: "+353861234567", PageSize: 1000})
			must(t, err)
			for _, c := range page.Calls {
				if c.Record.From.E164 == "" {
					t.Errorf("a redacted call is listed under the number")
				}
			}
		}
		// And they can be erased once more, and restored from a later snapshot.
		if merged != "never" {
			storetest.MergeAll(t, w.store, storetest.TenantA)
		}
		w.create()
		w.rewrite(store.Rewrite{Calls: []string{out[12].ID, out[9].ID}})
		now := w.calls()
		w.restore("", nil)
		same(t, "a second time", w.calls(), now)
	}
}

// A note may hold a cover of more than the backup has: what came after it does not
// come back, not in any row and not in the cover.
func TestINV21_ACoverOfMoreThanTheBackupHas(t *testing.T) {
	w := newWorld(t)
	out := w.pieces(0, 24, true)
	w.create()
	w.pieces(24, 48, true)
	w.append(storetest.Native(48))
	w.merge()
	w.rewrite(store.Rewrite{Calls: []string{out[7].ID}})
	want := w.calls()
	for id, c := range want {
		if c.Record.Key.NativeID >= "call-24" && len(c.Record.Key.NativeID) == len("call-24") && c.Record.Key.NativeID[5] >= '2' && c.Record.Key.NativeID != "call-20" &&
			c.Record.Key.NativeID != "call-21" && c.Record.Key.NativeID != "call-22" && c.Record.Key.NativeID != "call-23" {
			delete(want, id)
		}
	}
	if len(want) != 23 {
		t.Fatalf("%d calls", len(want))
	}
	r := w.restore("", nil)
	if r.Calls != 23 || r.Lost != 0 || r.Forgotten != 1 {
		t.Errorf("%+v", r)
	}
	same(t, "restored", w.calls(), want)
	held := 0
	must(t, w.store.Everything(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Process), func(record.Record) error { held++; return nil }))
	if held != 23 {
		t.Errorf("%d records are held", held)
	}
	opened := 0
	must(t, w.store.EachSealed(func(key []byte, _ string, value []byte) {
		if key[0] == 'j' {
			if p := w.thief(key, value); bytes.Contains(p, []byte(`"native_id":"call-30"`)) {
				t.Error("a cover holds what no row leads to")
			}
			opened++
		}
	}))
	if opened == 0 {
		t.Error("no cover was put back: the test shows nothing")
	}
}

// Without notes (their disk was away) the calls that stood beside are lost, and
// counted; what is left is consistent, and sources can send them again.
func TestCallsWithoutANoteAreCountedAsLost(t *testing.T) {
	w := newWorld(t)
	w.load(0, 20)
	w.close()
	w.open() // another chunk
	out := w.load(20, 40)
	w.create()
	w.silent = true
	w.rewrite(store.Rewrite{Calls: []string{out[3].ID}})
	r := w.restore("", nil)
	if r.Lost != 20 || r.Calls != 20 || r.Renewed != 0 {
		t.Errorf("%+v", r)
	}
	if n := w.counted(); n != 20 || len(w.calls()) != 20 {
		t.Errorf("%d counted, %d calls", n, len(w.calls()))
	}
	for i, a := range w.load(0, 40) {
		if (a.State == store.Duplicate) != (i < 20) {
			t.Errorf("call %d is %s", i, a.State)
		}
	}
}

// Holds and certificates of after the snapshot are put back as they were last;
// what was deleted or replaced since does not come back.
func TestHoldsAreNeitherLostNorResurrected(t *testing.T) {
	w := newWorld(t)
	w.load(0, 3)
	lifted := w.item(store.HoldItem, 1, 0, "stands")
	w.item(store.HoldItem, 2, 0, "stands too")
	gone := w.item(store.RecordingItem, 5, 0, "recording")
	changed := w.item(store.RecordingItem, 6, 0, "recording of before")
	w.create()
	w.item(store.HoldItem, 1, lifted.Version, "released")
	w.item(store.HoldItem, 3, 0, "placed after the snapshot")
	w.item(store.CertificateItem, 4, 0, "certificate")
	w.item(store.RecordingItem, 6, changed.Version, "recording of after")
	w.item(store.RecordingItem, 7, 0, "its sound is in no snapshot")
	must(t, w.store.DeleteItem(context.Background(), storetest.PermitOf(t, storetest.TenantA, policy.Erase, policy.Recording), store.RecordingItem, gone.ID, 0))
	r := w.restore("", nil)
	if r.Renewed != 4 || r.Items != 1 {
		t.Errorf("%+v", r)
	}
	for range 2 {
		for id, want := range map[int]string{1: "released", 2: "stands too", 3: "placed after the snapshot"} {
			if got := w.itemBody(store.HoldItem, id); got != want {
				t.Errorf("hold %d: %q", id, got)
			}
		}
		if got := w.itemBody(store.CertificateItem, 4); got != "certificate" {
			t.Errorf("the certificate: %q", got)
		}
		if got := w.itemBody(store.RecordingItem, 6); got != "recording of after" {
			t.Errorf("a changed recording: %q", got)
		}
		for _, id := range []int{5, 7} {
			if got := w.itemBody(store.RecordingItem, id); got != "NOT_FOUND: there is no such item" {
				t.Errorf("recording %d: %q", id, got)
			}
		}
		page, err := w.store.Items(context.Background(), storetest.PermitOf(t, storetest.TenantA, policy.View, policy.AccountConfig), store.ItemQuery{Kind: store.HoldItem})
		if err != nil || len(page.Items) != 3 {
			t.Errorf("%d holds are listed, %v", len(page.Items), err)
		}
		w.close()
		w.open()
	}
	w.item(store.RecordingItem, 5, 0, "taken in again") // its place and its tag are free
	w.item(store.HoldItem, 1, 2, "changed again")
}

// A restored store seals under keys of its own: no key and nonce seal two things,
// over every snapshot that there ever was (INV38).
func TestINV38_NoNonceTwiceOverARestore(t *testing.T) {
	w := newWorld(t)
	frames := map[string][]byte{}
	look := func() {
		t.Helper()
		err := w.store.EachSealed(func(_ []byte, key string, value []byte) {
			if was, ok := frames[key]; ok && !bytes.Equal(was, value) {
				t.Errorf("key and nonce %x seal two things", key)
			}
			frames[key] = bytes.Clone(value)
		})
		must(t, err)
	}
	w.load(0, 20)
	first := w.create()
	w.load(20, 40)
	look()
	w.restore(first.ID, nil)
	look()
	out := w.load(20, 45) // other records in the place of those that are lost
	w.rewrite(store.Rewrite{Calls: []string{out[0].ID}})
	look()
	w.create()
	w.restore(first.ID, nil)
	w.load(15, 60)
	look()
	if len(frames) < 60 {
		t.Fatalf("%d sealed values: the test shows nothing", len(frames))
	}
}
