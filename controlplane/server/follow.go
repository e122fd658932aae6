package server

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// maxMissed is how many rows one delta may bring to a node that was away; with
// more, a snapshot is cheaper for both.
const maxMissed = 5000

// join starts a session: nothing but freshness when the node is up to date, a
// delta when the change log reaches back, else a snapshot. It gives the first
// push, or none when a snapshot is needed, which next sends.
func (f *feed) join(ctx context.Context, s *session, hello *controlv1.Hello, until time.Time) ([]byte, error) {
	f.mu.Lock()
	f.sessions[s] = struct{}{} // so that nobody unloads the feed meanwhile
	f.until = until
	f.mu.Unlock()
	if hello.GetLastRevision() == 0 || levelOf(hello) != f.level {
		f.want(s)
		return nil, nil
	}
	for ctx.Err() == nil {
		push, err := f.resume(ctx, s, hello.GetLastRevision(), hello.GetStateHash())
		if err == errGone {
			continue
		}
		if push == nil && err == nil {
			f.want(s)
		}
		return push, err
	}
	return nil, ctx.Err()
}

// resume makes the one push that brings a node from a revision that it holds to
// the present one; nil when only a snapshot will do. With a hash, the node has
// said what it holds.
func (f *feed) resume(ctx context.Context, s *session, from uint64, hash string) ([]byte, error) {
	if err := f.ensure(ctx); err != nil {
		return nil, err
	}
	// The longer part of the log is read before anybody has to wait for us.
	keys, seen, err := f.store.RowKeysChanged(f.region, from)
	if isReason(err, policy.SnapshotGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.loaded {
		return nil, errGone
	}
	more, _, err := f.store.RowKeysChanged(f.region, seen)
	if isReason(err, policy.SnapshotGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if keys = union(keys, more); len(keys) > maxMissed {
		return nil, nil
	}
	changed, others, err := f.catchUp(from > f.revision, keys)
	if err != nil {
		return nil, err
	}
	if !f.loaded {
		return nil, errGone
	}
	if from > f.revision { // ahead of everything that was ever committed
		return nil, nil
	}
	delta := &controlv1.Delta{FromRevision: from}
	size, err := f.fill(delta, append(changed.Rows, others.Rows...), append(changed.Removed, others.Removed...))
	if err != nil || size > bundle.MaxPartBytes {
		return nil, err
	}
	p := &controlv1.Push{}
	if from != f.revision {
		p.Change = &controlv1.Push_Delta{Delta: delta}
	} else if sum := f.state.Hash(); hash != "" && hash != hex.EncodeToString(sum[:]) {
		return nil, nil
	}
	push, err := f.seal(p)
	s.next, s.at = f.tail.end(), f.revision
	return push, err
}

// fill puts rows into a delta, each once, and gives their size.
func (f *feed) fill(d *controlv1.Delta, rows []policy.Row, removed []string) (size int, err error) {
	seen := make(map[string]bool, len(rows))
	for _, r := range rows {
		key, body, err := f.row(r)
		if err != nil {
			return 0, err
		}
		if !seen[key] {
			seen[key] = true
			d.Rows, size = append(d.Rows, body), size+len(body)
		}
	}
	slices.Sort(removed)
	d.Removed = slices.Compact(removed)
	return size, nil
}

// next gives a session its next push, or what to wait for when there is none.
func (f *feed) next(ctx context.Context, s *session) (push []byte, wait <-chan struct{}, err error) {
	for ctx.Err() == nil && !s.ended() {
		if s.takeAgain() {
			f.want(s)
		}
		if s.download != nil {
			return f.nextPart(ctx, s)
		}
		f.mu.Lock()
		p, there := f.tail.at(s.next)
		end := f.tail.end()
		s.lag(end)
		wait = f.changed
		f.mu.Unlock()
		if there {
			s.next, s.at = s.next+1, p.to
			return p.body, nil, nil
		}
		if s.next == end {
			return nil, wait, nil
		}
		// The tail has moved on without it: one delta for all that it missed.
		push, err := f.resume(ctx, s, s.at, "")
		if err == errGone {
			continue
		}
		if err != nil || push != nil {
			return push, nil, err
		}
		f.want(s)
	}
	return nil, nil, ctx.Err()
}

// lag notes how far behind the tail's end the session is.
func (s *session) lag(end uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = end - min(s.next, end)
}

// levelOf is the level of the bundle that a node holds; nodes that do not say
// know of no other than declared.
func levelOf(hello *controlv1.Hello) (level policy.Attestation) {
	if err := level.UnmarshalText([]byte(hello.GetAttestation())); err != nil {
		return policy.Declared
	}
	return level
}

func union(a, b []string) []string {
	out := append(a, b...)
	slices.Sort(out)
	return slices.Compact(out)
}
