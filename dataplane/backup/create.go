package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/release"
	"github.com/domicile-io/domicile/policy"
)

// Source is what a snapshot is taken of. Records and Scratch, or Rows, are required.
type Source struct {
	Early []Input // copied before the records: what must not be newer than they are
	Late  []Input // copied after them: what must not be older

	// Records makes a copy of the record store as it is at one moment, in a folder
	// that is not there yet; hard links are best. Scratch is where: on the store's
	// own file system, removed before and after.
	Records func(dir string) error
	Scratch string

	// Rows instead are those of the region's database, Size bytes about.
	Rows EachRow
	Size uint64

	Blobs store.Blobs // recordings; nil: none

	// Erasures makes the copy of the erasure ledger what it is now, and counts its
	// entries. Nil: there is none.
	Erasures func(at *LedgerCopy) (uint64, error)

	KeyGeneration uint64 // the present one
	Schema        int    // of the record store
}

// Input is one file that is copied whole. Copy writes it as it is at one moment;
// an error that is fs.ErrNotExist means that there is none.
type Input struct {
	Part Part
	Name string
	Size int64 // about
	Copy func(w io.Writer) error
}

// FileInput is a file of a folder.
func FileInput(part Part, dir, name string) Input {
	path := filepath.Join(dir, filepath.FromSlash(name))
	in := Input{Part: part, Name: name, Copy: func(w io.Writer) error { return copyFile(w, path) }}
	if info, err := os.Stat(path); err == nil {
		in.Size = info.Size()
	}
	return in
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Progress is told while work goes on. It may be called often.
type Progress func(Step)

// Step is how far the work is.
type Step struct {
	Name string `json:"step"` // "copy", "verify", "prune", "restore"
	Done uint64 `json:"done"` // bytes
	Of   uint64 `json:"of"`   // about
}

// CreateOptions of Create. The zero value makes an incremental snapshot.
type CreateOptions struct {
	Full     bool // read and copy everything, also what is known from the last snapshot
	Progress Progress
}

// Create takes a snapshot: it copies what no snapshot has, reads back what it
// wrote, and then lets the snapshot appear. After an error there is none.
func (r *Repository) Create(ctx context.Context, src Source, o CreateOptions) (Snapshot, error) {
	head, err := r.create(ctx, src, o)
	if err != nil {
		return Snapshot{}, fmt.Errorf("take a snapshot: %w", err)
	}
	return head, nil
}

func (r *Repository) create(ctx context.Context, src Source, o CreateOptions) (head Snapshot, err error) {
	if o.Progress == nil {
		o.Progress = func(Step) {}
	}
	if err := clearScratch(src.Scratch); err != nil {
		return head, err
	}
	if err := r.listObjects(ctx); err != nil {
		return head, err
	}
	head, parent, err := r.begin(ctx, src)
	if err != nil {
		return head, err
	}
	c := &creation{writing: writing{r: r, had: map[string]File{}}, src: src, total: src.Size, full: o.Full, known: map[string]File{}}
	c.tell = func(done uint64) { o.Progress(Step{Name: "copy", Done: done, Of: c.total}) }
	for _, f := range parent {
		c.known[string(f.Part)+"/"+f.Name] = f
		if !o.Full {
			c.had[f.SHA256] = f
		}
	}
	err = c.run(ctx)
	if removeErr := clearScratch(src.Scratch); err == nil {
		err = removeErr
	}
	if err == nil {
		head.Files, head.Bytes, head.Copied, head.Stored = uint64(len(c.files)), c.bytes, c.copied, c.stored
		head.Ended = r.o.Now().UTC().Truncate(time.Millisecond)
		err = r.finish(ctx, c, head, o.Progress)
	}
	if err != nil {
		c.abandon(ctx)
	}
	return head, err
}

// begin numbers the snapshot and notes what came before its records.
func (r *Repository) begin(ctx context.Context, src Source) (head Snapshot, parent []File, err error) {
	before, err := r.Snapshots(ctx)
	if err != nil {
		return head, nil, fmt.Errorf("%w; see `domicile-dataplane backup verify`, and move the damaged file away", err)
	}
	now := r.o.Now().UTC().Truncate(time.Millisecond)
	head = Snapshot{Format: Format, Number: 1, Repository: r.id.ID, Region: r.id.Region, Cluster: r.id.Cluster, Program: release.Of().Version,
		Schema: src.Schema, Began: now, KeyGeneration: src.KeyGeneration}
	if src.Rows != nil {
		head.Format = RowsFormat
	}
	if n := len(before); n > 0 {
		last := before[n-1]
		head.Number, head.Parent = last.Number+1, last.ID
		if _, parent, err = r.files(ctx, last.ID); err != nil {
			r.o.Logger.Error("the last snapshot cannot be read; everything is copied anew", "snapshot", last.ID, "cause", err)
			parent = nil
		}
	}
	head.ID = fmt.Sprintf("%s-%06d", now.Format(idTime), head.Number)
	if head.Notes, err = r.lastNote(ctx); err != nil {
		return head, nil, err
	}
	if src.Erasures != nil {
		head.Erasures, err = src.Erasures(r.Ledger(ctx))
		if err != nil {
			return head, nil, fmt.Errorf("copy the erasure ledger: %w", err)
		}
	}
	return head, parent, nil
}

// creation is a snapshot being made.
type creation struct {
	writing
	src   Source
	full  bool
	known map[string]File // the parent's, by part and name
	files []File

	total, bytes, copied, stored uint64
}

func (c *creation) run(ctx context.Context) error {
	for _, in := range c.src.Early {
		if err := c.input(ctx, in); err != nil {
			return err
		}
	}
	entries, err := c.checkpoint()
	if err != nil {
		return fmt.Errorf("copy the record store: %w", err)
	}
	if c.src.Rows != nil { // before recordings are listed: what records name must be among them
		if err := c.rows(ctx); err != nil {
			return err
		}
	}
	blobs, err := c.blobs(ctx)
	if err != nil {
		return fmt.Errorf("list recordings: %w", err)
	}
	if err := c.sum(entries, blobs); err != nil {
		return err
	}
	for _, e := range entries {
		if err := c.record(ctx, e.Name()); err != nil {
			return fmt.Errorf("copy the record store, %s: %w", e.Name(), err)
		}
	}
	for _, b := range blobs {
		if err := c.blob(ctx, b); err != nil {
			return fmt.Errorf("copy a recording: %w", err)
		}
	}
	for _, in := range c.src.Late {
		if err := c.input(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// clearScratch removes what a snapshot has needed, or a killed one has left.
func clearScratch(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// checkpoint makes the copy of a store that lies in a folder; of a database there is
// none.
func (c *creation) checkpoint() ([]fs.DirEntry, error) {
	if c.src.Rows != nil {
		return nil, c.r.step("records")
	}
	if err := c.src.Records(c.src.Scratch); err != nil {
		return nil, err
	}
	if err := c.r.step("records"); err != nil {
		return nil, err
	}
	return os.ReadDir(c.src.Scratch)
}

// sum adds up what there is to do.
func (c *creation) sum(entries []fs.DirEntry, blobs []store.BlobInfo) error {
	for _, in := range append(c.src.Early, c.src.Late...) {
		c.total += uint64(in.Size)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s in the copy of the record store is no file", e.Name())
		}
		c.total += uint64(info.Size())
	}
	for _, b := range blobs {
		c.total += uint64(b.Size)
	}
	return nil
}

// record adds a file of the record store. Tables are never changed once written:
// one that is the same file still is not read again.
func (c *creation) record(ctx context.Context, name string) error {
	path := filepath.Join(c.src.Scratch, name)
	f := File{Part: Records, Name: name}
	if info, err := os.Stat(path); err == nil && strings.HasSuffix(name, ".sst") {
		if at, ok := info.Sys().(*syscall.Stat_t); ok {
			f.Inode, f.Modified, f.Size = at.Ino, info.ModTime().UnixNano(), info.Size()
		}
	}
	if was, ok := c.known["records/"+name]; ok && !c.full && f.Inode != 0 && was.Inode == f.Inode && was.Modified == f.Modified && was.Size == f.Size && c.r.has(was) {
		return c.keep(was)
	}
	saved, err := c.save(ctx, func(w io.Writer) error { return copyFile(w, path) })
	if err != nil {
		return err
	}
	saved.Part, saved.Name, saved.Inode, saved.Modified = f.Part, f.Name, f.Inode, f.Modified
	return c.add(saved)
}

// blob adds a recording; a name never stands for other bytes. One that is gone
// meanwhile was erased, with its key.
func (c *creation) blob(ctx context.Context, b store.BlobInfo) error {
	if was, ok := c.known["media/"+b.Name]; ok && !c.full && was.Size == b.Size && was.Tag == b.Tag && c.r.has(was) {
		return c.keep(was)
	}
	saved, err := c.save(ctx, func(w io.Writer) error {
		in, err := c.src.Blobs.Open(ctx, b.Name, 0, -1)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, in)
		return errors.Join(err, in.Close())
	})
	if errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return nil
	}
	if err != nil {
		return err
	}
	saved.Part, saved.Name, saved.Tag = Media, b.Name, b.Tag
	return c.add(saved)
}

func (c *creation) blobs(ctx context.Context) (out []store.BlobInfo, err error) {
	for after := ""; c.src.Blobs != nil; after = out[len(out)-1].Name {
		page, err := c.src.Blobs.List(ctx, "", after, store.MaxPageSize)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		out = append(out, page...)
	}
	return out, nil
}

func (c *creation) input(ctx context.Context, in Input) error {
	saved, err := c.save(ctx, in.Copy)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy %s/%s: %w", in.Part, in.Name, err)
	}
	saved.Part, saved.Name = in.Part, in.Name
	return c.add(saved)
}

// keep adds a file that needs no copying.
func (c *creation) keep(f File) error {
	c.done += uint64(f.Size)
	c.tell(c.done)
	return c.list(f)
}

// add adds a file that was saved.
func (c *creation) add(f File) error {
	for _, name := range c.new[max(0, len(c.new)-1):] {
		if name == f.Object {
			c.copied, c.stored = c.copied+uint64(f.Size), c.stored+uint64(f.Stored)
		}
	}
	return c.list(f)
}

func (c *creation) list(f File) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("%s/%s: %w", f.Part, f.Name, err)
	}
	c.bytes += uint64(f.Size)
	c.files = append(c.files, f)
	return nil
}

// finish reads back what is new and lets the snapshot appear.
func (r *Repository) finish(ctx context.Context, c *creation, head Snapshot, tell Progress) error {
	if err := r.place.Sync(); err != nil {
		return err
	}
	fresh := map[string]bool{}
	for _, name := range c.new {
		fresh[name] = true
	}
	done := uint64(0)
	for _, f := range c.files {
		if !fresh[f.Object] {
			continue
		}
		delete(fresh, f.Object)
		if err := r.read(ctx, f, io.Discard); err != nil {
			return fmt.Errorf("read back %s/%s: %w", f.Part, f.Name, err)
		}
		done += uint64(f.Size)
		tell(Step{Name: "verify", Done: done, Of: c.copied})
	}
	if err := r.step("verified"); err != nil {
		return err
	}
	err := write(ctx, r.place, stageFile, snapshotName(head.ID), func(w io.Writer) error { return r.writeSnapshot(w, head, c.files) })
	if err == nil {
		var files []File
		if _, files, err = r.files(ctx, head.ID); err == nil && len(files) != len(c.files) {
			err = errors.New("it lists other files")
		}
	}
	if err != nil {
		return r.withdraw(ctx, c, head.ID, err)
	}
	c.new = nil // they are listed
	return r.step("snapshot")
}

// withdraw takes a snapshot back that may have appeared. While nobody knows that it
// has not, what it needs stays.
func (r *Repository) withdraw(ctx context.Context, c *creation, id string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	err := r.place.Remove(ctx, snapshotName(id))
	if err == nil {
		err = r.place.Sync()
	}
	if err != nil {
		c.new = nil
	}
	return errors.Join(fmt.Errorf("write the list: %w", cause), err)
}
