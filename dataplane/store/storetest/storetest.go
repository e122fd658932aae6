package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a store under test.
type Options struct {
	Dir string           // the same folder opens the same store again
	Now func() time.Time // the store's clock
}

// Open opens the store of o.Dir; the suite closes it, and t cleans up the rest.
type Open func(t *testing.T, o Options) Reopenable

// Reopenable is a store and the means to stop it as a whole, with its keys.
type Reopenable struct {
	store.Store
	Keys store.Keys // the store's key service; nil skips what looks at it
	Stop func()
}

// Run runs the whole suite, each test on a store of its own.
func Run(t *testing.T, open Open) { run(t, nil, open) }

func run(t *testing.T, names []string, open Open) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"TestINV33_AppendThenReopen", testReopen},
		{"Deduplication", testDeduplication},
		{"VersionsAreKept", testVersions},
		{"FoldKamailio", testFoldKamailio},
		{"FoldTwilio", testFoldTwilio},
		{"PlaceNeverMoves", testPlace},
		{"Subjects", testSubjects},
		{"ListFilters", testListFilters},
		{"Newest", testNewest},
		{"Scan", testScan},
		{"ScanAhead", testScanAhead},
		{"PagingUnderIngest", testPaging},
		{"LargePages", testLargePages},
		{"TokensAreBound", testTokens},
		{"Rollups", testRollups},
		{"Window", testWindow},
		{"Quarantine", testQuarantine},
		{"Feeds", testFeeds},
		{"TestINV10_TenantsAreIsolated", testIsolation},
		{"PermitsAreRequired", testPermits},
		{"ConcurrentDuplicates", testConcurrent},
		{"Purge", testPurge},
		{"TestINV24_Holds", testHolds},
		{"TestINV24_HoldsRace", testHoldsRace},
		{"TestINV24_ReplaceHold", testReplaceHold},
		{"TestINV24_PurgeBegins", testPurgeBegins},
		{"TestINV21_Drop", testDrop},
		{"DropAll", testDropAll},
		{"Aged", testAged},
		{"TestINV21_Reindex", testReindex},
		{"ReindexUnderIngest", testReindexUnderIngest},
		{"TestINV21_Redact", testRedact},
		{"TestINV21_RewriteAgainstIngest", testRewriteRaces},
		{"Unlink", testUnlink},
		{"TestINV33_Items", testItems},
		{"ItemsOfCalls", testItemsOfCalls},
		{"ItemLists", testItemLists},
		{"ItemUnique", testItemUnique},
		{"ItemConversion", testItemConversion},
		{"TestINV21_ItemKeys", testItemKeys},
		{"TestINV10_ItemsAreIsolated", testItemIsolation},
		{"ItemPermits", testItemPermits},
		{"Reassign", testReassign},
		{"UnlinkOneOwner", testUnlinkOneOwner},
		{"AnyVersion", testAnyVersion},
		{"TestINV27_LogEntries", testLogEntries},
		{"LogNote", testLogNote},
		{"LogBatches", testLogBatches},
		{"LogLeaves", testLogLeaves},
	} {
		if names != nil && !slices.Contains(names, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{t: t, open: open, dir: t.TempDir(), clock: &Clock{now: Epoch}}
			f.start()
			defer f.stop()
			c.run(t, f)
		})
	}
}

// Epoch is where the suite's clock begins.
var Epoch = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

// Clock is a clock that tests move. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock stands at Epoch.
func NewClock() *Clock { return &Clock{now: Epoch} }

// Now tells the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is one store under test.
type fixture struct {
	t     *testing.T
	open  Open
	dir   string
	clock *Clock
	store Reopenable
}

func (f *fixture) start() { f.store = f.open(f.t, Options{Dir: f.dir, Now: f.clock.Now}) }

func (f *fixture) stop() {
	if f.store.Stop != nil {
		f.store.Stop()
		f.store.Stop = nil
	}
}

func (f *fixture) reopen() {
	f.t.Helper()
	f.stop()
	f.start()
}

func (f *fixture) append(tenant policy.TenantID, recs ...record.Record) []store.Appended {
	f.t.Helper()
	out, err := f.store.Append(context.Background(), Permit(f.t, tenant, policy.Ingest), recs)
	if err != nil {
		f.t.Fatalf("append: %v", err)
	}
	if len(out) != len(recs) {
		f.t.Fatalf("append of %d records answered %d", len(recs), len(out))
	}
	return out
}

// list follows all pages.
func (f *fixture) list(tenant policy.TenantID, q store.Query) []store.Call {
	f.t.Helper()
	var out []store.Call
	for {
		p, err := f.store.List(context.Background(), Permit(f.t, tenant, policy.View), q)
		if err != nil {
			f.t.Fatalf("list: %v", err)
		}
		out = append(out, p.Calls...)
		if p.NextPageToken == "" {
			return out
		}
		q.PageToken = p.NextPageToken
	}
}

func (f *fixture) call(tenant policy.TenantID, id string) store.Call {
	f.t.Helper()
	c, err := f.store.Call(context.Background(), Permit(f.t, tenant, policy.View), id)
	if err != nil {
		f.t.Fatalf("call: %v", err)
	}
	return c
}

func wantReason(t *testing.T, err error, want policy.Reason) {
	t.Helper()
	if !isReason(err, want) {
		t.Fatalf("got error %v, want reason %s", err, want)
	}
}

func wantState(t *testing.T, got store.Appended, want store.State) {
	t.Helper()
	if got.State != want || !policy.ValidID(policy.KindCall, got.ID) {
		t.Fatalf("got %+v, want state %s and a call id", got, want)
	}
}

func isReason(err error, r policy.Reason) bool {
	return errors.Is(err, &policy.Error{Reason: r})
}
