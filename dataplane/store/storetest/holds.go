package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

func hold(n int) store.Item {
	return store.Item{Kind: store.HoldItem, ID: itemID(store.HoldItem, n), Body: []byte(`{"everybody":true,"reason":"LITIGATION","by":""}`)}
}

// look is what a destroyer does first.
func (f *fixture) look(ctx context.Context) (decided context.Context, seen int) {
	f.t.Helper()
	decided = store.WithHolds(ctx)
	_, seen, err := f.store.Holds(ctx, TenantA)
	if err != nil {
		f.t.Fatal(err)
	}
	store.LookedAt(decided, seen)
	return decided, seen
}

// testHolds: a hold that is placed between a destroyer's look at the holds and its
// commit stops it, whatever it destroys; nothing has changed then, and after another
// look it goes on.
func testHolds(t *testing.T, f *fixture) {
	ctx := context.Background()
	erase := Permit(t, TenantA, policy.Erase)
	call := f.append(TenantA, Native(1))[0].ID
	f.append(TenantB, Native(1))
	quarantined, err := f.store.Quarantine(ctx, Permit(t, TenantA, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Payload: []byte("broken"), ReceivedAt: Epoch}})
	if err != nil {
		t.Fatal(err)
	}
	f.mustPut(TenantA, item(1, call), 0)
	upload := store.Item{Kind: store.UploadItem, ID: itemID(store.UploadItem, 7), Call: call}
	f.mustPut(TenantA, upload, 0)
	for n, destroy := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := f.store.PutItem(ctx, PermitOf(t, TenantA, policy.Erase, policy.AccountConfig), store.Item{Kind: store.DeletionItem, ID: itemID(store.DeletionItem, 1), Call: call}, 0)
			return err
		},
		func(ctx context.Context) error {
			_, err := f.store.ConvertItem(ctx, PermitOf(t, TenantA, policy.Store, policy.Recording), store.UploadItem, upload.ID, 0, item(2, call))
			return err
		},
		func(ctx context.Context) error {
			return f.store.DeleteItem(ctx, PermitOf(t, TenantA, policy.Erase, policy.Recording), store.RecordingItem, itemID(store.RecordingItem, 1), 0)
		},
		func(ctx context.Context) error { return f.store.Unquarantine(ctx, erase, quarantined[0]) },
		func(ctx context.Context) error {
			_, err := f.store.Rewrite(ctx, erase, store.Rewrite{Calls: []string{call}})
			return err
		},
		func(ctx context.Context) error { _, err := f.store.Purge(ctx, TenantA); return err },
	} {
		before := everything(t, f, TenantA)
		decided, seen := f.look(ctx)
		if seen != n {
			t.Fatalf("%d holds were seen, want %d", seen, n)
		}
		f.mustPut(TenantA, hold(n), 0)
		if err := destroy(decided); !errors.Is(err, store.ErrNewHold) {
			t.Fatalf("destroyer %d, after a hold that it did not see: %v", n, err)
		}
		if after := everything(t, f, TenantA); after != before {
			t.Errorf("destroyer %d left %d things of %d, although it was refused", n, after, before)
		}
		again, _ := f.look(ctx)
		if err := destroy(again); err != nil {
			t.Errorf("destroyer %d, after another look: %v", n, err)
		}
	}
	if _, seen, err := f.store.Holds(ctx, TenantA); err != nil || seen != 0 {
		t.Errorf("%d holds of the purged tenant are left, %v", seen, err)
	}
	if err := f.store.Healthy(); err != nil {
		t.Errorf("the store is not healthy: %v", err)
	}
}

// testReplaceHold: who has no permit any more can replace a hold that is there, and
// place none; a hold that is replaced counts as the same.
func testReplaceHold(t *testing.T, f *fixture) {
	ctx := context.Background()
	_, err := f.store.ReplaceHold(ctx, TenantA, hold(1), 1)
	wantReason(t, err, policy.NotFound)
	f.mustPut(TenantA, hold(1), 0)
	decided, _ := f.look(ctx)
	released := hold(1)
	released.Body = []byte(`{"everybody":true,"reason":"LITIGATION","by":"","released":"2026-03-14T00:00:00Z"}`)
	_, err = f.store.ReplaceHold(ctx, TenantA, released, 2)
	wantReason(t, err, policy.ETagMismatch)
	for _, bad := range []store.Item{item(1, ""), {Kind: store.HoldItem, ID: "LH1"}} {
		_, err = f.store.ReplaceHold(ctx, TenantA, bad, 1)
		wantReason(t, err, policy.InvalidArgument)
	}
	_, err = f.store.ReplaceHold(ctx, TenantA, hold(2), 0)
	wantReason(t, err, policy.InvalidArgument)
	if now, err := f.store.ReplaceHold(ctx, TenantA, released, 1); err != nil || now.Version != 2 || now.Created.IsZero() {
		t.Fatalf("%+v, %v", now, err)
	}
	f.reopen()
	holds, seen, err := f.store.Holds(ctx, TenantA)
	if err != nil || seen != 1 || len(holds) != 1 || string(holds[0].Body) != string(released.Body) {
		t.Fatalf("%d holds: %+v, %v", seen, holds, err)
	}
	if _, err := f.store.Purge(decided, TenantA); err != nil {
		t.Errorf("a purge that had looked at the hold before it was replaced: %v", err)
	}
	_, err = f.store.ReplaceHold(ctx, TenantA, released, 2)
	wantReason(t, err, policy.NotFound)
}

// testPurgeBegins: the region's log says that a purge begins when nothing can keep it
// from destroying any more, once, and not when a hold does.
func testPurgeBegins(t *testing.T, f *fixture) {
	f.append(TenantA, Native(1))
	begin, end := anEntry(1), anEntry(2)
	begin.Action, begin.Once, end.Action = "tenant.purge_begin", "purge/1", "tenant.purge"
	told := store.WithEntry(store.WithBegin(context.Background(), begin), end)
	decided, _ := f.look(told)
	f.mustPut(TenantA, hold(1), 0)
	if _, err := f.store.Purge(decided, TenantA); !errors.Is(err, store.ErrNewHold) {
		t.Fatalf("a purge after a hold that it did not see: %v", err)
	}
	if got := f.noted(false); len(got) != 0 {
		t.Fatalf("a purge that was refused is noted: %+v", got)
	}
	f.append(TenantA, Native(2)) // nothing has ended
	for range 2 {
		decided, _ = f.look(told)
		if _, err := f.store.Purge(decided, TenantA); err != nil {
			t.Fatal(err)
		}
		f.reopen()
	}
	var actions []string
	for _, n := range f.noted(false) {
		actions = append(actions, n.Action)
	}
	if want := []string{begin.Action, end.Action, end.Action}; !slices.Equal(actions, want) {
		t.Errorf("the log is told %v, want %v", actions, want)
	}
}

// testHoldsRace: a hold is placed while calls are dropped, one commit each. Whatever
// the order: what is there when the hold's answer is there stays.
func testHoldsRace(t *testing.T, f *fixture) {
	ctx := context.Background()
	erase := Permit(t, TenantA, policy.Erase)
	const rounds, calls = 12, 8
	dropped := 0
	for round := range rounds {
		ids := make([]string, calls)
		for n := range ids {
			ids[n] = f.append(TenantA, Native(1000*round+n))[0].ID
		}
		decided, _ := f.look(ctx)
		var placed atomic.Bool
		var late atomic.Int64
		var all sync.WaitGroup
		all.Add(2)
		begin := make(chan struct{})
		go func() {
			defer all.Done()
			<-begin
			f.mustPut(TenantA, hold(round), 0)
			placed.Store(true)
		}()
		gone := 0
		go func() {
			defer all.Done()
			for n, id := range ids {
				if n == round%calls {
					close(begin)
				}
				before := placed.Load()
				_, err := f.store.Rewrite(decided, erase, store.Rewrite{Calls: []string{id}})
				switch {
				case err == nil:
					gone++
					if before {
						late.Add(1)
					}
				case !errors.Is(err, store.ErrNewHold):
					t.Errorf("drop a call: %v", err)
				}
			}
		}()
		all.Wait()
		dropped += gone
		if n := late.Load(); n > 0 {
			t.Errorf("round %d: %d calls were dropped after the hold's answer", round, n)
		}
		if left := len(f.list(TenantA, store.Query{})); left != (round+1)*calls-dropped {
			t.Errorf("round %d: %d calls are there, %d were dropped", round, left, dropped)
		}
	}
}
