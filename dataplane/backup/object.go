package backup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/internal/kernel"
)

// objectPurpose is what objects are sealed for. Their names are not in it: two
// snapshots share one object under different names, and each list says which.
const objectPurpose = "object"

func (r *Repository) objectPath(name string) string {
	return filepath.Join(r.dir, objectsDir, name[:2], name)
}

// writing is what one snapshot has written, and what it can do without writing.
type writing struct {
	r    *Repository
	had  map[string]File // by hash of the plain bytes
	new  []string        // names of objects that were not there
	dirs map[string]bool // to be synced
	done uint64          // plain bytes that passed
	tell func(done uint64)
}

// save seals what copy yields and puts it among the objects, unless the same
// bytes are there already. It is durable once the folders are synced.
func (w *writing) save(ctx context.Context, copy func(io.Writer) error) (File, error) {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	staged := filepath.Join(w.r.dir, incomingDir, hex.EncodeToString(raw[:]))
	f, err := os.OpenFile(staged, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return File{}, err
	}
	out, err := w.sealInto(ctx, f, copy)
	if err == nil {
		if known, ok := w.had[out.SHA256]; ok && known.Size == out.Size && w.r.has(known) {
			out.Object, out.Stored = known.Object, known.Stored
			return out, errors.Join(f.Close(), os.Remove(staged))
		}
		if err = f.Sync(); err == nil {
			kernel.Uncached(f) // so that it is read back from the disk
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = w.settle(staged, out.Object)
	}
	if err != nil {
		_ = os.Remove(staged)
		return File{}, err
	}
	w.had[out.SHA256] = out
	return out, w.r.step("object")
}

// settle gives a staged object its name.
func (w *writing) settle(staged, name string) error {
	dir := filepath.Join(w.r.dir, objectsDir, name[:2])
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Rename(staged, w.r.objectPath(name)); err != nil {
		return err
	}
	w.dirs[dir] = true
	w.new = append(w.new, name)
	return nil
}

func (w *writing) sealInto(ctx context.Context, f io.Writer, copy func(io.Writer) error) (File, error) {
	sealed := &counter{w: f, hash: sha256.New()}
	s, err := w.r.sealer.seal(sealed, objectPurpose)
	if err != nil {
		return File{}, err
	}
	plain := &counter{w: s, hash: sha256.New(), before: ctx.Err, after: func(n int) {
		w.done += uint64(n)
		w.tell(w.done)
	}}
	if err := copy(plain); err != nil {
		return File{}, err
	}
	if err := s.Close(); err != nil {
		return File{}, err
	}
	return File{Size: plain.n, SHA256: plain.sum(), Object: sealed.sum(), Stored: sealed.n}, nil
}

// sync makes the objects' names durable.
func (w *writing) sync() error {
	for dir := range w.dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return syncDir(filepath.Join(w.r.dir, objectsDir))
}

// abandon removes what was written for nothing.
func (w *writing) abandon() {
	for _, name := range w.new {
		_ = os.Remove(w.r.objectPath(name)) // else prune does
	}
}

// has reports whether the object of a file is there, by its size.
func (r *Repository) has(f File) bool {
	info, err := os.Stat(r.objectPath(f.Object))
	return err == nil && info.Size() == f.Stored
}

// read opens an object and hands its plain bytes to w, and an error unless both
// hashes and sizes are those of the list. What w got before an error is void.
func (r *Repository) read(ctx context.Context, f File, w io.Writer) error {
	in, err := os.Open(r.objectPath(f.Object))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is missing")
	}
	if err != nil {
		return err
	}
	defer in.Close()
	sealed := &counter{hash: sha256.New(), before: ctx.Err}
	plain := &counter{w: w, hash: sha256.New()}
	s, err := r.sealer.open(io.TeeReader(in, sealed), objectPurpose)
	if err == nil {
		_, err = io.Copy(plain, s)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(sealed, in); err != nil { // nothing is left, unless it was appended to
		return err
	}
	if sealed.n != f.Stored || sealed.sum() != f.Object || plain.n != f.Size || plain.sum() != f.SHA256 {
		return errors.New("its bytes are not what was written")
	}
	return nil
}

// counter counts and hashes what passes. w may be nil.
type counter struct {
	w      io.Writer
	hash   hash.Hash
	n      int64
	before func() error
	after  func(n int)
}

func (c *counter) Write(p []byte) (n int, err error) {
	if c.before != nil {
		if err := c.before(); err != nil {
			return 0, err
		}
	}
	if n = len(p); c.w != nil {
		n, err = c.w.Write(p)
	}
	c.hash.Write(p[:n])
	if c.n += int64(n); c.after != nil {
		c.after(n)
	}
	return n, err
}

func (c *counter) sum() string { return hex.EncodeToString(c.hash.Sum(nil)) }

// put makes a small file appear whole, durably.
func (r *Repository) put(path string, data []byte) error {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	staged := filepath.Join(r.dir, incomingDir, hex.EncodeToString(raw[:]))
	err := writeSynced(staged, data)
	if err == nil {
		err = os.Rename(staged, path)
	}
	if err != nil {
		_ = os.Remove(staged)
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
