package server

import (
	"errors"
	"fmt"
	"os"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// spool is a region's whole bundle as of one revision, cut into encoded parts,
// in a file without a name. It is made once for all nodes that need it; each
// reads it at its own pace, one part in memory at a time. It holds what the
// state file beside it holds, and no personal data.
type spool struct {
	file  *os.File
	parts []span
	rows  int
	base  uint64 // everything that changed after it is sent behind the parts
	users int
}

// span is where a part lies in the file.
type span struct {
	at   int64
	size int
}

// spooling writes a spool.
type spooling struct {
	*spool
	revision uint64
	part     *controlv1.SnapshotPart
	size     int
	end      int64
}

// newSpool makes a file that vanishes with its descriptor, in dir or, when that
// is "", in the system's folder for such files.
func newSpool(dir string, base uint64) (*spooling, error) {
	f, err := os.CreateTemp(dir, "bundle-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("write a region's snapshot: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("write a region's snapshot: %w", errors.Join(err, f.Close()))
	}
	return &spooling{spool: &spool{file: f, base: base}, part: &controlv1.SnapshotPart{}, revision: base}, nil
}

// add puts a row behind the others.
func (w *spooling) add(body []byte) error {
	if w.size+len(body) > bundle.MaxPartBytes && len(w.part.GetRows()) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.part.Rows, w.size, w.rows = append(w.part.Rows, body), w.size+len(body), w.rows+1
	return nil
}

func (w *spooling) flush() error {
	if len(w.part.GetRows()) == 0 {
		return nil
	}
	b, err := encode(&controlv1.Push{Revision: w.revision, Change: &controlv1.Push_Part{Part: w.part}})
	if err != nil {
		return err
	}
	if _, err := w.file.WriteAt(b, w.end); err != nil {
		return fmt.Errorf("write a region's snapshot: %w", err)
	}
	w.parts, w.end = append(w.parts, span{w.end, len(b)}), w.end+int64(len(b))
	w.part, w.size = &controlv1.SnapshotPart{Number: w.part.GetNumber() + 1}, 0
	return nil
}

// read gives one encoded part.
func (s *spool) read(i int) ([]byte, error) {
	b := make([]byte, s.parts[i].size)
	if _, err := s.file.ReadAt(b, s.parts[i].at); err != nil {
		return nil, fmt.Errorf("read a region's snapshot: %w", err)
	}
	return b, nil
}

// changes are the keys that changed while spools are on their way, by the
// revision at which they last did. It has at most one entry for each row.
type changes struct {
	at    map[string]uint64 // nil: nothing is noted
	epoch uint64            // of at: another one has gaps
	base  uint64            // of the latest spool
	since int               // keys that changed after base
}

// begin notes changes for a new spool; keep says that an earlier one is still
// being sent and needs what was noted.
func (c *changes) begin(base uint64, keep bool) {
	if !keep || c.at == nil {
		c.at, c.epoch = map[string]uint64{}, c.epoch+1
	}
	c.base, c.since = base, 0
}

func (c *changes) note(key string, revision uint64) {
	if c.at == nil {
		return
	}
	if c.at[key] <= c.base {
		c.since++
	}
	c.at[key] = revision
}

// forget ends every snapshot that is on its way: what it would lack is not known.
func (c *changes) forget() { c.at, c.since = nil, 0 }

// after lists the keys that changed after a revision, in no order.
func (c *changes) after(revision uint64) (keys []string) {
	for key, at := range c.at {
		if at > revision {
			keys = append(keys, key)
		}
	}
	return keys
}
