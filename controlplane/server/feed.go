package server

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// feed is the bundle of one region as last pushed, in memory while nodes are
// connected: a change is computed, hashed and sealed once, whatever their
// number, and a snapshot is always of exactly the revision that deltas follow.
type feed struct {
	region policy.RegionID
	store  *store.Store
	signer *bundle.Signer

	mu       sync.Mutex
	sessions map[*session]struct{}
	loaded   bool
	revision uint64            // of rows, as the sessions know it
	scanned  uint64            // the store's revision up to which nothing else changed here
	rows     map[string][]byte // shipped bytes by row key
	state    bundle.State
}

// load reads the whole bundle. The caller holds f.mu.
func (f *feed) load() error {
	f.rows, f.state = map[string][]byte{}, bundle.State{}
	revision, err := f.store.Rows(f.region, f.put)
	if err != nil {
		return fmt.Errorf("read the bundle of %s: %w", f.region, err)
	}
	f.revision, f.scanned, f.loaded = revision, revision, true
	return nil
}

func (f *feed) put(r policy.Row) error {
	key, body, err := bundle.Encode(r)
	if err != nil {
		return err
	}
	f.rows[key] = body
	f.state.Put(key, body)
	return nil
}

// advance pushes what changed in the region, if anything did.
func (f *feed) advance(until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.catchUp(until, false)
}

// renew promises freshness; it also carries the nodes over revisions at which
// nothing of their region changed.
func (f *feed) renew(until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.loaded {
		return nil
	}
	before := f.revision
	if err := f.catchUp(until, true); err != nil {
		return err
	}
	if f.revision == before {
		f.broadcast(&controlv1.Push{Revision: f.revision}, until)
	}
	return nil
}

// catchUp brings the feed to the store's revision. The caller holds f.mu.
func (f *feed) catchUp(until time.Time, evenEmpty bool) error {
	if !f.loaded || len(f.sessions) == 0 {
		f.loaded, f.rows, f.state = false, nil, bundle.State{} // nobody listens: the next node loads anew
		return nil
	}
	d, err := f.store.RowsChanged(f.region, f.scanned)
	if isReason(err, policy.SnapshotGone) { // a change too large to list: everything anew
		if err := f.load(); err != nil {
			return err
		}
		f.toAll(f.snapshot, until)
		return nil
	}
	if err != nil {
		return err
	}
	f.scanned = d.To
	if d.To == f.revision || (!evenEmpty && len(d.Rows)+len(d.Removed) == 0) {
		return nil
	}
	delta := &controlv1.Delta{FromRevision: f.revision, Removed: d.Removed}
	size := 0
	for _, r := range d.Rows {
		if err := f.put(r); err != nil {
			return err
		}
		body := f.rows[r.RowKey()]
		delta.Rows, size = append(delta.Rows, body), size+len(body)
	}
	for _, key := range d.Removed {
		delete(f.rows, key)
		f.state.Remove(key)
	}
	f.revision = d.To
	if size > bundle.MaxPartBytes {
		f.toAll(f.snapshot, until)
		return nil
	}
	f.broadcast(&controlv1.Push{Revision: f.revision, Change: &controlv1.Push_Delta{Delta: delta}}, until)
	return nil
}

// broadcast seals a push once and gives every session its own copy of it,
// because nonces differ. The caller holds f.mu.
func (f *feed) broadcast(p *controlv1.Push, until time.Time) {
	p.FreshUntil, p.Seal = until.Unix(), f.signer.Seal(f.region, f.revision, f.state.Hash(), until)
	for s := range f.sessions {
		f.begin(s, []*controlv1.Push{{Revision: p.GetRevision(), Change: p.GetChange(), FreshUntil: p.GetFreshUntil(), Seal: p.GetSeal()}}, until)
	}
}

// toAll queues pushes for every session, made anew for each. The caller holds f.mu.
func (f *feed) toAll(pushes func() []*controlv1.Push, until time.Time) {
	for s := range f.sessions {
		f.begin(s, pushes(), until)
	}
}

// begin queues pushes, sealing the last; a session that does not keep up is
// dropped and resyncs. The caller holds f.mu.
func (f *feed) begin(s *session, pushes []*controlv1.Push, until time.Time) {
	last := pushes[len(pushes)-1]
	if last.Seal == nil {
		last.FreshUntil, last.Seal = until.Unix(), f.signer.Seal(f.region, f.revision, f.state.Hash(), until)
	}
	if !s.queue(pushes) {
		delete(f.sessions, s)
		s.end(errSlow)
	}
}

// snapshot cuts the bundle into parts. The caller holds f.mu.
func (f *feed) snapshot() []*controlv1.Push {
	keys := make([]string, 0, len(f.rows))
	for k := range f.rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	part := &controlv1.SnapshotPart{}
	parts := []*controlv1.SnapshotPart{part}
	size := 0
	for _, k := range keys {
		body := f.rows[k]
		if size+len(body) > bundle.MaxPartBytes && len(part.GetRows()) > 0 {
			part, size = &controlv1.SnapshotPart{Number: part.GetNumber() + 1}, 0
			parts = append(parts, part)
		}
		part.Rows, size = append(part.Rows, body), size+len(body)
	}
	part.Last = true
	out := make([]*controlv1.Push, 0, len(parts))
	for _, p := range parts {
		out = append(out, &controlv1.Push{Revision: f.revision, Change: &controlv1.Push_Part{Part: p}})
	}
	return out
}

// since makes the delta from a revision that a node has persisted, or nil when
// only a snapshot will do. Rows are as of the feed's revision, though the change
// log may already reach further. The caller holds f.mu.
func (f *feed) since(from uint64) *controlv1.Push {
	if from == 0 || from > f.revision {
		return nil
	}
	d, err := f.store.RowsChanged(f.region, from)
	if err != nil {
		return nil // compacted, or unreadable: a snapshot says everything
	}
	delta := &controlv1.Delta{FromRevision: from}
	size := 0
	for _, key := range touched(d) {
		if body, ok := f.rows[key]; ok {
			delta.Rows, size = append(delta.Rows, body), size+len(body)
		} else {
			delta.Removed = append(delta.Removed, key)
		}
	}
	if size > bundle.MaxPartBytes {
		return nil
	}
	return &controlv1.Push{Revision: f.revision, Change: &controlv1.Push_Delta{Delta: delta}}
}

func touched(d store.Delta) []string {
	keys := slices.Clone(d.Removed)
	for _, r := range d.Rows {
		keys = append(keys, r.RowKey())
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// join starts a session: nothing but freshness when the node is up to date, a
// delta when the change log reaches back, else a snapshot.
func (f *feed) join(s *session, hello *controlv1.Hello, until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loaded && len(f.sessions) > 0 {
		if err := f.catchUp(until, true); err != nil {
			return err
		}
	} else if err := f.load(); err != nil {
		return err
	}
	f.sessions[s] = struct{}{}
	hash := f.state.Hash()
	same := hello.GetLastRevision() == f.revision && hello.GetStateHash() == fmt.Sprintf("%x", hash)
	delta := f.since(hello.GetLastRevision())
	switch {
	case same:
		f.begin(s, []*controlv1.Push{{Revision: f.revision}}, until)
	case delta != nil && hello.GetLastRevision() != f.revision:
		f.begin(s, []*controlv1.Push{delta}, until)
	default:
		f.begin(s, f.snapshot(), until)
	}
	return nil
}

// resync gives a session that could not apply a push the whole bundle.
func (f *feed) resync(s *session, until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, open := f.sessions[s]; open {
		f.begin(s, f.snapshot(), until)
	}
}

func (f *feed) leave(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sessions, s)
}

func (f *feed) dropAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.sessions {
		delete(f.sessions, s)
		s.end(errNotLeading)
	}
}
