package server

import (
	"context"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

const (
	// maxDownloads is how many nodes of all regions are sent a snapshot at once;
	// each needs one part of 1 MiB in memory. The others wait their turn.
	maxDownloads = 32
	// waitEvery is how often a node that waits for its snapshot is told so. It
	// gives up after three times as long without a word.
	waitEvery = 5 * time.Second
	// finalRows is how many rows may have changed behind a snapshot when it ends.
	finalRows = 256
	// rereadRows is how many rows are read at once of those that changed while a
	// snapshot was on its way.
	rereadRows = 256
)

// download is where a session is in its snapshot: first the parts of the
// spool; then what changed meanwhile, until little is left; then that, sealed.
type download struct {
	spool  *spool // nil: it waits for a slot, or for the spool
	asked  bool   // for a spool to be written
	part   int    // of the spool, next
	number uint32 // of the snapshot, next
	epoch  uint64 // of the feed's changes
	fixed  uint64 // what changed up to this revision is sent, or in todo
	todo   []string
	ready  [][]byte // encoded, to be sent before anything else
	last   bool     // ready ends the snapshot
	next   uint64   // number in the tail of what follows it
	at     uint64   // its revision
}

// want begins a snapshot, from its first part.
func (f *feed) want(s *session) {
	f.release(s)
	s.download = &download{}
}

// release gives back what a session's download holds.
func (f *feed) release(s *session) {
	if s.holds {
		<-f.slots
		s.holds = false
	}
	if s.download == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if sp := s.download.spool; sp != nil {
		sp.users, f.readers = sp.users-1, f.readers-1
		f.reap(sp)
	}
	s.download = nil
}

// reap closes a spool that nobody reads and nobody will. The caller holds f.mu.
func (f *feed) reap(sp *spool) {
	if sp.users == 0 && sp != f.spool {
		_ = sp.file.Close() // it was only read, and its file has no name
	}
}

// dropSpool makes the next snapshot write a new one. The caller holds f.mu.
func (f *feed) dropSpool() {
	if sp := f.spool; sp != nil {
		f.spool = nil
		f.reap(sp)
	}
}

// nextPart gives the next part of a session's snapshot.
func (f *feed) nextPart(ctx context.Context, s *session) (push []byte, wait <-chan struct{}, err error) {
	d := s.download
	if d.spool == nil {
		if ok, err := f.open(ctx, s); err != nil || !ok {
			return waiting, nil, err
		}
	}
	if len(d.ready) == 0 && d.part < len(d.spool.parts) {
		push, err = d.spool.read(d.part)
		d.part, d.number = d.part+1, d.number+1
		return push, nil, err
	}
	if len(d.ready) == 0 {
		if err := f.follow(d); err == errGone {
			f.want(s) // what changed meanwhile is not known: begin again
			return nil, nil, nil
		} else if err != nil {
			return nil, nil, err
		}
	}
	if len(d.ready) > 0 {
		push, d.ready = d.ready[0], d.ready[1:]
	}
	if len(d.ready) == 0 && d.last {
		s.next, s.at = d.next, d.at
		f.release(s)
	}
	return push, nil, nil
}

var waiting = func() []byte {
	b, err := encode(&controlv1.Push{Change: &controlv1.Push_Wait{Wait: &controlv1.Wait{}}})
	if err != nil {
		panic(err) // a message without fields
	}
	return b
}()

// open waits for a slot and a spool; false when it is time to tell the node
// that it must go on waiting.
func (f *feed) open(ctx context.Context, s *session) (ok bool, err error) {
	patience := time.NewTimer(waitEvery)
	defer patience.Stop()
	if !s.holds {
		select {
		case f.slots <- struct{}{}:
			s.holds = true
		case <-patience.C:
			return false, nil
		case <-s.done:
			return false, s.reason
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	for {
		if err := f.ensure(ctx); err != nil {
			return false, err
		}
		wait, err := f.attach(s.download)
		if err != nil || wait == nil {
			return err == nil, err
		}
		select {
		case <-wait:
		case <-patience.C:
			return false, nil
		case <-s.done:
			return false, s.reason
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// attach gives a download the feed's spool, or what to wait for until there is one.
func (f *feed) attach(d *download) (wait <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.spoolErr; err != nil && d.asked {
		return nil, policy.Errorf(policy.NotReady, "this voter could not write a snapshot of the bundle; subscribe again, or at another voter")
	}
	if sp := f.spool; sp != nil && f.serves(sp) {
		sp.users, f.readers = sp.users+1, f.readers+1
		d.spool, d.fixed, d.epoch = sp, sp.base, f.changes.epoch
		return nil, nil
	}
	d.asked = true
	if f.spooling == nil && f.loaded {
		f.beginSpool()
	}
	if f.spooling == nil { // unloaded between two looks
		return f.changed, nil
	}
	return f.spooling, nil
}

// serves reports whether a spool is still worth its sending: most of it must be
// as it was. The caller holds f.mu.
func (f *feed) serves(sp *spool) bool {
	return f.changes.at != nil && f.changes.since <= max(1000, sp.rows/4)
}

// beginSpool writes a new spool beside everything else. The caller holds f.mu.
func (f *feed) beginSpool() {
	f.dropSpool()
	f.changes.begin(f.revision, f.readers > 0) // from before the first row is read
	base, epoch := f.revision, f.changes.epoch
	f.spooling, f.spoolErr = make(chan struct{}), nil
	go func() {
		w, err := newSpool(f.dir, base)
		if err == nil {
			_, err = f.store.Rows(f.region, func(r policy.Row) error {
				_, body, err := f.row(r)
				if err != nil {
					return err
				}
				return w.add(body)
			})
		}
		if err == nil {
			err = w.flush()
		}
		f.endSpool(w, epoch, err)
	}()
}

func (f *feed) endSpool(w *spooling, epoch uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.spooling)
	f.spooling, f.spoolErr = nil, err
	if err == nil && f.changes.at != nil && f.changes.epoch == epoch {
		f.spool = w.spool
		return
	}
	if err != nil {
		f.log.Error("a region's snapshot could not be written; free space where the state is", "region", string(f.region), "cause", err)
	}
	if w != nil {
		_ = w.file.Close() // nobody reads it
	}
}

// follow fills d.ready with parts of what changed since d.fixed. When little is
// left it ends the snapshot.
func (f *feed) follow(d *download) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.follows(d) {
		return errGone
	}
	if len(d.todo) == 0 {
		if d.todo = f.changes.after(d.fixed); len(d.todo) <= finalRows {
			return f.finish(d)
		}
		d.fixed = f.revision
	}
	keys := d.todo[:min(rereadRows, len(d.todo))]
	d.todo = d.todo[len(keys):]
	rows, err := f.store.RowsOf(f.region, keys)
	if err != nil {
		return err
	}
	parts, err := f.parts(rows.Rows, rows.Removed)
	if err != nil {
		return err
	}
	return d.put(parts)
}

// follows reports whether everything that changed since the download's spool
// was begun is noted. The caller holds f.mu.
func (f *feed) follows(d *download) bool {
	return f.loaded && f.changes.at != nil && f.changes.epoch == d.epoch
}

// finish ends a snapshot at the feed's present revision. The caller holds f.mu.
func (f *feed) finish(d *download) error {
	changed, others, err := f.catchUp(false, d.todo)
	if err != nil {
		return err
	}
	if !f.follows(d) {
		return errGone
	}
	d.todo = nil
	parts, err := f.parts(append(changed.Rows, others.Rows...), append(changed.Removed, others.Removed...))
	if err != nil {
		return err
	}
	last := parts[len(parts)-1]
	last.Last, last.Number = true, d.number+uint32(len(parts))-1
	if err := d.put(parts[:len(parts)-1]); err != nil {
		return err
	}
	b, err := f.seal(&controlv1.Push{Change: &controlv1.Push_Part{Part: last}})
	if err != nil {
		return err
	}
	d.ready, d.number, d.last = append(d.ready, b), d.number+1, true
	d.next, d.at = f.tail.end(), f.revision
	return nil
}

// parts cuts rows into parts, at least one. A key that is removed stands in the
// first, before any row.
func (f *feed) parts(rows []policy.Row, removed []string) ([]*controlv1.SnapshotPart, error) {
	var all controlv1.Delta
	if _, err := f.fill(&all, rows, removed); err != nil {
		return nil, err
	}
	out, size := []*controlv1.SnapshotPart{{Removed: all.GetRemoved()}}, 0
	for _, body := range all.GetRows() {
		part := out[len(out)-1]
		if size+len(body) > bundle.MaxPartBytes && len(part.GetRows()) > 0 {
			part, size = &controlv1.SnapshotPart{}, 0
			out = append(out, part)
		}
		part.Rows, size = append(part.Rows, body), size+len(body)
	}
	return out, nil
}

// put encodes parts that are not the last.
func (d *download) put(parts []*controlv1.SnapshotPart) error {
	for _, part := range parts {
		part.Number = d.number
		b, err := encode(&controlv1.Push{Revision: d.spool.base, Change: &controlv1.Push_Part{Part: part}})
		if err != nil {
			return err
		}
		d.ready, d.number = append(d.ready, b), d.number+1
	}
	return nil
}
