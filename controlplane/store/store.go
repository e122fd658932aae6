// Package store is the replicated state of the control plane: tenants, their
// policies and keys, regions, pending changes, and what is needed to tell each
// region of them. It holds no personal data and no secret.
//
// It is a pure state machine over bbolt: Apply has no clock, no randomness and
// no map order; whatever depends on them is stamped into the command before it
// is proposed. Committed entries and the applied index are of one bbolt transaction,
// so that the file never disagrees with itself; many batches share one (gather.go).
//
// Each effective change takes the next revision. Etags are the hexadecimal
// revision of an object's last change.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/internal/watchdog"
	"github.com/domicile-io/domicile/policy"
)

// Options of a store.
type Options struct {
	Path   string       // of the bbolt file; its folder must exist
	Logger *slog.Logger // nil: slog.Default()

	// Hung is told of a write to the file that has not come back within HangLimit.
	// The node must stop: what is committed elsewhere is not applied here, so that a
	// leader would take writes and answer none. nil: nobody.
	// It is also told of one that failed while nobody waited for it.
	Hung      func(error)
	HangLimit time.Duration // 0: 10 s

	Gather time.Duration // how long what was applied may wait for its commit to the file; 0: 0.5 s
}

// hangLimit is far above what the largest batch takes.
const hangLimit = 10 * time.Second

// Store is the state of one node. Methods are safe for concurrent use, but
// Apply and Restore have one caller.
//
// Reads return a *policy.Error of reason NOT_FOUND for what does not exist, and
// any other error for what cannot be read or fails its checksum.
type Store struct {
	path    string
	log     *slog.Logger
	unclean bool // a former process left it open, under this boot

	mu sync.RWMutex // held for reading while db is used, for writing while it is swapped
	db *bolt.DB

	gathered gathered // what is applied and not yet in the file
	mark     mark

	failed  func(error)           // Options.Hung
	watch   watchdog.Watchdog     // of writes to the file
	broken  atomic.Pointer[error] // set once: nothing is served afterwards
	current atomic.Pointer[cursor]
}

// cursor is what is known of the last commit without reading the file.
type cursor struct {
	applied  position
	revision uint64
	topology *policy.Topology
	nodes    uint64 // revision at which who may subscribe last changed
	members  *Members
	index    *index // of idempotency: Apply changes it, and
	answers  answers
	recent   *recent
	edge     *edge
}

// mapSize is the address space reserved for the file, so that growing it seldom
// waits for open readers (a snapshot being sent is one).
const mapSize = 1 << 30

// Open opens or creates the state and verifies every value in it, so that a
// corrupt file is found before anything is served from it. A state that a power cut
// may have torn begins empty, at index 0: unclean.go.
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{path: o.Path, log: o.Logger, failed: o.Hung, gathered: gathered{wait: cmp.Or(o.Gather, gatherTime)}, watch: watchdog.Watchdog{Limit: cmp.Or(o.HangLimit, hangLimit), Hung: o.Hung}}
	if err := s.discardTorn(); err != nil {
		return nil, err
	}
	_, err := os.Stat(o.Path)
	created := errors.Is(err, os.ErrNotExist)
	if s.db, err = openFile(o.Path); err != nil {
		return nil, err
	}
	if err := s.own(); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	left := markOfClosed
	switch {
	case created:
		left = markOfNone
	case s.unclean:
		left = markOfKilled
	}
	if err := errors.Join(s.start(), s.mark.open(o.Path, left)); err != nil {
		return nil, errors.Join(err, s.mark.close(), s.db.Close())
	}
	if created {
		if err := syncFolder(o.Path); err != nil {
			return nil, errors.Join(err, s.mark.close(), s.db.Close())
		}
	}
	return s, nil
}

// start prepares and verifies s.db and reads the cursor from it.
func (s *Store) start() error {
	if err := prepare(s.db); err != nil {
		return err
	}
	if err := verify(s.db); err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error { return s.readCursor(tx) })
}

// prepare makes the buckets of an empty file and refuses another format.
func prepare(db *bolt.DB) error {
	empty := false
	err := db.View(func(tx *bolt.Tx) error {
		if empty = tx.Bucket(bucketMeta) == nil; empty {
			return nil
		}
		format, _, err := load[int](tx, bucketMeta, metaFormat)
		if err != nil {
			return err
		}
		return checkFormat(format)
	})
	if err != nil {
		return err
	}
	if !empty {
		return complete(db)
	}
	return db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return fmt.Errorf("create bucket %s: %w", name, err)
			}
		}
		e := entry{tx: tx}
		if err := e.put(bucketMeta, metaFormat, Format); err != nil {
			return err
		}
		return e.commit()
	})
}

// complete makes buckets that the format gained after the file was made.
func complete(db *bolt.DB) error {
	var lacks [][]byte
	err := db.View(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				lacks = append(lacks, name)
			}
		}
		return nil
	})
	if err != nil || len(lacks) == 0 {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		for _, name := range lacks {
			if _, err := tx.CreateBucket(name); err != nil {
				return fmt.Errorf("create bucket %s: %w", name, err)
			}
		}
		return nil
	})
}

// Close releases the file. It waits for reads under way.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	s.gathered.mu.Lock()
	defer s.gathered.mu.Unlock()
	err := s.release()
	closed := errors.New("the store is closed")
	s.broken.CompareAndSwap(nil, &closed)
	s.db = nil
	return err
}

// Apply applies committed entries in order. An error (an I/O error, an unknown
// command, a corrupt value) means that this node must stop: nothing of the batch is
// applied, and the store refuses all further work. Domain refusals are in the
// results, one for each entry. Entries at or below the applied index are passed over:
// a restart replays them. What it has applied every read finds, whether it is in the
// file yet or not.
func (s *Store) Apply(entries []Entry) ([]Result, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.gathered.mu.Lock()
	defer s.gathered.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	defer s.watch.Watch("the state: apply")()
	results := make([]Result, len(entries))
	if err := s.gather(entries, results); err != nil {
		return nil, s.breakDown(fmt.Errorf("apply: %w", err))
	}
	return results, nil
}

func (s *Store) applyAll(tx *bolt.Tx, entries []Entry, results []Result) (*cursor, error) {
	next := *s.current.Load()
	for i, en := range entries {
		if en.Index <= next.applied.Index {
			continue
		}
		next.applied = position{Index: en.Index, Term: en.Term}
		results[i].Revision = next.revision
		if len(en.Data) == 0 {
			continue
		}
		c, err := Decode(en.Data)
		if errors.Is(err, errSkip) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("entry %d: %w", en.Index, err)
		}
		if b, ok := c.Payload.(Batch); ok {
			if results[i], err = runBatch(tx, c, b, &next); err != nil {
				return nil, fmt.Errorf("entry %d: %w", en.Index, err)
			}
			continue
		}
		e := next.entry(tx, c.Stamp)
		e.command = en.Data
		if results[i], err = e.run(c); err != nil {
			return nil, fmt.Errorf("entry %d: %w", en.Index, err)
		}
		if !e.changed || results[i].Err != nil {
			continue
		}
		next.revision = e.revision()
		if c.Kind().changesNodes() {
			next.nodes = next.revision
		}
		if k := c.Kind(); k == KindPutRegion || k == KindInitCluster || k == KindPutBasis {
			if next.topology, err = topologyOf(tx); err != nil {
				return nil, err
			}
		}
		if changesMembers(c.Kind()) {
			if next.members, err = membersOf(tx); err != nil {
				return nil, err
			}
		}
	}
	return &next, next.put(tx)
}

// put writes what has one value after any number of entries.
func (c *cursor) put(tx *bolt.Tx) error {
	e := entry{tx: tx, writes: []write{{bucketMeta, metaAnswers, c.answers.encode()}}}
	if err := e.put(bucketMeta, metaRevision, c.revision); err != nil {
		return err
	}
	if err := e.put(bucketMeta, metaApplied, c.applied); err != nil {
		return err
	}
	return e.commit()
}

// Writing is for how long the write to the file that is under way has taken; 0
// when none is.
func (s *Store) Writing() time.Duration { return s.watch.Longest() }

// breakDown makes the store refuse everything: after a failed commit it is not
// known what is on disk, and the descriptor must not be used again.
func (s *Store) breakDown(err error) error {
	s.log.Error("the state is unusable: this node must stop", "err", err)
	s.broken.CompareAndSwap(nil, &err)
	return err
}

// usable reports why the store refuses everything, if it does. That is
// UNAVAILABLE: nothing was done here, and another node can answer.
func (s *Store) usable() error {
	if err := s.broken.Load(); err != nil {
		return &policy.Error{Reason: policy.NotReady, Message: "this node's state cannot be used and the node is stopping: ask another", Cause: *err}
	}
	return nil
}
