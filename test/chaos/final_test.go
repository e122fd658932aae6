package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// held is what a voter's state comes to.
type held struct {
	hash  string
	index uint64
}

// hashOf reads the state of a voter that does not run.
func hashOf(dir string) (h held, err error) {
	s, err := store.Open(store.Options{Path: filepath.Join(dir, "state.db")})
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	hash, index, err := s.StateHash()
	return held{hash, index}, err
}

// quiesce waits until all voters stand at one revision and index.
func (w *world) quiesce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		at := map[string]bool{}
		for _, v := range w.voters {
			if st := w.status(ctx, v); st != nil {
				at[fmt.Sprint(st.GetRevision())] = true
			} else {
				at[v] = true
			}
		}
		if len(at) == 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("INV42: voters do not come together: %v", at)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// equal stops every voter and compares their states, and what watchers hold with them.
func (w *world) equal(t *testing.T, watchers []*watcher) {
	t.Helper()
	for _, v := range w.voters {
		check(t, w.Process(v).Stop())
	}
	states := map[string]held{}
	for _, v := range w.voters {
		h, err := hashOf(w.data[v])
		if err != nil {
			t.Errorf("INV34: the state of %s: %v", v, err)
			continue
		}
		states[v] = h
	}
	for v, h := range states {
		if h != states["cp1"] {
			t.Errorf("INV32: %s holds %+v and cp1 %+v", v, h, states["cp1"])
		}
	}
	t.Logf("state hash of all voters at entry %d: %.16s…", states["cp1"].index, states["cp1"].hash)
	for _, x := range watchers {
		revision, hash := x.at()
		want, err := bundleOf(w.data["cp1"], x.region)
		check(t, err)
		if hash != want {
			t.Errorf("INV30: a watcher of %s ended at revision %d with rows that are not the region's", x.region, revision)
		}
		t.Logf("watcher of %s: %d streams, %d snapshots, %d pushes, revision %d", x.region, x.streams, x.snaps, x.pushes, revision)
	}
}

// bundleOf is the state hash of a region's bundle in a stopped voter's state.
func bundleOf(dir string, region policy.RegionID) (h bundle.Hash, err error) {
	s, err := store.Open(store.Options{Path: filepath.Join(dir, "state.db")})
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var rows bundle.State
	_, err = s.Rows(region, func(r policy.Row) error {
		key, body, err := bundle.Encode(r)
		if err == nil {
			rows.Put(key, body)
		}
		return err
	})
	return rows.Hash(), err
}
