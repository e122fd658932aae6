package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// anEntry is an entry as a caller gives it.
func anEntry(n int) store.Entry {
	return store.Entry{Action: "hold.put", Resource: fmt.Sprintf("LH%032x", n), Tenant: TenantA, Detail: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// noted lists what waits, receipts left out unless they are asked for.
func (f *fixture) noted(receipts bool) (out []store.Noted) {
	f.t.Helper()
	all, err := f.store.Noted(context.Background(), 10_000)
	if err != nil {
		f.t.Fatalf("list noted entries: %v", err)
	}
	for _, n := range all {
		if (n.Action == store.BatchAction) == receipts {
			out = append(out, n)
		}
	}
	return out
}

// testLogEntries: a change that is asked for with an entry and its entry are
// durable together, or neither is.
func testLogEntries(t *testing.T, f *fixture) {
	id := f.append(TenantA, Native(1))[0].ID
	entries := 0
	expect := func(what string, more int, last func(store.Noted) bool) {
		t.Helper()
		f.reopen()
		got := f.noted(false)
		if entries += more; len(got) != entries {
			t.Fatalf("after %s %d entries are noted, want %d", what, len(got), entries)
		}
		if more > 0 && last != nil && !last(got[len(got)-1]) {
			t.Fatalf("after %s the last entry is %+v", what, got[len(got)-1])
		}
	}
	n := 0
	with := func() context.Context { n++; return store.WithEntry(context.Background(), anEntry(n)) }
	is := func(e store.Noted) bool {
		want := anEntry(n)
		return e.Action == want.Action && e.Resource == want.Resource && e.Tenant == TenantA && bytes.Equal(e.Detail, want.Detail) && e.Time == f.clock.Now().UnixMicro()
	}
	permit, records := PermitOf(t, TenantA, policy.Erase, policy.AccountConfig), Permit(t, TenantA, policy.Erase)

	item := store.Item{Kind: store.HoldItem, ID: "LH000102030405060708090a0b0c0d0e0f", Body: []byte("1")}
	put, err := f.store.PutItem(with(), permit, item, 0)
	if err != nil {
		t.Fatal(err)
	}
	expect("a put", 1, is)
	_, err = f.store.PutItem(with(), permit, item, 7)
	wantReason(t, err, policy.ETagMismatch)
	expect("a put that was refused", 0, nil)
	wantReason(t, f.store.DeleteItem(with(), permit, store.HoldItem, item.ID, 7), policy.ETagMismatch)
	expect("a deletion that was refused", 0, nil)
	if err := f.store.DeleteItem(with(), permit, store.HoldItem, item.ID, put.Version); err != nil {
		t.Fatal(err)
	}
	expect("a deletion", 1, is)
	owners, err := f.store.Reassign(with(), Permit(t, TenantA, policy.Process), "+353861234567", "", Epoch)
	if err != nil {
		t.Fatal(err)
	}
	expect("a change of hands", 1, is)
	if err := f.store.Unlink(with(), records, store.Unlinking{Number: "+353861234567", Owners: owners}); err != nil {
		t.Fatal(err)
	}
	expect("an unlinking", 1, is)
	if err := f.store.Unlink(with(), records, store.Unlinking{Number: "+353861234567", Owners: owners}); err != nil {
		t.Fatal(err)
	}
	expect("an unlinking of nothing", 0, nil)
	for range 2 {
		if _, err := f.store.Rewrite(with(), records, store.Rewrite{Calls: []string{id}}); err != nil {
			t.Fatal(err)
		}
	}
	n-- // the second changed nothing
	expect("a rewrite", 1, func(e store.Noted) bool { return is(e) && e.Done.Dropped == 1 && e.Done.Keys >= 1 })
	bad, err := f.store.Quarantine(context.Background(), Permit(t, TenantA, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Payload: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.Unquarantine(with(), records, bad[0]); err != nil {
		t.Fatal(err)
	}
	expect("an end of a quarantine", 1, is)
	if _, err := f.store.Purge(with(), TenantA); err != nil {
		t.Fatal(err)
	}
	expect("a purge", 1, is)
}

// testLogNote: entries of their own, and those that are noted once.
func testLogNote(t *testing.T, f *fixture) {
	ctx := context.Background()
	once := anEntry(1)
	once.Once = "keys/1/destroyed"
	for range 2 {
		if err := f.store.Note(ctx, once, anEntry(2)); err != nil {
			t.Fatal(err)
		}
		f.reopen()
	}
	got := f.noted(false)
	if len(got) != 3 {
		t.Fatalf("%d entries are noted, want 3", len(got))
	}
	for i, n := range got[1:] {
		if n.Seq <= got[i].Seq {
			t.Fatalf("entry %d has number %d after %d", i+1, n.Seq, got[i].Seq)
		}
	}
	long := anEntry(3)
	long.Detail = make([]byte, store.MaxDetail+1)
	wantReason(t, f.store.Note(ctx, long), policy.InvalidArgument)
	if err := f.store.LogWritable(ctx); err != nil {
		t.Fatal(err)
	}
}

// testLogBatches: each Append that stored something has a receipt, whose batch
// commits to it; a duplicate has none.
func testLogBatches(t *testing.T, f *fixture) {
	f.append(TenantA, Native(1))
	out := f.append(TenantA, Native(1), Native(2), Native(3), Native(4))
	f.append(TenantB, Native(1))
	f.append(TenantA, Native(2))
	if out[0].Receipt != "" || out[1].Receipt == "" || out[2].Receipt != out[1].Receipt || !policy.ValidID(store.KindReceipt, out[1].Receipt) {
		t.Fatalf("receipts are %+v", out)
	}
	f.reopen()
	got := f.noted(true)
	if len(got) != 3 {
		t.Fatalf("%d batches are noted, want 3", len(got))
	}
	batches := make([]store.Batch, len(got))
	for i, n := range got {
		var err error
		if batches[i], err = store.ReadBatch(n.Detail); err != nil || len(batches[i].Parts) != 1 {
			t.Fatalf("batch %d: %+v, %v", i, batches[i], err)
		}
	}
	first, second := batches[0].Parts[0], batches[1].Parts[0]
	if got[2].Tenant != TenantB || first.Count != 1 || second.Count != 3 || second.First != first.First+1 || first.Records == second.Records {
		t.Fatalf("batches are %+v of %+v", batches, got)
	}
	if batches[0].Writer != batches[1].Writer {
		t.Fatalf("batches are %+v", batches)
	}
}

// testLogLeaves: the log grows from its head only, and what is in it is found.
func testLogLeaves(t *testing.T, f *fixture) {
	ctx := context.Background()
	if err := f.store.Note(ctx, anEntry(1), anEntry(2)); err != nil {
		t.Fatal(err)
	}
	waiting := f.noted(false)
	head := store.LogHead{ID: "0123456789abcdef", Epoch: 1, Size: 3, Key: "aa"}
	e := store.Entering{To: head, Taken: []uint64{waiting[0].Seq},
		Leaves: []store.LogLeaf{{Index: 0, Record: []byte("zero")}, {Index: 1, Tenant: TenantA, Record: []byte("one"), Detail: []byte("d"), Parts: []byte("p"), Seqs: []uint64{5, 6}},
			{Index: 2, Tenant: TenantB, Record: []byte("two")}},
		Hashes: []store.LogHash{{Number: 4, Value: audit.Hash{4}}}}
	if err := f.store.Enter(ctx, e); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	wantReason(t, f.store.Enter(ctx, e), policy.ETagMismatch)
	if got, err := f.store.LogHead(ctx); err != nil || got != head {
		t.Fatalf("head is %+v, %v", got, err)
	}
	if left := f.noted(false); len(left) != 1 || left[0].Seq != waiting[1].Seq {
		t.Fatalf("waiting are %+v", left)
	}
	l, err := f.store.LogLeaf(ctx, 1)
	if err != nil || l.Index != 1 || l.Tenant != TenantA || string(l.Record)+string(l.Detail)+string(l.Parts) != "onedp" {
		t.Fatalf("leaf is %+v, %v", l, err)
	}
	_, err = f.store.LogLeaf(ctx, 3)
	wantReason(t, err, policy.NotFound)
	for tenant, want := range map[policy.TenantID]int{"": 3, TenantA: 1, TenantB: 1} {
		if got, err := f.store.LogLeaves(ctx, tenant, 0, 10); err != nil || len(got) != want {
			t.Fatalf("%q has %d leaves, want %d: %v", tenant, len(got), want, err)
		}
	}
	if got, err := f.store.LogLeaves(ctx, TenantA, 2, 10); err != nil || len(got) != 0 {
		t.Fatalf("leaves behind the last: %+v, %v", got, err)
	}
	if at, err := f.store.LogLeafOf(ctx, TenantA, 6); err != nil || at != 1 {
		t.Fatalf("entry 6 is in leaf %d, %v", at, err)
	}
	_, err = f.store.LogLeafOf(ctx, TenantB, 6)
	wantReason(t, err, policy.NotFound)
	if h, err := f.store.LogHashOf(ctx, 4); err != nil || h != (audit.Hash{4}) {
		t.Fatalf("hash is %x, %v", h, err)
	}
	_, err = f.store.LogHashOf(ctx, 5)
	wantReason(t, err, policy.NotFound)
	if _, err := f.store.Purge(ctx, TenantA); err != nil { // the log outlives its tenants
		t.Fatal(err)
	}
	if _, err := f.store.LogLeaf(ctx, 1); err != nil {
		t.Fatal(err)
	}
}
