package local

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// Schema is the schema that this build reads and writes; a backup says which it has.
const Schema = sealed.Schema

// What backups and restores need: see package sealed.
type (
	Row           = sealed.Row
	PutBack       = sealed.PutBack
	PutBackReport = sealed.PutBackReport
)

// Checkpoint makes a copy of the store as it is at one moment, in a folder that
// is not there yet and on the same file system: tables are hard links. Everything
// that was acknowledged before it is in it. It holds no keys.
func (s *Store) Checkpoint(dir string) error {
	if err := s.Healthy(); err != nil {
		return err
	}
	if err := s.engine.db.Flush(); err != nil { // so that little is left in logs, which are copied
		s.Fail(err)
		return s.Failed()
	}
	s.engine.rest.mu.Lock()
	defer s.engine.rest.mu.Unlock()
	if err := s.engine.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copy the record store: %w", err)
	}
	return nil
}
