package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

// extract tries to put a snapshot back, and gives which it was.
func (w *world) extract(id string) (uint64, error) {
	w.t.Helper()
	var head Snapshot
	err := w.with(func(r *Repository) (err error) {
		head, err = r.Extract(context.Background(), id, Target{Folder: w.t.TempDir()}, nil)
		return err
	})
	return head.Number, err
}

func (w *world) givenUp() (ids []string) {
	w.t.Helper()
	must(w.t, w.with(func(r *Repository) (err error) { ids, err = r.GivenUp(context.Background()); return err }))
	return ids
}

// Of three snapshots the first is restored. What was taken after it, until then, is
// refused from the moment at which something is noted; before that, whoever took the
// wrong one, or only looked, has lost nothing.
func TestINV21_WhatARestoreLeftBehindIsRefused(t *testing.T) {
	w := newWorld(t)
	var taken []Snapshot
	for n := range 3 {
		w.load(3*n, 3*n+3)
		taken = append(taken, w.create())
	}
	w.restore(taken[0].ID, nil)
	w.load(20, 23)
	taken = append(taken, w.create())
	for _, s := range taken {
		if n, err := w.extract(s.ID); err != nil || n != s.Number {
			t.Errorf("before anything is noted: %d, %v", n, err)
		}
	}
	must(t, w.book.Write(context.Background(), w.known, Note{Tenant: storetest.TenantA, Kind: StoreRows}))
	want := []string{taken[1].ID, taken[2].ID}
	if got := w.givenUp(); !slices.Equal(got, want) {
		t.Errorf("given up are %v, want %v", got, want)
	}
	for _, id := range want {
		if _, err := w.extract(id); !errors.Is(err, ErrGivenUp) {
			t.Errorf("snapshot %s: %v", id, err)
		}
	}
	for id, number := range map[string]uint64{taken[0].ID: 1, taken[3].ID: 4, "": 4} {
		if n, err := w.extract(id); err != nil || n != number {
			t.Errorf("%q: snapshot %d, %v", id, n, err)
		}
	}
	if v, err := w.verify(); err != nil || v.Damaged != 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// A mark whose name somebody changed is no absent mark.
func TestAMarkOfWhatIsGivenUpIsNotOverlooked(t *testing.T) {
	w := newWorld(t)
	w.load(0, 1)
	first := w.create()
	w.create()
	w.restore(first.ID, nil)
	must(t, w.book.Write(context.Background(), w.known, Note{Tenant: storetest.TenantA, Kind: StoreRows}))
	dir := filepath.Join(w.folder, givenUpDir)
	must(t, os.Rename(filepath.Join(dir, "0000000001-0000000002"), filepath.Join(dir, "1-2.bak")))
	if n, err := w.extract(""); err == nil {
		t.Errorf("snapshot %d was restored", n)
	}
}

// Right after an old snapshot was restored, the newest are of the line that was
// left: they cannot be put back, and take the place of none that can.
func TestINV22_PruneKeepsWhatMayBePutBack(t *testing.T) {
	w := newWorld(t)
	for n := range 4 {
		w.load(10*n, 10*n+10)
		w.create()
	}
	var out Pruned
	var fit, givenUp []string
	must(t, w.with(func(r *Repository) (err error) {
		ctx := context.Background()
		if err := r.giveUp(ctx, &GivenUp{Repository: r.id.ID, After: 2, Until: 4}); err != nil {
			return err
		}
		if out, err = r.Prune(ctx, 1, false); err != nil {
			return err
		}
		fit, givenUp, err = r.standing(ctx)
		return err
	}))
	if len(fit) != 1 || numberOf(fit[0]) != 2 || len(givenUp) != 1 || numberOf(givenUp[0]) != 4 || len(out.Snapshots) != 2 {
		t.Errorf("kept %v that may be put back and %v that may not; removed %v", fit, givenUp, out.Snapshots)
	}
	if _, err := w.verify(); err != nil {
		t.Error(err)
	}
}
