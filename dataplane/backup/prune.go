package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Pruned is what Prune removed, or would remove.
type Pruned struct {
	Snapshots []string `json:"snapshots"`
	Objects   uint64   `json:"objects"`
	Notes     uint64   `json:"notes"`
	Bytes     uint64   `json:"bytes"`
}

// Prune keeps the newest snapshots and removes the others, with every object
// that none of those kept needs, notes that all of them have, and what a crash
// left. With dry it only counts. When a snapshot that stays cannot be read, it
// removes nothing: nobody knows what that one needs.
func (r *Repository) Prune(ctx context.Context, keep int, dry bool) (out Pruned, err error) {
	if keep < 1 {
		return out, errors.New("keep at least one snapshot")
	}
	all, err := r.Snapshots()
	if err != nil {
		return out, fmt.Errorf("nothing is removed, because a snapshot cannot be read: %w", err)
	}
	stay := all[max(0, len(all)-keep):]
	needed := map[string]bool{}
	notes := ^uint64(0)
	for _, s := range stay {
		_, files, err := r.files(s.ID)
		if err != nil {
			return out, fmt.Errorf("nothing is removed, because a snapshot that stays cannot be read: %w", err)
		}
		for _, f := range files {
			needed[f.Object] = true
		}
		notes = min(notes, s.Notes)
	}
	if len(stay) == 0 {
		notes = 0
	}
	p := &pruning{r: r, ctx: ctx, dry: dry, out: &out}
	for _, s := range all[:len(all)-len(stay)] {
		out.Snapshots = append(out.Snapshots, s.ID)
		if err := p.remove(r.snapshotPath(s.ID)); err != nil {
			return out, err
		}
	}
	if err := p.sync(snapshotsDir); err != nil { // lists go before what they list
		return out, err
	}
	return out, errors.Join(p.objects(needed), p.notes(notes), p.incoming())
}

// pruning is one run.
type pruning struct {
	r   *Repository
	ctx context.Context
	dry bool
	out *Pruned
}

func (p *pruning) remove(path string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	p.out.Bytes += uint64(info.Size())
	if p.dry {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return p.r.step("removed")
}

func (p *pruning) sync(dir string) error {
	if p.dry {
		return nil
	}
	return syncDir(filepath.Join(p.r.dir, dir))
}

func (p *pruning) objects(needed map[string]bool) error {
	top := filepath.Join(p.r.dir, objectsDir)
	shelves, err := os.ReadDir(top)
	if err != nil {
		return err
	}
	for _, s := range shelves {
		entries, err := os.ReadDir(filepath.Join(top, s.Name()))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if needed[e.Name()] {
				continue
			}
			if err := p.remove(filepath.Join(top, s.Name(), e.Name())); err != nil {
				return err
			}
			p.out.Objects++
		}
		if err := p.sync(filepath.Join(objectsDir, s.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (p *pruning) notes(upTo uint64) error {
	list, err := p.r.listNotes()
	if err != nil {
		return err
	}
	for i, n := range list {
		if n.number > upTo || i == len(list)-1 { // the last one says how far they are
			break
		}
		if err := p.remove(filepath.Join(p.r.dir, notesDir, n.file)); err != nil {
			return err
		}
		p.out.Notes++
	}
	return p.sync(notesDir)
}

// incoming clears what a crash left half written. A note may be on its way in
// this moment.
func (p *pruning) incoming() error {
	dir := filepath.Join(p.r.dir, incomingDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || staging(info, p.r.o.Now()) {
			continue
		}
		if err := p.remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return p.sync(incomingDir)
}
