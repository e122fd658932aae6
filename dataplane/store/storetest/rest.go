package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

func testQuarantine(t *testing.T, f *fixture) {
	ctx := context.Background()
	ingest, view, process := Permit(t, TenantA, policy.Ingest), Permit(t, TenantA, policy.View), Permit(t, TenantA, policy.Process)
	want := map[string]string{}
	for n := range 5 {
		payload := fmt.Sprintf("broken %d", n)
		out, err := f.store.Quarantine(ctx, ingest, []store.Quarantined{{Source: record.Asterisk, Instance: "pbx", Path: "cdr", ContentType: "text/csv",
			Problem: "14 columns, want 16", ReceivedAt: Epoch, Payload: []byte(payload)}})
		if err != nil {
			t.Fatal(err)
		}
		want[out[0]] = payload
	}
	f.reopen()
	got := map[string]string{}
	token := ""
	var last string
	for {
		items, next, err := f.store.Quarantines(ctx, view, 2, token)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			got[i.ID], last = string(i.Payload), i.ID
			if i.Source != record.Asterisk || i.Problem == "" || !i.ReceivedAt.Equal(Epoch) || i.Path != "cdr" {
				t.Fatalf("item lost its description")
			}
		}
		if token = next; token == "" {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	wantReason(t, f.store.Unquarantine(ctx, Permit(t, TenantB, policy.Process), last), policy.NotFound)
	if err := f.store.Unquarantine(ctx, process, last); err != nil {
		t.Fatal(err)
	}
	wantReason(t, f.store.Unquarantine(ctx, process, last), policy.NotFound)
}

func testFeeds(t *testing.T, f *fixture) {
	ctx := context.Background()
	write, read := PermitOf(t, TenantA, policy.Store, policy.AccountConfig), PermitOf(t, TenantA, policy.Process, policy.AccountConfig)
	_, err := f.store.Feed(ctx, read, record.Twilio, "main")
	wantReason(t, err, policy.NotFound)
	want := store.Feed{Source: record.Twilio, Name: "main", TimeZone: "Australia/Sydney", DefaultCountry: "AU", SignatureSecret: "s3cret", SignatureURL: "https://x.example/y"}
	for range 2 {
		if err := f.store.PutFeed(ctx, write, want); err != nil {
			t.Fatal(err)
		}
	}
	f.reopen()
	got, err := f.store.Feed(ctx, read, record.Twilio, "main")
	if err != nil || got != want {
		t.Fatalf("settings changed on the way, error %v", err)
	}
	_, err = f.store.Feed(ctx, PermitOf(t, TenantB, policy.Process, policy.AccountConfig), record.Twilio, "main")
	wantReason(t, err, policy.NotFound)
}

func testIsolation(t *testing.T, f *fixture) {
	ctx := context.Background()
	a := f.append(TenantA, Native(1))[0]
	b := Native(1)
	b.Native = []byte("only of B")
	wantState(t, f.append(TenantB, Hashed(b))[0], store.Stored)
	_, err := f.store.Call(ctx, Permit(t, TenantB, policy.View), a.ID)
	_, absent := f.store.Call(ctx, Permit(t, TenantB, policy.View), "CA000102030405060708090a0b0c0d0e0f")
	wantReason(t, err, policy.NotFound)
	if err.Error() != absent.Error() {
		t.Fatalf("foreign %q and absent %q differ", err, absent)
	}
	for _, c := range f.list(TenantA, store.Query{Number: "+353861234567"}) {
		if bytes.Contains(c.Record.Native, []byte("only of B")) {
			t.Fatal("tenant A reads a record of B")
		}
	}
	if n := len(f.list(TenantB, store.Query{})); n != 1 {
		t.Fatalf("tenant B sees %d calls, want 1", n)
	}
	rows, err := f.store.Rollups(ctx, Permit(t, TenantB, policy.View), "2026-01-01", "2026-12-31")
	if err != nil || len(rows) != 1 || rows[0].Calls != 1 {
		t.Fatalf("tenant B's rollups: %v, %v", rows, err)
	}
}

// testPermits: each method refuses the empty permit and each operation but its own.
func testPermits(t *testing.T, f *fixture) {
	ctx := context.Background()
	id := f.append(TenantA, Native(1))[0].ID
	s := f.store
	for _, m := range []struct {
		name  string
		op    policy.Operation
		class policy.DataClass
		call  func(policy.Permit) error
		also  []policy.Operation // that will do, too
	}{
		{"Append", policy.Ingest, policy.CallRecord, func(p policy.Permit) error { _, err := s.Append(ctx, p, []record.Record{Native(9)}); return err }, nil},
		{"Quarantine", policy.Ingest, policy.CallRecord, func(p policy.Permit) error {
			_, err := s.Quarantine(ctx, p, []store.Quarantined{{Payload: []byte("x")}})
			return err
		}, nil},
		{"Quarantines", policy.View, policy.CallRecord, func(p policy.Permit) error { _, _, err := s.Quarantines(ctx, p, 1, ""); return err }, []policy.Operation{policy.Erase}},
		{"Unquarantine", policy.Process, policy.CallRecord, func(p policy.Permit) error {
			err := s.Unquarantine(ctx, p, "QU000102030405060708090a0b0c0d0e0f")
			if isReason(err, policy.NotFound) {
				return nil
			}
			return err
		}, []policy.Operation{policy.Erase}},
		{"List", policy.View, policy.CallRecord, func(p policy.Permit) error { _, err := s.List(ctx, p, store.Query{}); return err }, nil},
		{"Scan", policy.View, policy.CallRecord, func(p policy.Permit) error {
			_, err := s.Scan(ctx, p, store.Query{}, func(*store.Call) bool { return true }, nil)
			return err
		}, nil},
		{"Call", policy.View, policy.CallRecord, func(p policy.Permit) error { _, err := s.Call(ctx, p, id); return err }, []policy.Operation{policy.Erase}},
		{"Rollups", policy.View, policy.CallRecord, func(p policy.Permit) error { _, err := s.Rollups(ctx, p, "2026-01-01", "2026-01-01"); return err }, nil},
		{"PutFeed", policy.Store, policy.AccountConfig, func(p policy.Permit) error {
			return s.PutFeed(ctx, p, store.Feed{Source: record.Asterisk, Name: "x"})
		}, nil},
		{"Feed", policy.Process, policy.AccountConfig, func(p policy.Permit) error { _, err := s.Feed(ctx, p, record.Asterisk, "x"); return err }, nil},
		{"Reindex", policy.Erase, policy.CallRecord, func(p policy.Permit) error { return s.Reindex(ctx, p) }, nil},
		{"Reindexed", policy.View, policy.CallRecord, func(p policy.Permit) error { _, _, err := s.Reindexed(ctx, p); return err }, []policy.Operation{policy.Process, policy.Erase}},
		{"Aged", policy.Erase, policy.CallRecord, func(p policy.Permit) error { _, _, err := s.Aged(ctx, p, Epoch, 1, ""); return err }, nil},
		{"Rewrite", policy.Erase, policy.CallRecord, func(p policy.Permit) error { _, err := s.Rewrite(ctx, p, store.Rewrite{}); return err }, nil},
		{"Owners", policy.View, policy.CallRecord, func(p policy.Permit) error { _, err := s.Owners(ctx, p, "1", ""); return err }, []policy.Operation{policy.Process, policy.Erase}},
		{"Unlink", policy.Erase, policy.CallRecord, func(p policy.Permit) error { return s.Unlink(ctx, p, store.Unlinking{Number: "1"}) }, nil},
		{"Mend", policy.Erase, policy.CallRecord, func(p policy.Permit) error { _, err := s.Mend(ctx, p, store.Forgotten{}); return err }, nil},
		{"Reassign", policy.Process, policy.CallRecord, func(p policy.Permit) error {
			_, err := s.Reassign(ctx, p, "1", "", Epoch)
			if isReason(err, policy.NotFound) {
				return nil
			}
			return err
		}, nil},
		{"Window", policy.Export, policy.CallRecord, func(p policy.Permit) error {
			return s.Window(ctx, p, Epoch, Epoch.Add(time.Hour), func(store.Call) error { return nil })
		}, nil},
	} {
		t.Run(m.name, func(t *testing.T) {
			wantReason(t, m.call(policy.Permit{}), policy.PermissionDenied)
			for _, op := range policy.Operations() {
				err := m.call(PermitOf(t, TenantA, op, m.class))
				will := op == m.op || slices.Contains(m.also, op)
				if will && err != nil {
					t.Errorf("%s: %v", op, err)
				}
				if !will {
					wantReason(t, err, policy.PermissionDenied)
				}
			}
			wantReason(t, m.call(PermitOf(t, TenantA, m.op, policy.BillingUsage)), policy.PermissionDenied)
		})
	}
}
