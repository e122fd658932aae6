package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"time"
)

// objectPurpose is what objects are sealed for. Their names are not in it: two
// snapshots share one object under different names, and each list says which.
const objectPurpose = "object"

func objectName(hash string) string { return objectsDir + "/" + hash[:2] + "/" + hash }

// listObjects learns which objects there are: asking for each would be a question
// to a bucket for each.
func (r *Repository) listObjects(ctx context.Context) error {
	have := map[string]int64{}
	err := r.place.List(ctx, objectsDir, func(e Entry) error { have[path.Base(e.Name)] = e.Size; return nil })
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	r.have = have
	return nil
}

// writing is what one snapshot has written, and what it can do without writing.
type writing struct {
	r    *Repository
	had  map[string]File // by hash of the plain bytes
	new  []string        // names of objects that were not there
	done uint64          // plain bytes that passed
	tell func(done uint64)
}

// save seals what copy yields and puts it among the objects, unless the same
// bytes are there already. It is durable once the folders are synced.
func (w *writing) save(ctx context.Context, copy func(io.Writer) error) (File, error) {
	staged, err := w.r.place.Stage(ctx, stageFile)
	if err != nil {
		return File{}, err
	}
	out, err := w.sealInto(ctx, staged, copy)
	if err != nil {
		staged.Discard()
		return File{}, err
	}
	if known, ok := w.had[out.SHA256]; ok && known.Size == out.Size && w.r.has(known) {
		staged.Discard()
		out.Object, out.Stored = known.Object, known.Stored
		return out, nil
	}
	w.new = append(w.new, out.Object) // before, because an answer may be lost
	if err := staged.Settle(ctx, objectName(out.Object)); err != nil {
		return File{}, err
	}
	w.r.have[out.Object] = out.Stored
	w.had[out.SHA256] = out
	return out, w.r.step("object")
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

// abandon removes what was written for nothing, also when the work was ended.
func (w *writing) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	for _, name := range w.new {
		_ = w.r.place.Remove(ctx, objectName(name)) // else prune does
		delete(w.r.have, name)
	}
}

// abandonTimeout bounds the tidying up after a snapshot that was not taken.
const abandonTimeout = 10 * time.Second

// has reports whether the object of a file is there, by its size.
func (r *Repository) has(f File) bool {
	size, ok := r.have[f.Object]
	return ok && size == f.Stored
}

// read opens an object and hands its plain bytes to w, and an error unless both
// hashes and sizes are those of the list. What w got before an error is void.
func (r *Repository) read(ctx context.Context, f File, w io.Writer) error {
	in, err := r.place.Open(ctx, objectName(f.Object))
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
