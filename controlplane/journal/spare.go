package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/internal/kernel"
)

// spare makes the next file ahead of time, so that no append waits for one to be
// filled with zeros.
type spare struct {
	dir   string
	size  int
	ready chan made // holds the next one; nil: none is being made
}

type made struct {
	file *os.File
	err  error
}

const spareName = "next.tmp"

func newSpare(dir string, size int) *spare {
	s := &spare{dir: dir, size: size}
	s.make()
	return s
}

func (s *spare) make() {
	ready := make(chan made, 1)
	s.ready = ready
	go func() {
		f, err := filled(filepath.Join(s.dir, spareName), s.size)
		ready <- made{f, err}
	}()
}

func filled(path string, size int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the journal's next file: %w", err)
	}
	if err := zero(f, 0, int64(size)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the journal's next file: %w", err), f.Close(), os.Remove(path))
	}
	return f, nil
}

// take makes the spare file the one whose first record is base, and begins the
// next. Its name is durable before anything is written to it.
func (s *spare) take(base uint64) (*segment, error) {
	next := <-s.ready
	s.ready = nil
	if next.err != nil { // the disk may have had no room then
		if next.file, next.err = filled(filepath.Join(s.dir, spareName), s.size); next.err != nil {
			return nil, next.err
		}
	}
	g := &segment{file: next.file, path: segmentPath(s.dir, base), size: s.size, base: base, next: segmentHeader}
	_, err := next.file.WriteAt(headOf(base), 0)
	if err == nil {
		err = kernel.Datasync(next.file)
	}
	if err == nil {
		err = os.Rename(filepath.Join(s.dir, spareName), g.path)
	}
	if err == nil {
		err = syncFolder(s.dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin a file of the journal: %w", err), next.file.Close())
	}
	s.make()
	return g, nil
}

func (s *spare) stop() {
	if s.ready == nil {
		return
	}
	next := <-s.ready
	s.ready = nil
	if next.file != nil {
		_ = next.file.Close() // nothing is in it
		_ = os.Remove(filepath.Join(s.dir, spareName))
	}
}
