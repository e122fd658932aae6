package subject

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// adversary owns every byte that the region's disk ever held, at the moments
// that it chose, and every key that can still be had.
type adversary struct {
	r      *region
	copies map[string]string // moment → copy of records, media, erasures and keys
}

func (a *adversary) copy(moment string) {
	a.r.t.Helper()
	to := filepath.Join(a.r.t.TempDir(), "copy")
	snapshot(a.r.t, a.r.dir, to)
	a.copies[moment] = to
}

// open reads everything that an old copy of the records shows to whoever has
// the keys in a folder, and how many values opened.
func (a *adversary) open(records, keys string) []byte {
	a.r.t.Helper()
	work := filepath.Join(a.r.t.TempDir(), "work")
	copyTree(a.r.t, records, filepath.Join(work, "records"))
	copyTree(a.r.t, keys, filepath.Join(work, "keys"))
	ring, err := local.OpenKeyring(local.Options{Dir: filepath.Join(work, "keys"), Region: "ie1", Existing: true, Now: a.r.clock})
	if err != nil {
		return nil
	}
	defer ring.Close()
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(work, "records"), Region: "ie1", Keys: ring, Now: a.r.clock, Room: func(time.Time) error { return nil }})
	if err != nil {
		return nil
	}
	defer s.Close()
	return a.r.everything(a.r.t, s.Store)
}

// TestINV21: whoever holds all bytes of all files, as they are and as they were
// at any moment, and every key that can still be had, recovers nothing of an
// erased person. At "executed" that is the live key table; at "final" also every
// old copy of the table, its custodian's slots excepted, which are destroyed.
func TestINV21_AdversaryWithEveryByteAndEveryKey(t *testing.T) { adversaryRuns(t, false) }

// The same where what came alone is merged all the time, before and between the
// steps of the erasure.
func TestINV21_AdversaryOverCovers(t *testing.T) { adversaryRuns(t, true) }

func adversaryRuns(t *testing.T, merged bool) {
	r := newRegion(t)
	a := &adversary{r: r, copies: map[string]string{}}
	r.populate()
	merge := func() {}
	if merged {
		covers := uint64(0)
		merge = func() { covers += storetest.MergeAll(t, r.store, tenant).Covers }
		a.copy("not merged")
		for n := range 12 { // each in a chunk of its own
			r.append(r.call(fmt.Sprintf("alone-%d", n), person, friend, epoch.Add(time.Duration(n)*time.Hour)))
			if n%3 == 0 {
				merge()
			}
			r.append(r.call(fmt.Sprintf("other-%d", n), "+353866666666", friend, epoch.Add(time.Duration(n)*time.Hour)))
			r.reopen()
		}
		merge()
		defer func() {
			if covers < 3 {
				t.Errorf("only %d covers were made: the test shows nothing", covers)
			}
		}()
	}
	calls := r.list(store.Query{Number: person})
	if len(calls) == 0 {
		t.Fatal("no calls")
	}
	r.reopen() // so that tables and logs of several starts lie about
	r.append(r.call("second-start", person, friend, epoch.Add(5*time.Minute)))
	a.copy("before")
	r.between = func(step string) error {
		if len(a.copies) < 12 {
			defer merge()
			a.copy(fmt.Sprintf("%d %s", len(a.copies), step))
		}
		return nil
	}
	c := r.erase(r.who(person))
	r.between = nil
	merge()
	r.reopen()
	r.append(r.call("life-goes-on", "+353866666666", friend, epoch.Add(time.Hour)))
	a.copy("after")
	r.permit(policy.View) // the gate has compared the ledger, and asks the store no more
	r.close()

	scan := scanner()
	// Positive control: with the keys of before, the copy of before tells everything.
	if found := scan.Bytes("control", a.open(filepath.Join(a.copies["before"], "records"), filepath.Join(a.copies["before"], "keys"))); len(found) == 0 {
		t.Fatal("the adversary finds nothing even with the keys of before: it proves nothing")
	}
	for moment, dir := range a.copies {
		// All raw bytes, without a key: nothing stands in clear anywhere.
		found, files, err := scan.Tree(dir)
		if err != nil || files < 5 {
			t.Fatalf("%s: %d files, %v", moment, files, err)
		}
		for _, f := range found {
			t.Errorf("%s, raw: %+v", moment, f)
		}
		shown := a.open(filepath.Join(dir, "records"), filepath.Join(r.dir, "keys"))
		if len(shown) == 0 && moment == "after" {
			t.Error("the present store does not open with the present keys")
		}
		for _, f := range scan.Bytes(moment, shown) {
			t.Errorf("%s, with every present key: %+v", moment, f)
		}
	}
	r.open()
	if c.State != Executed {
		t.Fatal(c.State)
	}

	// Final: the generation is gone. Old copies of the table, with the present
	// custodian, open nothing that was destroyed.
	r.now = r.now.Add(48 * time.Hour)
	must(t, r.keys.Rotate(context.Background()))
	r.permit(policy.View)
	r.close()
	for moment, dir := range a.copies {
		keys := filepath.Join(t.TempDir(), "keys")
		copyTree(t, filepath.Join(dir, "keys"), keys)
		for _, slot := range []string{"root.key", "generations"} {
			raw, err := os.ReadFile(filepath.Join(r.dir, "keys", slot))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(keys, slot), raw, 0o600))
		}
		for _, f := range scan.Bytes(moment, a.open(filepath.Join(dir, "records"), keys)) {
			t.Errorf("%s, with the table of then: %+v", moment, f)
		}
	}
	r.open()
}

// Races: records of the number come in, lists page and archives are made while
// it is erased. What was acknowledged before the erasure was asked for is gone
// afterwards; what was acknowledged after it is whole, under a new subject; and
// nothing in between is torn.
func TestErasureRacesWithIngestListsAndArchives(t *testing.T) {
	r := newRegion(t)
	r.populate()
	for n := range 300 {
		r.append(r.call(fmt.Sprintf("many-%d", n), person, fmt.Sprintf("+35386777%04d", n), epoch.Add(time.Duration(n)*time.Second)))
	}
	ctx, stop := context.WithCancel(context.Background())
	asked, started := make(chan struct{}), make(chan struct{})
	type acked struct {
		id     string
		before bool
	}
	done := make(chan []acked)
	permit, view := r.permit(policy.Ingest), r.permit(policy.View)
	who := r.who(person)
	for w := range 4 {
		go func() {
			var out []acked
			for n := 0; ctx.Err() == nil; n++ {
				rec := r.call(fmt.Sprintf("race-%d-%d", w, n), person, friend, epoch.Add(time.Duration(n)*time.Millisecond))
				got, err := r.store.Append(context.Background(), permit, []record.Record{rec})
				if err != nil {
					t.Error(err)
					break
				}
				before := true
				select {
				case <-asked:
					before = false
				default:
				}
				out = append(out, acked{got[0].ID, before})
				if n == 20 && w == 0 {
					close(started)
				}
			}
			done <- out
		}()
	}
	readers := make(chan struct{}, 3)
	go func() { // and what came alone is merged meanwhile
		for ctx.Err() == nil {
			if _, err := r.store.Merge(context.Background(), tenant, sealed.MergeOptions{All: true}); err != nil {
				t.Errorf("merge: %v", err)
				break
			}
		}
		readers <- struct{}{}
	}()
	go func() {
		defer func() { readers <- struct{}{} }()
		for ctx.Err() == nil {
			for q := (store.Query{PageSize: 50}); ; {
				page, err := r.store.List(context.Background(), view, q)
				if err != nil {
					t.Errorf("list: %v", err)
					return
				}
				for _, c := range page.Calls {
					if c.Record.Native == nil && c.Record.From.E164 == person {
						t.Error("a list shows half a redaction")
					}
				}
				if q.PageToken = page.NextPageToken; q.PageToken == "" {
					break
				}
			}
		}
	}()
	go func() {
		defer func() { readers <- struct{}{} }()
		for ctx.Err() == nil {
			if err := r.service.Export(context.Background(), tenant, who, false, &strings.Builder{}); err != nil && !strings.Contains(err.Error(), "NOT_FOUND") {
				t.Errorf("export: %v", err)
				return
			}
		}
	}()
	<-started
	// What is acknowledged from here on may fall on either side.
	close(asked)
	c, err := r.service.Erase(context.Background(), tenant, who)
	must(t, err)
	must(t, r.service.Round(context.Background(), []policy.TenantID{tenant}))
	after := r.append(r.call("certainly-after", person, friend, epoch.Add(2*time.Hour)))[0].ID
	stop()
	left := map[string]bool{}
	for _, call := range r.list(store.Query{Number: person}) {
		left[call.ID] = true
		if call.Record.Native == nil || call.Record.From.E164 != person {
			t.Error("a call of after the erasure is not whole")
		}
		for _, o := range c.Owners {
			if call.Record.From.Subject == o.Subject {
				t.Error("a call has the subject that was erased")
			}
		}
	}
	early := 0
	for range 4 {
		for _, x := range <-done {
			if x.before {
				early++
				if left[x.id] {
					t.Error("a call that was acknowledged before the erasure was asked for is left")
				}
			}
		}
	}
	<-readers
	<-readers
	<-readers
	if !left[after] || early == 0 {
		t.Errorf("the call of after is there: %v; %d calls of before", left[after], early)
	}
	got, err := r.service.Certificate(context.Background(), tenant, c.ID)
	if err != nil || got.State != Executed {
		t.Fatalf("%+v %v", got, err)
	}
	for _, o := range c.Owners {
		if n := len(r.list(store.Query{Subject: o.Subject, AnyVersion: true})); n != 0 {
			t.Errorf("%d calls carry the erased subject", n)
		}
	}
}
