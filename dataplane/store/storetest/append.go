package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

func testReopen(t *testing.T, f *fixture) {
	var want []store.Appended
	for n := range 300 {
		if n%100 == 50 {
			f.reopen()
		}
		want = append(want, f.append(TenantA, Native(n))...)
	}
	f.reopen()
	got := f.list(TenantA, store.Query{PageSize: 37})
	if len(got) != len(want) {
		t.Fatalf("%d calls after reopening, want %d", len(got), len(want))
	}
	for i, c := range got {
		sent := Native(i)
		if c.ID != want[i].ID {
			t.Fatalf("call %d is %s, acknowledged as %s", i, c.ID, want[i].ID)
		}
		sent.From.Subject, sent.To.Subject = c.Record.From.Subject, c.Record.To.Subject
		if d := diff(sent, c.Record); d != "" {
			t.Fatalf("call %d differs from what was sent:\n%s", i, d)
		}
	}
	for i, a := range f.append(TenantA, Native(7), Native(8)) {
		if a.ID != want[7+i].ID || a.State != store.Duplicate {
			t.Fatalf("sent again after reopening: %+v, want a duplicate of %s", a, want[7+i].ID)
		}
	}
}

// diff compares records field by field; their own formatting is redacted.
func diff(a, b record.Record) string {
	return cmp.Diff(plain(a), plain(b))
}

// plain is a record without its redacting methods.
func plain(r record.Record) map[string]string {
	return map[string]string{
		"key":     fmt.Sprint(r.Key.Source, "|", r.Key.Instance, "|", r.Key.NativeID, "|", r.Key.Leg, "|", r.Key.Event, "|", r.CallKey),
		"from":    r.From.Raw + "|" + r.From.E164 + "|" + r.From.Country + "|" + r.From.Subject,
		"to":      r.To.Raw + "|" + r.To.E164 + "|" + r.To.Country + "|" + r.To.Subject,
		"name":    r.CallerName,
		"status":  fmt.Sprint(r.Status, r.Direction, r.SIPCode, r.Q850, r.Primary, r.Sequence),
		"times":   fmt.Sprint(r.Start.UnixMicro(), r.Ring.UnixMicro(), r.Answer.UnixMicro(), r.End.UnixMicro(), r.Duration, r.Billsec),
		"stir":    r.STIR.Attest + r.STIR.OrigID + r.STIR.Verstat + r.STIR.SPC,
		"refs":    fmt.Sprint(r.RecordingRefs, r.ConsentRef, r.AssumedZone, r.AssumedCountry),
		"native":  string(r.Native) + r.NativeType,
		"content": fmt.Sprintf("%x", r.ContentHash),
	}
}

func testDeduplication(t *testing.T, f *fixture) {
	out := f.append(TenantA, Native(1), Native(2), Native(1))
	wantState(t, out[0], store.Stored)
	wantState(t, out[1], store.Stored)
	wantState(t, out[2], store.Duplicate)
	if out[0].ID != out[2].ID || out[0].ID == out[1].ID {
		t.Fatalf("ids do not say which call: %+v", out)
	}
	wantState(t, f.append(TenantA, Native(2))[0], store.Duplicate)
	other := Native(1)
	other.Key.Instance = "another"
	wantState(t, f.append(TenantA, other)[0], store.Stored)
	if n := len(f.list(TenantA, store.Query{})); n != 3 {
		t.Fatalf("%d calls, want 3", n)
	}
}

func testVersions(t *testing.T, f *fixture) {
	first := f.append(TenantA, Native(1))[0]
	for v := 2; v <= 80; v++ {
		r := Native(1)
		r.Billsec = time.Duration(v) * time.Second
		r.Native = append(r.Native, fmt.Sprintf(" v%d", v)...)
		r = Hashed(r)
		got := f.append(TenantA, r)[0]
		wantState(t, got, store.NewVersion)
		if got.ID != first.ID {
			t.Fatalf("version %d is call %s, want %s", v, got.ID, first.ID)
		}
		wantState(t, f.append(TenantA, r)[0], store.Duplicate)
		if v == 40 {
			f.reopen()
		}
	}
	wantState(t, f.append(TenantA, Native(1))[0], store.Duplicate)
	c := f.call(TenantA, first.ID)
	if c.Versions != 80 || c.Record.Billsec != 80*time.Second {
		t.Fatalf("%d versions and %s billed, want 80 and 80s", c.Versions, c.Record.Billsec)
	}
}

func testConcurrent(t *testing.T, f *fixture) {
	permit := Permit(t, TenantA, policy.Ingest)
	const callers, calls = 16, 50
	states := make([][]store.State, callers)
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			for n := range calls {
				out, err := f.store.Append(context.Background(), permit, []record.Record{Native(n), Native(1000*(w+1) + n)})
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				states[w] = append(states[w], out[0].State)
			}
		})
	}
	wg.Wait()
	stored := 0
	for _, s := range states {
		for _, x := range s {
			if x == store.Stored {
				stored++
			}
		}
	}
	if stored != calls {
		t.Fatalf("%d of the shared records were stored, want each of %d once", stored, calls)
	}
	if n := len(f.list(TenantA, store.Query{PageSize: 1000})); n != calls+callers*calls {
		t.Fatalf("%d calls, want %d", n, calls+callers*calls)
	}
}
