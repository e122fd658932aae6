package sql_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func openKeys(t testing.TB) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(t.TempDir(), "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	return keys
}

// nodes opens several stores over one new database, with one key service.
func nodes(t testing.TB, n int) (out []*sql.Store) {
	t.Helper()
	dsn, keys := postgres.Database(t), openKeys(t)
	for range n {
		s, _ := open(t, dsn, keys, nil)
		out = append(out, s)
	}
	return out
}

func permit(t testing.TB, op policy.Operation) policy.Permit {
	return storetest.Permit(t, storetest.TenantA, op)
}

func isReason(err error, r policy.Reason) bool { return errors.Is(err, &policy.Error{Reason: r}) }

// everyCall follows all pages.
func everyCall(t testing.TB, s *sql.Store, q store.Query) (calls []store.Call) {
	t.Helper()
	q.PageSize = 1000
	for {
		page, err := s.List(context.Background(), permit(t, policy.View), q)
		if err != nil {
			t.Fatal(err)
		}
		if page.Corrupt > 0 {
			t.Fatalf("%d calls are corrupt", page.Corrupt)
		}
		calls = append(calls, page.Calls...)
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return calls
		}
	}
}

func ids(calls []store.Call) (out []string) {
	for _, c := range calls {
		out = append(out, c.ID)
	}
	return out
}

// sound checks what must be true of a tenant whichever node is asked: the nodes
// agree, counters are what the calls add up to, a number is one subject.
func sound(t *testing.T, all []*sql.Store) (calls []store.Call) {
	t.Helper()
	ctx := context.Background()
	calls = everyCall(t, all[0], store.Query{})
	numbers := map[string]string{}
	for _, c := range calls {
		for _, p := range []record.Party{c.Record.From, c.Record.To} {
			if p.E164 == "" {
				continue
			}
			if known := numbers[p.E164]; known != "" && known != p.Subject {
				t.Errorf("a number has two subjects, %s and %s", known, p.Subject)
			}
			numbers[p.E164] = p.Subject
		}
	}
	for i, s := range all {
		if got := ids(everyCall(t, s, store.Query{})); !slices.Equal(got, ids(calls)) {
			t.Errorf("node %d lists %d calls, node 0 %d, or others", i, len(got), len(calls))
		}
		got, err1 := s.Rollups(ctx, permit(t, policy.View), "2026-01-01", "2026-12-31")
		want, err2 := s.Recount(ctx, permit(t, policy.Process))
		if err := errors.Join(err1, err2); err != nil || !slices.Equal(got, want) {
			t.Errorf("node %d counts %+v, the calls add up to %+v, %v", i, got, want, err)
		}
	}
	return calls
}

// TestINV33_NodesStoreEachRecordOnce: three nodes are given the same records and
// some of their own, at once.
func TestINV33_NodesStoreEachRecordOnce(t *testing.T) {
	all := nodes(t, 3)
	const each = 120
	var stored atomic.Int64
	var work sync.WaitGroup
	for w := range 6 {
		s := all[w%3]
		work.Go(func() {
			for n := range each {
				out, err := s.Append(context.Background(), permit(t, policy.Ingest), []record.Record{storetest.Native(n), storetest.Native(1000*(w+1) + n),
					storetest.Acc(n, "INVITE", 200, storetest.Epoch), storetest.CDR(n, storetest.Epoch, 90)})
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				for i := range out {
					if out[i].State == store.Stored {
						stored.Add(1)
					}
				}
			}
		})
	}
	work.Wait()
	calls := sound(t, all)
	if want := each * (1 + 6 + 1); len(calls) != want {
		t.Errorf("%d calls, want %d", len(calls), want)
	}
	if want := int64(each * (1 + 6 + 2)); stored.Load() != want {
		t.Errorf("%d records were stored, want each of %d once", stored.Load(), want)
	}
	seen := map[string]bool{}
	for _, c := range calls {
		if key := string(c.Record.Key.Source) + c.Record.CallKey; seen[key] {
			t.Errorf("a call is there twice")
		} else {
			seen[key] = true
		}
	}
}

// TestINV21_NodesForgetTogether: one node drops calls again and again, another
// rebuilds the indexes, a third takes in more, with retries of what was dropped.
func TestINV21_NodesForgetTogether(t *testing.T) {
	all := nodes(t, 3)
	ctx := context.Background()
	const first, doomed, late = 300, 100, 300
	var batch []record.Record
	for n := range first {
		batch = append(batch, storetest.Native(n), storetest.Acc(n, "INVITE", 200, storetest.Epoch), storetest.CDR(n, storetest.Epoch, 90))
	}
	for part := range slices.Chunk(batch, 90) {
		if _, err := all[len(part)%3].Append(ctx, permit(t, policy.Ingest), part); err != nil {
			t.Fatal(err)
		}
	}
	var drop []string
	for _, c := range everyCall(t, all[1], store.Query{}) {
		var n int
		if _, err := fmt.Sscanf(c.Record.Key.NativeID, "call-%d", &n); err == nil && n < doomed {
			drop = append(drop, c.ID)
		}
	}
	patient := func(what string, do func() error) {
		for {
			err := do()
			if err == nil || !isReason(err, policy.NotReady) {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				return
			}
		}
	}
	var work sync.WaitGroup
	for i := range 2 { // two nodes drop the halves, overlapping
		part := drop[i*doomed/3 : doomed*(i+2)/3]
		work.Go(func() {
			for some := range slices.Chunk(part, 10) {
				patient("rewrite", func() error {
					_, err := all[i].Rewrite(ctx, permit(t, policy.Erase), store.Rewrite{Calls: some})
					return err
				})
			}
		})
	}
	for i := range 3 {
		work.Go(func() {
			for n := range late {
				out, err := all[i].Append(ctx, permit(t, policy.Ingest), []record.Record{storetest.Native(10_000 + n), storetest.Native(doomed + n%(first-doomed))})
				if err != nil || out[1].State != store.Duplicate {
					t.Errorf("append: %v, %v", out, err)
					return
				}
			}
		})
	}
	work.Go(func() {
		patient("reindex", func() error { return all[2].Reindex(ctx, permit(t, policy.Erase)) })
	})
	work.Wait()
	if calls := sound(t, all); len(calls) != 2*first-doomed+late {
		t.Errorf("%d calls, want %d", len(calls), 2*first-doomed+late)
	}
	gone := map[string]bool{}
	for n := range doomed {
		gone[fmt.Sprintf("call-%d", n)] = true
	}
	for i, s := range all {
		err := s.Everything(ctx, permit(t, policy.Process), func(r record.Record) error {
			if gone[r.Key.NativeID] {
				t.Errorf("node %d: a dropped record stands in a frame", i)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestNodesReassignAtOnce: of two nodes that record the same change of hands one
// does, and the numbers' owners stay in order while the third takes in calls.
func TestNodesReassignAtOnce(t *testing.T) {
	all := nodes(t, 3)
	ctx := context.Background()
	if _, err := all[2].Append(ctx, permit(t, policy.Ingest), []record.Record{storetest.Native(0)}); err != nil {
		t.Fatal(err)
	}
	const changes = 12
	var recorded atomic.Int64
	var work sync.WaitGroup
	for i := range 2 {
		work.Go(func() {
			for n := range changes {
				_, err := all[i].Reassign(ctx, permit(t, policy.Process), "+353861234567", "", storetest.Native(10*n+5).Start)
				switch {
				case err == nil:
					recorded.Add(1)
				case !isReason(err, policy.AlreadyExists):
					t.Errorf("reassign: %v", err)
				}
			}
		})
	}
	work.Go(func() {
		for n := range 10 * changes {
			if _, err := all[2].Append(ctx, permit(t, policy.Ingest), []record.Record{storetest.Native(n)}); err != nil {
				t.Errorf("append: %v", err)
			}
		}
	})
	work.Wait()
	if recorded.Load() != changes {
		t.Errorf("%d changes were recorded, want each of %d once", recorded.Load(), changes)
	}
	for i, s := range all {
		owners, err := s.Owners(ctx, permit(t, policy.View), "+353861234567", "")
		if err != nil || len(owners) != changes+1 {
			t.Fatalf("node %d knows %d owners, want %d: %v", i, len(owners), changes+1, err)
		}
		for _, c := range everyCall(t, s, store.Query{}) {
			at := slices.IndexFunc(owners, func(o store.Owner) bool {
				return !c.ListedAt.Before(o.Since) && (o.Until.IsZero() || c.ListedAt.Before(o.Until))
			})
			if at < 0 || !slices.Contains(owners[at].Subjects(), c.Record.From.Subject) {
				t.Errorf("node %d: a call belongs to nobody of its time", i)
			}
		}
	}
}

// TestINV21_PurgeReachesEveryNode: what one node destroyed no other serves from
// what it keeps in memory, and nothing of the other tenant goes.
func TestINV21_PurgeReachesEveryNode(t *testing.T) {
	all := nodes(t, 2)
	ctx := context.Background()
	other := storetest.Permit(t, storetest.TenantB, policy.Ingest)
	for n := range 50 {
		if _, err := all[n%2].Append(ctx, permit(t, policy.Ingest), []record.Record{storetest.Native(n)}); err != nil {
			t.Fatal(err)
		}
		if _, err := all[n%2].Append(ctx, other, []record.Record{storetest.Native(n)}); err != nil {
			t.Fatal(err)
		}
	}
	last := everyCall(t, all[1], store.Query{})[49] // keeps frames
	var work sync.WaitGroup
	work.Go(func() {
		for n := range 100 {
			if _, err := all[1].Append(ctx, other, []record.Record{storetest.Native(100 + n)}); err != nil {
				t.Errorf("append: %v", err)
			}
		}
	})
	gone, err := all[0].Purge(ctx, storetest.TenantA)
	if err != nil || gone.Calls != 50 {
		t.Fatalf("purged %+v, %v", gone, err)
	}
	work.Wait()
	if n := len(everyCall(t, all[1], store.Query{})); n != 0 {
		t.Errorf("the other node lists %d calls", n)
	}
	if _, err := all[1].Call(ctx, permit(t, policy.View), last.ID); !isReason(err, policy.NotFound) {
		t.Errorf("the other node serves a call: %v", err)
	}
	page, err := all[0].List(ctx, storetest.Permit(t, storetest.TenantB, policy.View), store.Query{PageSize: 1000})
	if err != nil || len(page.Calls) != 150 {
		t.Errorf("%d calls of the other tenant, want 150: %v", len(page.Calls), err)
	}
}

// TestNodesPutItemsOnce: of puts of one version one wins, of items of one Unique
// tag one is created.
func TestNodesPutItemsOnce(t *testing.T) {
	all := nodes(t, 2)
	ctx := context.Background()
	put := storetest.PermitOf(t, storetest.TenantA, policy.Ingest, policy.Recording)
	var created, replaced atomic.Int64
	first := store.Item{Kind: store.RecordingItem, ID: "RE000102030405060708090a0b0c0d0e0f", Body: []byte("one")}
	if _, err := all[0].PutItem(ctx, put, first, 0); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for n := range 20 {
				item := store.Item{Kind: store.RecordingItem, ID: fmt.Sprintf("RE%016x%016x", w+1, n), Unique: []byte{1, byte(n)}, Body: []byte("body")}
				switch _, err := all[w%2].PutItem(ctx, put, item, 0); {
				case err == nil:
					created.Add(1)
				case !isReason(err, policy.AlreadyExists):
					t.Errorf("create: %v", err)
				}
				switch _, err := all[w%2].PutItem(ctx, put, first, uint64(n)+1); {
				case err == nil:
					replaced.Add(1)
				case !isReason(err, policy.ETagMismatch):
					t.Errorf("replace: %v", err)
				}
			}
		})
	}
	work.Wait()
	got, err := all[1].Item(ctx, storetest.PermitOf(t, storetest.TenantA, policy.View, policy.Recording), store.RecordingItem, first.ID)
	if err != nil || created.Load() != 20 || got.Version != uint64(replaced.Load())+1 {
		t.Errorf("%d created, want 20; %d replaced, and it is at version %d; %v", created.Load(), replaced.Load(), got.Version, err)
	}
}
