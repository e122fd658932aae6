package dataplane

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// A recording and a transcript go with their call when its retention is over, however
// young they are and whatever is said of their own class, also after a crash between
// the two. What belongs to no call stays, and what a hold keeps is kept whole.
func TestINV21_MediaEndWithTheirCall(t *testing.T) { onBothStores(t, mediaEndWithTheirCall) }

func mediaEndWithTheirCall(t *testing.T, r *retention, clock *storetest.Clock, s store.Store) {
	ctx := context.Background()
	ask := func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return storetest.PermitOf(t, storetest.TenantA, op, class), nil
	}
	var between func(string) error
	r.end = ender(t, s, storeMedia{library: r.media, ask: ask}, func(step string) error { return between(step) }).EndCalls
	out, err := s.Append(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(1), storetest.Native(2)})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(31 * 24 * time.Hour)
	for _, call := range []string{out[0].ID, out[1].ID, ""} {
		putMedia(t, r.media, ask, call)
	}
	left := func(kind store.ItemKind, call string) int {
		t.Helper()
		page, err := s.Items(ctx, storetest.PermitOf(t, storetest.TenantA, policy.View, kind.Class()), store.ItemQuery{Kind: kind, Call: call, PageSize: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Items)
	}
	r.held = func(context.Context, policy.Permit, []string) (map[string]bool, error) {
		return map[string]bool{out[1].ID: true}, nil
	}
	crash := errors.New("crash")
	between = func(step string) error {
		if step == "ended media" {
			return crash
		}
		return nil
	}
	if err := r.round(ctx); !errors.Is(err, crash) {
		t.Fatalf("crashed: %v", err)
	}
	if calls, n := len(callsOf(t, s, storetest.TenantA)), left(store.RecordingItem, out[0].ID); calls != 2 || n != 0 {
		t.Errorf("after a crash between the two, %d calls are there, and %d recordings: what leads to a recording went before it", calls, n)
	}
	between = func(string) error { return nil }
	if err := r.round(ctx); err != nil {
		t.Fatal(err)
	}
	if calls := len(callsOf(t, s, storetest.TenantA)); calls != 1 {
		t.Errorf("%d calls are left", calls)
	}
	for _, kind := range []store.ItemKind{store.RecordingItem, store.TranscriptItem} {
		if ended, held, none := left(kind, out[0].ID), left(kind, out[1].ID), left(kind, ""); ended != 0 || held != 1 || none != 2 {
			t.Errorf("%ss of the ended call %d, of the held one %d, of all %d", kind, ended, held, none)
		}
	}
}

// ender is the service that ends calls, over a store and what calls have beside it.
func ender(t *testing.T, s store.Store, m subject.Media, between func(string) error) *subject.Service {
	t.Helper()
	dir := t.TempDir()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := subject.OpenLedger(filepath.Join(dir, erasuresDir), keys, storetest.Region)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ledger.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	service, err := subject.New(subject.Options{Region: storetest.Region, Store: s, Ledger: ledger, Gate: new(gate.Gate), Media: m, Between: between,
		Sign: func([]byte) ([]byte, error) { return nil, errors.New("nothing is signed here") }, CallingCode: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// storeMedia is what calls have, by permits of tests.
type storeMedia struct {
	library *media.Library
	ask     media.Ask
}

func (m storeMedia) Forget(ctx context.Context, _ policy.TenantID, call string) (recordings, transcripts uint64, err error) {
	return m.library.ForgetCall(ctx, m.ask, call)
}

func (m storeMedia) Any(ctx context.Context, _ policy.TenantID) (bool, error) {
	return m.library.Any(ctx, m.ask)
}

func (m storeMedia) Each(context.Context, policy.TenantID, string, func(subject.Medium) error) error {
	return errors.New("nobody exports here")
}

// A hold that comes after the look at the holds keeps what the call has, too.
func TestINV24_AHoldComesBeforeMediaEndWithTheirCall(t *testing.T) {
	onBothStores(t, aHoldComesBeforeMedia)
}

func aHoldComesBeforeMedia(t *testing.T, r *retention, clock *storetest.Clock, s store.Store) {
	ctx := context.Background()
	ask := func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return storetest.PermitOf(t, storetest.TenantA, op, class), nil
	}
	r.end = ender(t, s, storeMedia{library: r.media, ask: ask}, func(string) error { return nil }).EndCalls
	out, err := s.Append(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(1)})
	if err != nil {
		t.Fatal(err)
	}
	putMedia(t, r.media, ask, out[0].ID)
	clock.Advance(31 * 24 * time.Hour)
	looks := 0
	r.held = func(ctx context.Context, _ policy.Permit, calls []string) (map[string]bool, error) {
		holds, seen, err := s.Holds(ctx, storetest.TenantA)
		store.LookedAt(ctx, seen)
		if looks++; looks == 1 {
			id, idErr := policy.NewID(store.HoldItem.IDKind(), rand.Reader)
			if idErr != nil {
				t.Fatal(idErr)
			}
			if _, err := s.PutItem(context.Background(), storetest.PermitOf(t, storetest.TenantA, policy.Erase, policy.AccountConfig), store.Item{Kind: store.HoldItem, ID: id}, 0); err != nil {
				t.Fatal(err)
			}
		}
		return map[string]bool{calls[0]: len(holds) > 0}, err
	}
	if err := r.round(ctx); err != nil {
		t.Fatal(err)
	}
	list, _, err := r.media.Recordings(ctx, ask, media.Query{Call: out[0].ID})
	if err != nil || len(list) != 1 || len(callsOf(t, s, storetest.TenantA)) != 1 {
		t.Errorf("after %d looks %d recordings of a held call are left, %v", looks, len(list), err)
	}
}
