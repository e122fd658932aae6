package local

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
	"sync/atomic"
	"syscall"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// stagingDir is where blobs are written before they have a name. The dot keeps
// it apart: names have none.
const stagingDir = ".new"

// Blobs keeps blobs as files of a folder: written beside, synced, linked under
// their name (which fails when the name is taken), and the folder synced. After
// the first failed sync it takes nothing more: what the disk then holds is
// unknown.
type Blobs struct {
	dir    string
	failed atomic.Pointer[policy.Error]
}

var _ store.Blobs = (*Blobs)(nil)

// OpenBlobs opens or makes the folder of blobs at dir, and clears what a crash
// left half written. The folder is owned by one process.
func OpenBlobs(dir string) (*Blobs, error) {
	staging := filepath.Join(dir, stagingDir)
	if err := os.MkdirAll(staging, 0o700); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	left, err := os.ReadDir(staging)
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	for _, f := range left {
		if err := os.Remove(filepath.Join(staging, f.Name())); err != nil {
			return nil, fmt.Errorf("clear what a crash left of blobs: %w", err)
		}
	}
	if err := errors.Join(syncDir(staging), syncDir(dir), syncDir(filepath.Dir(dir))); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return &Blobs{dir: dir}, nil
}

// Create implements store.Blobs.
func (b *Blobs) Create(ctx context.Context, name string, r io.Reader) (store.BlobInfo, error) {
	if err := b.check(name); err != nil {
		return store.BlobInfo{}, err
	}
	if _, err := b.Stat(ctx, name); err == nil { // most often known at once, and always when linked
		return store.BlobInfo{}, store.ErrBlobExists()
	}
	staged, size, err := b.stage(ctx, r)
	if err != nil {
		return store.BlobInfo{}, err
	}
	err = b.link(staged, b.path(name))
	if removeErr := os.Remove(staged); removeErr != nil && err == nil {
		err = b.fail(removeErr)
	}
	if err != nil {
		return store.BlobInfo{}, err
	}
	return store.BlobInfo{Name: name, Size: size}, nil
}

// stage writes and syncs a file that has no name yet.
func (b *Blobs) stage(ctx context.Context, r io.Reader) (path string, size int64, err error) {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // crypto/rand does not fail
	path = filepath.Join(b.dir, stagingDir, hex.EncodeToString(raw[:]))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, b.writeError(err)
	}
	source := &tracked{ctx: ctx, r: r}
	size, err = io.Copy(f, source)
	switch {
	case source.err != nil:
		err = source.err // the source's, not the disk's
	case err != nil:
		err = b.writeError(err)
	default:
		failpoint.At("blob/sync")
		if syncErr := f.Sync(); syncErr != nil {
			err = b.fail(syncErr)
		}
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = b.writeError(closeErr)
	}
	if err != nil {
		_ = os.Remove(path) // else the next start does
	}
	return path, size, err
}

// tracked tells the errors of a source from those of the disk.
type tracked struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (t *tracked) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		t.err = err
		return 0, err
	}
	n, err := t.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}

// link gives a staged file its name, durably. A folder that was emptied and
// removed in between is made again.
func (b *Blobs) link(staged, path string) error {
	for range 8 {
		if err := b.makeDirs(filepath.Dir(path)); err != nil {
			return err
		}
		failpoint.At("blob/link")
		err := os.Link(staged, path)
		switch {
		case errors.Is(err, fs.ErrExist):
			return store.ErrBlobExists()
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return b.writeError(err)
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return b.fail(err)
		}
		return nil
	}
	return policy.Errorf(policy.NotReady, "the folder of a blob is removed again and again; try once more")
}

// makeDirs makes the folders of a blob, and syncs the folder above each new one.
func (b *Blobs) makeDirs(dir string) error {
	if dir == b.dir {
		return nil
	}
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := b.makeDirs(filepath.Dir(dir)); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return b.writeError(err)
		}
	case err != nil:
		return b.writeError(err)
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return b.fail(err)
	}
	return nil
}

// Open implements store.Blobs.
func (b *Blobs) Open(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := store.CheckBlobName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(b.path(name))
	if err != nil {
		return nil, readError(err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(readError(err), f.Close())
	}
	if length < 0 {
		return f, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, length), f}, nil
}

// Stat implements store.Blobs.
func (b *Blobs) Stat(_ context.Context, name string) (store.BlobInfo, error) {
	if err := store.CheckBlobName(name); err != nil {
		return store.BlobInfo{}, err
	}
	info, err := os.Stat(b.path(name))
	if err != nil {
		return store.BlobInfo{}, readError(err)
	}
	if !info.Mode().IsRegular() {
		return store.BlobInfo{}, store.ErrNoBlob()
	}
	return store.BlobInfo{Name: name, Size: info.Size()}, nil
}

// Delete implements store.Blobs. Folders that it empties go too.
func (b *Blobs) Delete(_ context.Context, name string) error {
	if err := b.check(name); err != nil {
		return err
	}
	path := b.path(name)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return b.writeError(err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return b.fail(err)
	}
	for dir := filepath.Dir(path); dir != b.dir; dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			break // not empty, or gone already
		}
	}
	return nil
}

// List implements store.Blobs. Names have letters and digits only, which sort
// after the slash, so that the order of folders is that of names.
func (b *Blobs) List(_ context.Context, prefix, after string, limit int) ([]store.BlobInfo, error) {
	if err := store.CheckBlobList(prefix, limit); err != nil {
		return nil, err
	}
	var out []store.BlobInfo
	full := errors.New("enough")
	root := filepath.Join(b.dir, filepath.FromSlash(prefix))
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile, or nothing of this prefix
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(b.dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		switch {
		case d.IsDir() && (d.Name() == stagingDir || name != "." && passed(name+"/", after)):
			return fs.SkipDir
		case d.IsDir() || name <= after:
			return nil
		case len(out) == limit:
			return full
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			out = append(out, store.BlobInfo{Name: name, Size: info.Size()})
		}
		return err
	})
	if err != nil && !errors.Is(err, full) {
		return nil, readError(err)
	}
	return out, nil
}

// passed reports whether everything in a folder comes before a name.
func passed(folder, after string) bool {
	return folder < after && !strings.HasPrefix(after, folder)
}

// Healthy implements store.Blobs.
func (b *Blobs) Healthy() error {
	if err := b.failed.Load(); err != nil {
		return err
	}
	return nil
}

// Close implements store.Blobs.
func (b *Blobs) Close() error { return nil }

func (b *Blobs) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

func (b *Blobs) check(name string) error {
	if err := store.CheckBlobName(name); err != nil {
		return err
	}
	return b.Healthy()
}

// fail remembers the first sync that failed.
func (b *Blobs) fail(cause error) error {
	b.failed.CompareAndSwap(nil, &policy.Error{Reason: policy.OutcomeUnknown, Cause: cause,
		Message: "the disk of recordings could not sync; send the request again after the node has restarted on a sound disk"})
	return b.failed.Load()
}

// writeError tells a full disk from a broken one; neither says that anything
// which was acknowledged is lost.
func (b *Blobs) writeError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &policy.Error{Reason: policy.StorageFull, Cause: err, Message: "the disk of recordings is full; free space or extend it, then send the request again"}
	}
	return &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the disk of recordings cannot be written; check it, then send the request again"}
}

func readError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return store.ErrNoBlob()
	}
	return &policy.Error{Reason: policy.Internal, Cause: err, Message: "the disk of recordings cannot be read; check it"}
}
