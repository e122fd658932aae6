package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/domicile-io/domicile/dataplane/store"
)

// Target is where the files of a snapshot are put.
type Target struct {
	Folder string      // with a folder for each part
	Blobs  store.Blobs // recordings, in a bucket; nil: they lie in the folder too
	Rows   RowTarget   // where rows of a database go; nil: the records lie in the folder

	// Accept, when given, is asked before anything is written.
	Accept func(Snapshot) error
}

// RowTarget takes rows of a table, in the order of their keys. It may be given some
// of a table, and the others later.
type RowTarget func(ctx context.Context, table string, rows []Row) error

// Extract writes the files of a snapshot ("" the newest that is not given up) and
// reads every byte on its way: sizes and hashes are those of the list. Everything is
// durable when it answers. After an error the folder is no good; a bucket may have
// got recordings that nothing names. Receipts of tenants' ends are those of
// the newest snapshot, whichever is extracted.
func (r *Repository) Extract(ctx context.Context, id string, to Target, tell Progress) (head Snapshot, err error) {
	if tell == nil {
		tell = func(Step) {}
	}
	id, newest, err := r.choose(ctx, id)
	if err != nil {
		return head, err
	}
	head, files, err := r.files(ctx, id)
	if err != nil {
		return head, err
	}
	if newest != id {
		if files, err = r.withReceiptsOf(ctx, newest, files); err != nil {
			return head, err
		}
	}
	if err := r.listObjects(ctx); err != nil {
		return head, err
	}
	if missing := r.missing(files); missing > 0 {
		return head, fmt.Errorf("%w: %d of its %d files are missing or cut short: nothing is restored; `domicile-dataplane backup verify` names them, an older snapshot may be whole", ErrDamaged, missing, len(files))
	}
	if to.Accept != nil {
		if err := to.Accept(head); err != nil {
			return head, err
		}
	}
	done := uint64(0)
	dirs := map[string]bool{}
	for _, f := range files {
		err := r.extractOne(ctx, f, to, dirs)
		if ctx.Err() != nil {
			return head, ctx.Err()
		}
		if err != nil {
			return head, fmt.Errorf("%s/%s, object %s: %w", f.Part, f.Name, f.Object, err)
		}
		done += uint64(f.Size)
		tell(Step{Name: "restore", Done: done, Of: head.Bytes})
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return head, err
		}
	}
	return head, r.step("extracted")
}

// extractOne puts one file where it belongs.
func (r *Repository) extractOne(ctx context.Context, f File, to Target, dirs map[string]bool) error {
	switch {
	case f.Part == Media && to.Blobs != nil:
		return r.extractBlob(ctx, f, to.Blobs)
	case f.Part == Rows:
		return r.extractRows(ctx, f, to.Rows)
	case f.Part == Records && to.Rows != nil:
		return errors.New("the snapshot is of a region of one node: restore it with the embedded store, and move that to the database (docs/operations/migrate-store.md)")
	}
	return r.extract(ctx, f, filepath.Join(to.Folder, string(f.Part), filepath.FromSlash(f.Name)), to.Folder, dirs)
}

// choose gives the snapshot to extract, and the newest of all.
func (r *Repository) choose(ctx context.Context, id string) (chosen, newest string, err error) {
	all, err := r.sortedIDs(ctx)
	if err != nil {
		return "", "", err
	}
	fit, givenUp, err := r.standing(ctx)
	switch {
	case err != nil:
		return "", "", err
	case len(all) == 0:
		return "", "", errors.New("there is no snapshot")
	case slices.Contains(givenUp, id):
		return "", "", fmt.Errorf("snapshot %s: %w; `domicile-dataplane backup list` shows which can be restored", id, ErrGivenUp)
	case id == "" && len(fit) == 0:
		return "", "", fmt.Errorf("no snapshot can be restored: %w", ErrGivenUp)
	case id == "":
		id = fit[len(fit)-1]
	case !slices.Contains(fit, id):
		return "", "", fmt.Errorf("there is no snapshot %s; see `domicile-dataplane backup list`", id)
	}
	return id, all[len(all)-1], nil
}

// sortedIDs are the ids of all snapshots, oldest first.
func (r *Repository) sortedIDs(ctx context.Context) ([]string, error) {
	all, err := r.snapshotIDs(ctx)
	slices.SortFunc(all, byNumber)
	return all, err
}

// byNumber orders ids by the number at their end; a clock may have gone back.
func byNumber(a, b string) int {
	na, nb := a[min(len(a), 17):], b[min(len(b), 17):]
	if len(na) != len(nb) {
		return len(na) - len(nb)
	}
	return slices.Compare([]byte(na), []byte(nb))
}

func (r *Repository) withReceiptsOf(ctx context.Context, newest string, files []File) ([]File, error) {
	_, last, err := r.files(ctx, newest)
	if err != nil {
		return nil, fmt.Errorf("the newest snapshot says which tenants have ended, and cannot be read: %w", err)
	}
	of := func(p Part) func(File) bool { return func(f File) bool { return f.Part == p } }
	files = slices.DeleteFunc(files, of(Purges))
	for _, f := range last {
		if f.Part == Purges {
			files = append(files, f)
		}
	}
	return files, nil
}

func (r *Repository) missing(files []File) (n int) {
	for _, f := range files {
		if !r.has(f) {
			n++
		}
	}
	return n
}

func (r *Repository) extract(ctx context.Context, f File, path, into string, dirs map[string]bool) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		dirs[dir] = true
		if dir == into {
			break
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: the list names it twice", ErrDamaged)
	}
	if err != nil {
		return err
	}
	if err = r.read(ctx, f, out); err != nil {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	} else {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return r.step("file")
}
