package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// feed is the bundle of one region, for nodes of one level, while nodes follow it. In memory it has the
// hashes of the rows and the latest pushes, never the rows: about 50 bytes for
// each row, whatever the number of nodes. A change is read, hashed, sealed and
// encoded once. Sessions come for it at their own pace (next).
type feed struct {
	region policy.RegionID
	level  policy.Attestation // of its nodes: rows of tenants that demand more are left bare
	store  *store.Store
	signer *bundle.Signer
	log    *slog.Logger
	dir    string        // of snapshots on their way
	slots  chan struct{} // one for each snapshot that is being sent, of all regions

	mu       sync.Mutex
	sessions map[*session]struct{}
	changed  chan struct{} // closed and replaced when there is more to send
	until    time.Time     // how long a seal of now lasts

	loaded   bool
	loading  chan struct{} // not nil while one session loads; closed at its end
	revision uint64        // of state: what the sessions come to
	scanned  uint64        // the store's revision up to which nothing else changed here
	state    bundle.State
	tail     tail

	spool    *spool        // the latest; nil: none
	spooling chan struct{} // not nil while a spool is being written
	spoolErr error         // why the latest could not be written
	readers  int           // sessions that are being sent a spool, this one or an earlier
	changes  changes       // since the first row of the earliest spool that is being sent
}

func newFeed(region policy.RegionID, level policy.Attestation, h *hub) *feed {
	return &feed{region: region, level: level, store: h.store, signer: h.signer, log: h.log, dir: h.dir, slots: h.slots,
		sessions: map[*session]struct{}{}, changed: make(chan struct{})}
}

// row gives a row as it is shipped to nodes of the feed's level.
func (f *feed) row(r policy.Row) (key string, body []byte, err error) {
	return bundle.Encode(r.For(f.level))
}

// ensure loads the hashes of the region's rows, if nobody has. Of sessions that
// come at once one loads and the others wait.
func (f *feed) ensure(ctx context.Context) error {
	for {
		f.mu.Lock()
		if f.loaded {
			f.mu.Unlock()
			return nil
		}
		wait := f.loading
		if wait == nil {
			f.loading = make(chan struct{})
			f.mu.Unlock()
			return f.load(ctx)
		}
		f.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *feed) load(ctx context.Context) error {
	var state bundle.State
	revision, err := f.store.Rows(f.region, func(r policy.Row) error {
		key, body, err := f.row(r)
		if err != nil {
			return err
		}
		state.Put(key, body)
		return ctx.Err()
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.loading)
	f.loading = nil
	if err != nil {
		return fmt.Errorf("read the bundle of %s: %w", f.region, err)
	}
	f.state, f.revision, f.scanned, f.loaded = state, revision, revision, true
	return nil
}

// unload forgets the bundle; whoever comes next loads it. The caller holds f.mu.
func (f *feed) unload() {
	f.loaded, f.state = false, bundle.State{}
	f.tail.reset()
	f.dropSpool()
	f.changes.forget()
	f.wakeAll()
}

// wakeAll lets every session look again. The caller holds f.mu.
func (f *feed) wakeAll() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// advance pushes what changed in the region, if anything did.
func (f *feed) advance(until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = until
	if !f.loaded {
		return nil
	}
	if len(f.sessions) == 0 { // nobody listens
		f.unload()
		return nil
	}
	_, _, err := f.catchUp(false, nil)
	return err
}

// renew promises freshness; it also carries the nodes over revisions at which
// nothing of their region changed.
func (f *feed) renew(until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = until
	if !f.loaded || len(f.sessions) == 0 {
		return nil
	}
	before := f.revision
	if _, _, err := f.catchUp(true, nil); err != nil || !f.loaded || f.revision != before {
		return err
	}
	return f.append(before, &controlv1.Push{})
}

// catchUp brings the feed to the store's revision and appends what changed to
// the tail; with evenEmpty also a revision at which nothing changed here. It
// gives what changed and, of the same revision, the rows of other keys. When
// there is too much to list, the feed is unloaded. The caller holds f.mu.
func (f *feed) catchUp(evenEmpty bool, keys []string) (changed, others store.Delta, err error) {
	changed, others, err = f.store.RowsChangedAnd(f.region, f.scanned, keys)
	if isReason(err, policy.SnapshotGone) {
		f.unload()
		return changed, others, nil
	}
	if err != nil {
		return changed, others, err
	}
	f.scanned = changed.To
	if changed.To == f.revision || (!evenEmpty && len(changed.Rows)+len(changed.Removed) == 0) {
		return changed, others, nil
	}
	delta, size := &controlv1.Delta{FromRevision: f.revision, Removed: changed.Removed}, 0
	for _, key := range changed.Removed {
		f.changes.note(key, changed.To)
		f.state.Remove(key)
	}
	for _, r := range changed.Rows {
		key, body, err := f.row(r)
		if err != nil {
			f.unload() // state is between two revisions
			return changed, others, err
		}
		f.changes.note(key, changed.To)
		f.state.Put(key, body)
		delta.Rows, size = append(delta.Rows, body), size+len(body)
	}
	before := f.revision
	f.revision = changed.To
	if size > bundle.MaxPartBytes { // more than one push may hold: each session asks for what it lacks
		f.tail.reset()
		f.wakeAll()
		return changed, others, nil
	}
	return changed, others, f.append(before, &controlv1.Push{Change: &controlv1.Push_Delta{Delta: delta}})
}

// append seals a push, encodes it and offers it to every session. The caller
// holds f.mu.
func (f *feed) append(from uint64, p *controlv1.Push) error {
	body, err := f.seal(p)
	if err != nil {
		f.unload()
		return err
	}
	f.tail.add(pushed{from: from, to: f.revision, body: body})
	f.wakeAll()
	return nil
}

// seal encodes a push of the feed's present revision. The caller holds f.mu.
func (f *feed) seal(p *controlv1.Push) ([]byte, error) {
	p.Revision, p.FreshUntil, p.Attestation = f.revision, f.until.Unix(), f.level.String()
	p.Seal = f.signer.Seal(f.region, f.revision, f.state.Hash(), f.until)
	return encode(p)
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

// sweep ends the sessions of nodes that do not answer.
func (f *feed) sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.sessions {
		if s.stuck(now) {
			delete(f.sessions, s)
			s.end(errSlow)
		}
	}
}

// errGone says that the feed was unloaded while a session looked.
var errGone = errors.New("the bundle must be read anew")
