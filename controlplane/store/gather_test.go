package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// killed gives the folder of a store as a process that is killed now leaves it, as
// the path of the state in a copy.
func killed(t testing.TB, s *Store) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "state.db")
	for _, suffix := range []string{"", ".open", ".applied"} {
		raw, err := os.ReadFile(s.path + suffix)
		check(t, err)
		check(t, os.WriteFile(to+suffix, raw, 0o600))
	}
	return to
}

// everything reads the state by each way that there is to read it.
func everything(t testing.TB, s *Store) (out []any) {
	t.Helper()
	see := func(v any, err error) {
		if err != nil && !isReason(err, policy.NotFound) && !isReason(err, policy.SnapshotGone) {
			t.Fatal(err)
		}
		out = append(out, v, err == nil)
	}
	for n := 1; n <= 3; n++ {
		id := id[policy.TenantID](policy.KindTenant, n)
		a, err := s.Tenant(id)
		see(a, err)
		p, err := s.Policy(id)
		see(p, err)
		k, err := s.Keys(id, "", 10)
		see(k, err)
		b, err := s.TenantBySlug(a.Slug)
		see(b, err)
	}
	all, err := s.Tenants("", 10, TenantFilter{})
	see(all, err)
	changes, err := s.Changes("", 10, "", "")
	see(changes, err)
	rows, err := s.RowsChanged("ie1", max(s.Revision(), 2)-2)
	see(rows, err)
	keys, to, err := s.RowKeysChanged("ie1", 0)
	see([]any{keys, to}, err)
	leaves, size, err := s.AuditLeaves(0, 100)
	see([]any{leaves, size}, err)
	r, ok, err := s.Replay(Stamp{Now: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Actor: actor, IdempotencyKey: uuid(1), RequestHash: hexHash("1")})
	see([]any{r, ok}, err)
	return out
}

// Whether what was applied is in the file or not, each read holds it.
func TestINV30_ReadsHoldWhatIsGathered(t *testing.T) {
	gathers, commits := empty(t), empty(t)
	for _, e := range history(t) {
		for _, s := range []*Store{gathers.Store, commits.Store} {
			_, err := s.Apply([]Entry{e})
			check(t, err)
		}
		check(t, commits.settle())
		if gathers.gathered.tx == nil {
			t.Fatal("void: nothing is gathered")
		}
		// Each read alone: one that reads many has it committed for those after it.
		for range 2 {
			if a, b := everything(t, gathers.Store), everything(t, commits.Store); !reflect.DeepEqual(a, b) {
				t.Fatalf("entry %d: read\n%v\nand the file holds\n%v", e.Index, a, b)
			}
		}
	}
	a, at, err := gathers.StateHash()
	b, at2, err2 := commits.StateHash()
	if check(t, errors.Join(err, err2)); a != b || at != at2 {
		t.Errorf("state %s at %d, and %s at %d", a, at, b, at2)
	}
}

// Lists find what is gathered, with nothing that was committed for another read.
func TestINV30_ListsHoldWhatIsGathered(t *testing.T) {
	f := seeded(t)
	f.tenant(1, "ie1")
	if all, err := f.Tenants("", 10, TenantFilter{}); err != nil || len(all) != 1 {
		t.Errorf("%d tenants, %v", len(all), err)
	}
}

func TestASnapshotHoldsWhatIsGathered(t *testing.T) {
	f := seeded(t)
	f.tenant(1, "ie1")
	var image bytes.Buffer
	check(t, f.WriteSnapshot(&image))
	into := empty(t)
	check(t, into.Restore(&image))
	want, _ := f.Applied()
	if at, _ := into.Applied(); at != want {
		t.Errorf("the snapshot is of entry %d, and %d was applied", at, want)
	}
}

// What is gathered goes when a snapshot takes the state's place.
func TestARestoreForgetsWhatIsGathered(t *testing.T) {
	f, into := seeded(t), seeded(t)
	for n := range 3 {
		f.tenant(n, "ie1")
	}
	var image bytes.Buffer
	check(t, f.WriteSnapshot(&image))
	into.tenant(9, "ie1")
	check(t, into.Restore(&image))
	if contents(t, f.Store) != contents(t, into.Store) {
		t.Error("the states differ")
	}
}

// What is gathered is bounded by its size.
func TestWhatIsGatheredIsBounded(t *testing.T) {
	f := seeded(t)
	f.tenant(2, "ie1")
	if f.gathered.tx == nil || f.gathered.bytes == 0 || f.gathered.bytes > 10_000 {
		t.Fatalf("void: %d bytes are gathered", f.gathered.bytes)
	}
	f.gathered.bytes = gatherBytes - 1
	f.tenant(3, "ie1")
	if f.gathered.tx != nil {
		t.Errorf("%d bytes of commands are gathered", f.gathered.bytes)
	}
}

// What is gathered is committed some time later.
func TestWhatIsGatheredIsCommitted(t *testing.T) {
	s, err := Open(Options{Path: filepath.Join(t.TempDir(), "state.db"), Gather: time.Millisecond})
	check(t, err)
	defer s.Close()
	f := &fixture{Store: s, t: t, now: time.Now()}
	f.must(seed())
	for end := time.Now().Add(time.Minute); ; {
		f.gathered.mu.Lock()
		done := f.gathered.tx == nil
		f.gathered.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatal("what is gathered is never committed")
		}
		time.Sleep(time.Millisecond) // between looks
	}
}

// A commit that nobody waits for and that fails ends the node.
func TestALateCommitThatFailsIsTold(t *testing.T) {
	var told error
	s, err := Open(Options{Path: filepath.Join(t.TempDir(), "state.db"), Gather: time.Hour, Hung: func(err error) { told = err }})
	check(t, err)
	f := &fixture{Store: s, t: t, now: time.Now()}
	f.must(seed())
	check(t, f.gathered.tx.Rollback()) // its commit fails now
	s.late()
	if told == nil || !strings.Contains(told.Error(), "commit") {
		t.Errorf("it was told %v", told)
	}
	if _, err := s.Regions(); !isReason(err, policy.NotReady) {
		t.Errorf("it goes on answering: %v", err)
	}
	check(t, s.Close())
	if _, err := os.Stat(openMarker(s.path)); err != nil {
		t.Errorf("a state that broke down is said to be well: %v", err)
	}
}

// What a killed process had applied and not committed is not in its file, and the
// mark says how far it had come: until somebody has caught up with it.
func TestINV34_AKilledStateSaysHowFarItWasShown(t *testing.T) {
	f := seeded(t)
	check(t, f.settle())
	file, _ := f.Applied()
	f.tenant(1, "ie1")
	shown, _ := f.Applied()
	path := killed(t, f.Store)
	look := func(apply func(s *Store), wantFile, wantShown uint64) {
		t.Helper()
		s, err := Open(Options{Path: path})
		check(t, err)
		if at, _ := s.Applied(); at != wantFile || s.Shown() != wantShown {
			t.Errorf("the file is at %d and was shown at %d, want %d and %d", at, s.Shown(), wantFile, wantShown)
		}
		apply(s)
		check(t, s.Close())
	}
	catchUp := func(s *Store) {
		data, err := Encode(Command{Stamp: f.stamp(), Payload: createTenant(1, "ie1")})
		check(t, err)
		_, err = s.Apply([]Entry{{Index: shown, Term: 1, Data: data}})
		check(t, err)
	}
	nothing := func(*Store) {}
	look(nothing, file, shown)
	look(nothing, file, shown) // a tool that only looked has caught up with nothing
	look(catchUp, file, shown)
	look(nothing, shown, 0)
}

// A damaged mark stops a state that a killed process left, and no other.
func TestINV34_ADamagedMark(t *testing.T) {
	f := seeded(t)
	f.tenant(1, "ie1")
	for _, raw := range [][]byte{[]byte("1"), make([]byte, markSize)} {
		path := killed(t, f.Store)
		check(t, os.WriteFile(markPath(path), raw, 0o600))
		if s, err := Open(Options{Path: path}); !errors.Is(err, errCorrupt) {
			t.Errorf("%d bytes: %v", len(raw), errors.Join(err, s.Close()))
		}
		check(t, os.Remove(openMarker(path))) // it was closed, and the power was cut later
		s, err := Open(Options{Path: path})
		check(t, err)
		if s.Shown() != 0 {
			t.Errorf("a torn mark says %d", s.Shown())
		}
		check(t, s.Close())
	}
}
