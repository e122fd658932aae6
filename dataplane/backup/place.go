package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Place is where a repository lies: a Folder, or a bucket of dataplane/aws. Names
// are those of the package's comment, with slashes. A file of it never appears
// under its name before it is whole. One user at a time; a place that is made twice
// may be used twice.
type Place interface {
	// String is what an administrator calls it.
	String() string
	// Ready is nil when the place is there and is what it must be.
	Ready(ctx context.Context) error
	// Lock keeps out who would disturb the use, and is let go by unlock.
	Lock(ctx context.Context, use Use) (unlock func() error, err error)
	// Tops lists what lies at the top, files and folders.
	Tops(ctx context.Context) ([]string, error)
	// Lay makes what an empty place needs to be a repository.
	Lay(ctx context.Context) error

	// Stage begins a file that has no name yet.
	Stage(ctx context.Context, kind StageKind) (Staged, error)
	// Replace makes a file have new bytes, durably, and never some of both.
	Replace(ctx context.Context, name string, data []byte) error
	// Open reads a file; fs.ErrNotExist when there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// List visits every file below a folder, in order of bytes; fs.ErrNotExist when the
	// place knows that there is no such folder.
	List(ctx context.Context, folder string, visit func(Entry) error) error
	// Remove removes a file; one that is not there is no error.
	Remove(ctx context.Context, name string) error
	// Sync makes durable what was named and removed since the last.
	Sync() error

	// Leftovers are what a crash left of files that never had a name.
	Leftovers(ctx context.Context, now time.Time) ([]Leftover, error)
}

// Staged is a file that has no name yet. Settle or Discard ends it.
type Staged interface {
	io.Writer
	// Settle gives the file its name; it is durable after Sync. An error that is
	// ErrUnknown says that it may have it all the same.
	Settle(ctx context.Context, name string) error
	Discard()
}

// Entry is a file as List shows it.
type Entry struct {
	Name string
	Size int64
}

// Leftover is something that can be cleared away.
type Leftover struct {
	Size  int64
	Clear func(ctx context.Context) error
}

// Use is what a repository is opened for.
type Use int

// The uses.
const (
	Read  Use = iota // look at it, and take from it
	Write            // also add and remove
	Make             // also make a repository of a place that is empty
)

// StageKind is what is staged.
type StageKind string

// The kinds. A note may be on its way while others work on the repository.
const (
	stageFile StageKind = ""
	stageNote StageKind = "note-"
)

// ErrUnknown: nobody knows whether a file has got its name.
var ErrUnknown = errors.New("it is not known whether it was written")

// write makes a file appear whole, durably.
func write(ctx context.Context, p Place, kind StageKind, name string, fill func(io.Writer) error) error {
	s, err := p.Stage(ctx, kind)
	if err != nil {
		return err
	}
	if err := fill(s); err != nil {
		s.Discard()
		return err
	}
	if err := s.Settle(ctx, name); err != nil {
		return err
	}
	return p.Sync()
}

// put is write for bytes.
func (r *Repository) put(ctx context.Context, name string, data []byte) error {
	err := write(ctx, r.place, stageFile, name, func(w io.Writer) error { _, err := w.Write(data); return err })
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// readAll reads a small file, and no more of it than limit.
func readAll(ctx context.Context, p Place, name string, limit int64) ([]byte, error) {
	in, err := p.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is longer than any can be: it is damaged", name)
	}
	return raw, err
}
