package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Verified is what Verify found.
type Verified struct {
	Snapshots uint64   `json:"snapshots"`
	Objects   uint64   `json:"objects"`
	Bytes     uint64   `json:"bytes"` // that were read, sealed
	Notes     uint64   `json:"notes"`
	Problems  []string `json:"problems,omitempty"` // at most maxProblems
	Damaged   uint64   `json:"damaged"`            // files that are not what was written, or missing
}

// maxProblems bounds what is told of a repository that is damaged all over.
const maxProblems = 100

// ErrDamaged is why a repository, or a snapshot, is not to be relied on.
var ErrDamaged = errors.New("the backup is damaged")

func (v *Verified) bad(format string, args ...any) {
	if v.Damaged++; len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}

// Verify reads every byte of a snapshot, or of all ("" given), from the disk:
// heads, lists, objects, notes. It goes on past damage and then answers ErrDamaged.
func (r *Repository) Verify(ctx context.Context, id string, tell Progress) (v Verified, err error) {
	if tell == nil {
		tell = func(Step) {}
	}
	objects, total, err := r.listed(ctx, id, &v)
	if err != nil {
		return v, err
	}
	names := slices.Sorted(maps.Keys(objects))
	for _, name := range names {
		f := objects[name]
		err := r.read(ctx, f, io.Discard)
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
		if err != nil {
			v.bad("object %s (%s/%s): %v", name, f.Part, f.Name, err)
		}
		v.Objects, v.Bytes = v.Objects+1, v.Bytes+uint64(f.Stored)
		tell(Step{Name: "verify", Done: v.Bytes, Of: total})
	}
	notes, err := r.listNotes(ctx)
	if err != nil {
		v.bad("%v", err)
	}
	for _, at := range notes {
		if _, err := r.readNote(ctx, at); err != nil {
			v.bad("note %d: %v", at.number, err)
		}
		v.Notes++
	}
	if v.Damaged > 0 {
		return v, fmt.Errorf("%w: %d files are missing or not what was written", ErrDamaged, v.Damaged)
	}
	return v, nil
}

// listed gathers the objects of a snapshot, or of all, each once.
func (r *Repository) listed(ctx context.Context, id string, v *Verified) (objects map[string]File, total uint64, err error) {
	ids := []string{id}
	if id == "" {
		if ids, err = r.snapshotIDs(ctx); err != nil {
			return nil, 0, err
		}
	}
	objects = map[string]File{}
	for _, id := range ids {
		_, files, err := r.files(ctx, id)
		v.Snapshots++
		if err != nil {
			v.bad("%v", err)
			continue
		}
		for _, f := range files {
			if known, ok := objects[f.Object]; ok {
				if known.SHA256 != f.SHA256 || known.Size != f.Size || known.Stored != f.Stored {
					v.bad("snapshot %s: two files say different things of one object", id)
				}
				continue
			}
			objects[f.Object] = f
			total += uint64(f.Stored)
		}
	}
	return objects, total, nil
}
