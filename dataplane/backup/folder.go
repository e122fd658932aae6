package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/domicile-io/domicile/internal/kernel"
)

// Folder is a place on a disk. What is being written lies in incoming, and gets its
// name by a rename.
type Folder struct {
	dir   string
	dirty map[string]bool // folders whose names are not durable yet
}

var _ Place = (*Folder)(nil)

// noteStaged is how old a staged note must be before it is taken for a crash's.
const noteStaged = time.Hour

// NewFolder is the place of a folder; it looks at nothing yet.
func NewFolder(dir string) *Folder { return &Folder{dir: dir, dirty: map[string]bool{}} }

func (f *Folder) String() string { return "folder " + f.dir }

func (f *Folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// Ready implements Place.
func (f *Folder) Ready(context.Context) error {
	info, err := os.Stat(f.dir)
	if err != nil {
		return fmt.Errorf("%w; make the folder, on a disk of its own", err)
	}
	if !info.IsDir() {
		return errors.New("it is no folder")
	}
	return nil
}

// Lock implements Place: one process at a time, whatever it does.
func (f *Folder) Lock(context.Context, Use) (func() error, error) {
	lock, err := os.OpenFile(f.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := kernel.Lock(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("another process works on it, try again later: %w", err), lock.Close())
	}
	return lock.Close, nil
}

// Tops implements Place.
func (f *Folder) Tops(context.Context) (names []string, err error) {
	entries, err := os.ReadDir(f.dir)
	for _, e := range entries {
		if e.Name() != "lost+found" {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Lay implements Place.
func (f *Folder) Lay(context.Context) error {
	for _, d := range append(folders(), incomingDir) {
		if err := os.MkdirAll(f.path(d), 0o700); err != nil {
			return err
		}
	}
	f.dirty[f.dir] = true
	return nil
}

// stagedFile is one in incoming.
type stagedFile struct {
	*os.File
	folder *Folder
}

// Stage implements Place.
func (f *Folder) Stage(_ context.Context, kind StageKind) (Staged, error) {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	file, err := os.OpenFile(f.path(incomingDir+"/"+string(kind)+hex.EncodeToString(raw[:])), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &stagedFile{file, f}, nil
}

// Settle implements Staged.
func (s *stagedFile) Settle(_ context.Context, name string) error {
	err := s.Sync()
	if err == nil {
		kernel.Uncached(s.File) // so that it is read back from the disk
	}
	to := s.folder.path(name)
	if err = errors.Join(err, s.Close()); err == nil {
		err = s.folder.shelf(filepath.Dir(to))
	}
	if err == nil {
		err = os.Rename(s.Name(), to)
	}
	if err != nil {
		_ = os.Remove(s.Name())
		return err
	}
	s.folder.dirty[filepath.Dir(to)] = true
	return nil
}

// Discard implements Staged.
func (s *stagedFile) Discard() {
	_ = s.Close()
	_ = os.Remove(s.Name()) // else prune does
}

// shelf makes a folder in which objects are.
func (f *Folder) shelf(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	f.dirty[filepath.Dir(dir)] = true
	return err
}

// Replace implements Place.
func (f *Folder) Replace(_ context.Context, name string, data []byte) error {
	to := f.path(name)
	if err := f.shelf(filepath.Dir(to)); err != nil {
		return err
	}
	file, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(to+".new", to)
	}
	return errors.Join(err, syncDir(filepath.Dir(to)), f.Sync())
}

// Open implements Place.
func (f *Folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(f.path(name))
}

// List implements Place.
func (f *Folder) List(_ context.Context, folder string, visit func(Entry) error) error {
	return filepath.WalkDir(f.path(folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(f.dir, path)
		if err != nil {
			return err
		}
		return visit(Entry{Name: filepath.ToSlash(name), Size: info.Size()})
	})
}

// Remove implements Place.
func (f *Folder) Remove(_ context.Context, name string) error {
	err := os.Remove(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f.dirty[filepath.Dir(f.path(name))] = true
	return err
}

// Sync implements Place.
func (f *Folder) Sync() error {
	for dir := range f.dirty {
		if err := syncDir(dir); err != nil {
			return err
		}
		delete(f.dirty, dir)
	}
	return nil
}

// Leftovers implements Place. A note may be on its way in this moment.
func (f *Folder) Leftovers(_ context.Context, now time.Time) (out []Leftover, err error) {
	entries, err := os.ReadDir(f.path(incomingDir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || strings.HasPrefix(e.Name(), string(stageNote)) && now.Sub(info.ModTime()) < noteStaged {
			continue
		}
		name := incomingDir + "/" + e.Name()
		out = append(out, Leftover{Size: info.Size(), Clear: func(ctx context.Context) error { return f.Remove(ctx, name) }})
	}
	return out, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
