package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"time"
)

// GivenUp are the snapshots that a restore has left behind: the node went back to
// the one of number After, and those after it, until Until, are of a line of records
// that no longer goes on. What is sealed anew afterwards is noted for the new line:
// its rows stand in places that the former line used for other calls. So one of them
// cannot be put back any more.
//
// The node keeps it with its data, and the repository learns of it with the first
// note of the new line. Until then all fit, so that whoever took the wrong one, or
// restores elsewhere to look at something, has lost nothing.
type GivenUp struct {
	Repository string `json:"repository"`
	After      uint64 `json:"after"`
	Until      uint64 `json:"until"`
}

// ErrGivenUp is the refusal of a snapshot of a line that a restore has left.
var ErrGivenUp = errors.New("an older snapshot was restored after it was taken, and what is noted since does not fit it")

const givenUpDir = "given-up"

var givenUpForm = regexp.MustCompile(`^([0-9]{10})-([0-9]{10})$`)

// giveUp makes durable what g says, if it is of this repository and not known.
func (r *Repository) giveUp(ctx context.Context, g *GivenUp) error {
	if g == nil || g.Repository != r.id.ID || g.After >= g.Until {
		return nil
	}
	name := fmt.Sprintf("%s/%010d-%010d", givenUpDir, g.After, g.Until)
	err := r.put(ctx, name, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("say which snapshots a restore has left behind: %w", err)
	}
	return nil
}

// lines reads which snapshots are given up.
func (r *Repository) lines(ctx context.Context) (all []GivenUp, err error) {
	err = r.place.List(ctx, givenUpDir, func(e Entry) error {
		m := givenUpForm.FindStringSubmatch(path.Base(e.Name))
		if m == nil {
			return fmt.Errorf("%s has not the form that it must have: put its name back", e.Name)
		}
		after, errA := strconv.ParseUint(m[1], 10, 64)
		until, errU := strconv.ParseUint(m[2], 10, 64)
		all = append(all, GivenUp{Repository: r.id.ID, After: after, Until: until})
		return errors.Join(errA, errU)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which snapshots are given up: %w", err)
	}
	return all, nil
}

// GivenUp gives the ids of the snapshots that cannot be put back any more, oldest first.
func (r *Repository) GivenUp(ctx context.Context) (ids []string, err error) {
	_, ids, err = r.standing(ctx)
	return ids, err
}

// standing are the snapshots that may be put back, and those that may not, oldest first.
func (r *Repository) standing(ctx context.Context) (fit, givenUp []string, err error) {
	all, err := r.sortedIDs(ctx)
	if err != nil {
		return nil, nil, err
	}
	lines, err := r.lines(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range all {
		if left(lines, id) {
			givenUp = append(givenUp, id)
		} else {
			fit = append(fit, id)
		}
	}
	return fit, givenUp, nil
}

// left reports whether a snapshot is of a line that was left.
func left(lines []GivenUp, id string) bool {
	n := numberOf(id)
	for _, g := range lines {
		if g.After < n && n <= g.Until {
			return true
		}
	}
	return false
}

// numberOf is the number in a snapshot's id; 0 of what is none.
func numberOf(id string) uint64 {
	n, err := strconv.ParseUint(id[min(len(id), 17):], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Behind says what a restore of the snapshot leaves behind.
func (r *Repository) Behind(ctx context.Context, head Snapshot) (GivenUp, error) {
	all, err := r.sortedIDs(ctx)
	if err != nil || len(all) == 0 {
		return GivenUp{}, err
	}
	return GivenUp{Repository: r.id.ID, After: head.Number, Until: numberOf(all[len(all)-1])}, nil
}
