package backup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
)

// Pruned is what Prune removed, or would remove.
type Pruned struct {
	Snapshots []string `json:"snapshots"`
	Objects   uint64   `json:"objects"`
	Notes     uint64   `json:"notes"`
	Bytes     uint64   `json:"bytes"`
}

// Prune keeps the newest snapshots, and as many of the newest that may be put back,
// and removes the others, with every object that none of those kept needs, notes
// that all of them have, and what a crash left. With dry it only counts. When a snapshot that stays cannot be read, it
// removes nothing: nobody knows what that one needs.
func (r *Repository) Prune(ctx context.Context, keep int, dry bool) (out Pruned, err error) {
	if keep < 1 {
		return out, errors.New("keep at least one snapshot")
	}
	all, err := r.Snapshots(ctx)
	if err != nil {
		return out, fmt.Errorf("nothing is removed, because a snapshot cannot be read: %w", err)
	}
	lines, err := r.lines(ctx)
	if err != nil {
		return out, fmt.Errorf("nothing is removed: %w", err)
	}
	stay, goes := split(all, lines, keep)
	needed := map[string]bool{}
	notes := ^uint64(0)
	for _, s := range stay {
		_, files, err := r.files(ctx, s.ID)
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
	sizes, err := r.sizes(ctx, snapshotsDir)
	if err != nil {
		return out, err
	}
	for _, s := range goes {
		out.Snapshots = append(out.Snapshots, s.ID)
		if err := p.remove(Entry{snapshotName(s.ID), sizes[snapshotName(s.ID)]}); err != nil {
			return out, err
		}
	}
	if err := r.place.Sync(); err != nil { // lists go before what they list
		return out, err
	}
	return out, errors.Join(p.objects(needed), p.notes(notes), p.leftovers(), r.place.Sync())
}

// split parts all snapshots, oldest first. One that a restore has left behind takes
// the place of none that may be put back: right after the restore of an old one,
// the newest are all of the line that was left.
func split(all []Snapshot, lines []GivenUp, keep int) (stay, goes []Snapshot) {
	newest, fit := 0, 0
	for _, s := range slices.Backward(all) {
		newest++
		fits := !left(lines, s.ID)
		if fits {
			fit++
		}
		if newest <= keep || fits && fit <= keep {
			stay = append(stay, s)
		} else {
			goes = append(goes, s)
		}
	}
	slices.Reverse(stay)
	slices.Reverse(goes)
	return stay, goes
}

// sizes are those of the files of a folder, by name.
func (r *Repository) sizes(ctx context.Context, folder string) (map[string]int64, error) {
	out := map[string]int64{}
	err := r.place.List(ctx, folder, func(e Entry) error { out[e.Name] = e.Size; return nil })
	return out, err
}

// pruning is one run.
type pruning struct {
	r   *Repository
	ctx context.Context
	dry bool
	out *Pruned
}

func (p *pruning) remove(e Entry) error {
	return p.clear(e.Size, func(ctx context.Context) error { return p.r.place.Remove(ctx, e.Name) })
}

func (p *pruning) clear(size int64, clear func(context.Context) error) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	p.out.Bytes += uint64(size)
	if p.dry {
		return nil
	}
	if err := clear(p.ctx); err != nil {
		return err
	}
	return p.r.step("removed")
}

func (p *pruning) objects(needed map[string]bool) error {
	var idle []Entry
	err := p.r.place.List(p.ctx, objectsDir, func(e Entry) error {
		if !needed[path.Base(e.Name)] {
			idle = append(idle, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range idle {
		if err := p.remove(e); err != nil {
			return err
		}
		p.out.Objects++
	}
	return nil
}

func (p *pruning) notes(upTo uint64) error {
	list, err := p.r.listNotes(p.ctx)
	if err != nil {
		return err
	}
	for i, n := range list {
		if n.number > upTo || i == len(list)-1 { // the last one says how far they are
			break
		}
		if err := p.remove(Entry{n.name(), n.size}); err != nil {
			return err
		}
		p.out.Notes++
	}
	return nil
}

// leftovers clears what a crash left half written.
func (p *pruning) leftovers() error {
	list, err := p.r.place.Leftovers(p.ctx, p.r.o.Now())
	if err != nil {
		return err
	}
	for _, l := range list {
		if err := p.clear(l.Size, l.Clear); err != nil {
			return err
		}
	}
	return nil
}
