package store

import (
	"errors"
	"os"
	"testing"
)

// How a state was left decides what of it is believed.
func TestINV34_HowAStateWasLeft(t *testing.T) {
	for _, x := range []struct {
		name   string
		leave  func(t *testing.T, s *Store)
		kept   bool
		marker string // as the next start finds it; "" none
	}{
		{"closed", func(t *testing.T, s *Store) { check(t, s.Close()) }, true, ""},
		{"the program was killed", func(t *testing.T, s *Store) { check(t, errors.Join(s.settle(), s.db.Close())) }, true, bootID()},
		{"the power was cut", func(t *testing.T, s *Store) {
			check(t, errors.Join(s.settle(), s.db.Close()))
			check(t, os.WriteFile(openMarker(s.path), []byte("another boot"), 0o600))
		}, false, "another boot"},
		{"its disk failed", func(t *testing.T, s *Store) {
			check(t, s.poison())
			check(t, errors.Join(s.settle(), s.db.Close()))
		}, false, failedBoot},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := seeded(t)
			path := f.path
			x.leave(t, f.Store)
			raw, _ := os.ReadFile(openMarker(path))
			if string(raw) != x.marker {
				t.Errorf("the marker says %q, want %q", raw, x.marker)
			}
			again, err := Open(Options{Path: path})
			check(t, err)
			if index, _ := again.Applied(); (index != 0) != x.kept {
				t.Errorf("the next start found index %d", index)
			}
			check(t, again.Close())
		})
	}
}
