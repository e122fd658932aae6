package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// removals tells of each log before it is removed.
type removals struct {
	vfs.FS
	log func(path string)
}

func (f removals) Remove(path string) error {
	if strings.HasSuffix(path, ".log") {
		f.log(path)
	}
	return f.FS.Remove(path)
}

// logsIn are the sizes of a store's log files.
func logsIn(t *testing.T, dir string) (sizes []int64) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "records", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) { // it has just gone
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	return sizes
}

// holds demands of a store calls and rows of churn.
func holds(t *testing.T, s *local.Store, calls, rows int) {
	t.Helper()
	if got := len(listAll(t, s, store.Query{PageSize: 1000})); got != calls {
		t.Errorf("%d calls, want %d", got, calls)
	}
	for n := range rows {
		if there, err := s.Churned(n); err != nil || !there {
			t.Errorf("row %d of churn: %t, %v", n, there, err)
		}
	}
}

// The logs of a store that rests go, and nothing with them: a copy of the folder from
// the moment before each log goes, as a cut of the power leaves it, has everything that
// was acknowledged. Afterwards the store writes logs as before, although those that it
// would have written into again are gone.
func TestINV33_LogsGoWhenAStoreRests(t *testing.T) {
	dir := t.TempDir()
	var copies []string
	resting := true
	s, stop := openAt(t, dir, func(o *local.Options) {
		o.FS = removals{vfs.Default, func(string) {
			if !resting {
				return
			}
			to := t.TempDir()
			copies = append(copies, to)
			if err := errors.Join(os.CopyFS(to, os.DirFS(dir)), os.Chmod(filepath.Join(to, "keys", "root.key"), 0o600)); err != nil {
				t.Error(err)
			}
		}}
	})
	s.Restless()
	put := func(from, n int) {
		t.Helper()
		for i := range n {
			if _, err := ingest(t, s, storetest.Native(from+i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(0, 5)
	if err := s.LayDown(); err != nil || len(copies) != 0 {
		t.Fatalf("%v; %d logs removed of a store that has hardly any", err, len(copies))
	}
	resting = false
	if err := s.Churn(0, 40); err != nil {
		t.Fatal(err)
	}
	put(5, 5)
	if before := logsIn(t, dir); len(before) < 2 {
		t.Fatalf("logs %v: the test shows nothing", before)
	}
	resting = true
	if err := s.LayDown(); err != nil {
		t.Fatal(err)
	}
	resting = false
	if after := logsIn(t, dir); len(after) != 1 || after[0] > 1<<20 {
		t.Fatalf("logs %v are left", after)
	}
	if len(copies) < 2 {
		t.Fatalf("%d logs were removed", len(copies))
	}
	for _, at := range copies {
		from, end := openAt(t, at, nil)
		holds(t, from, 10, 40)
		end()
	}
	if err := s.Churn(40, 40); err != nil {
		t.Fatal(err)
	}
	put(10, 5)
	holds(t, s, 15, 80)
	stop()
	s, _ = openAt(t, dir, nil)
	holds(t, s, 15, 80)
}

// It does so by itself, when nobody has written to it for some seconds.
func TestAStoreRestsByItself(t *testing.T) {
	dir := t.TempDir()
	s, _ := openAt(t, dir, nil)
	if err := s.Churn(0, 20); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for {
		if logs := logsIn(t, dir); len(logs) == 1 && logs[0] < 1<<20 {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("logs %v after a minute without a change", logsIn(t, dir))
		case <-time.After(50 * time.Millisecond):
		}
	}
	holds(t, s, 0, 20)
}

// While a store is written to, each of its logs is short: what they take does not shrink
// with a store that is small. And none is of one group alone, the largest that there is:
// one that does not fit into a memtable costs a log, a table and a sync of the folder.
func TestLogsAreShort(t *testing.T) {
	const group, groups = 2048, 16
	dir := t.TempDir()
	s, _ := openAt(t, dir, nil)
	defer s.Close()
	permit := storetest.Permit(t, storetest.TenantA, policy.Ingest)
	longest := int64(0)
	for g := range groups {
		recs := make([]record.Record, group)
		for i := range recs {
			recs[i] = benchRecord(g*group + i)
		}
		if _, err := s.Append(context.Background(), permit, recs); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, slices.Max(logsIn(t, dir)))
	}
	if longest < 2<<20 || longest > 6<<20 {
		t.Errorf("the longest log had %d bytes, want 2 to 6 MiB", longest)
	}
}
