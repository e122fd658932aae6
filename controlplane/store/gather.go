package store

import (
	"errors"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What Apply makes of entries is gathered in one transaction of the file, which is
// committed when it holds much or is old, and not with each group of entries: a
// commit writes whole pages, and the changes of many groups share them. Nobody sees
// the difference (docs/adr/0081):
//
//   - whoever reads a few rows reads them in that transaction (peek), and whoever
//     reads many has it committed first (view), so every read has all that was
//     applied;
//   - the file alone does not say what was applied when the process is killed. A mark
//     beside it does (mark.go), and the replica applies up to there again, from its
//     own log, before it answers anybody;
//   - whatever outlives the log, a snapshot, has it committed first.
const (
	gatherBytes = 2 << 20                // of commands; more is committed at once
	gatherTime  = 500 * time.Millisecond // after the first of them; Options.Gather
)

// gathered is the transaction under way. bbolt's are for one goroutine at a time, so
// mu is held by whoever uses it.
type gathered struct {
	wait time.Duration // Options.Gather

	mu    sync.Mutex
	tx    *bolt.Tx // nil: the file holds everything that was applied
	bytes int      // of the commands in it
	timer *time.Timer
}

// begin gives the transaction under way, or a new one, which late commits some time
// later. mu is held.
func (g *gathered) begin(db *bolt.DB, late func()) (*bolt.Tx, error) {
	if g.tx != nil {
		return g.tx, nil
	}
	tx, err := db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("begin a transaction: %w", err)
	}
	g.tx, g.timer = tx, time.AfterFunc(g.wait, late)
	return tx, nil
}

// end takes the transaction away; nil when there is none. mu is held.
func (g *gathered) end() *bolt.Tx {
	tx := g.tx
	if tx != nil {
		g.timer.Stop()
	}
	g.tx, g.bytes = nil, 0
	return tx
}

// drop gives up what is gathered: the file holds what was committed before. mu is
// held.
func (g *gathered) drop() error {
	if tx := g.end(); tx != nil {
		return tx.Rollback()
	}
	return nil
}

// gather runs one group of entries in the transaction under way, notes how far that
// is, and commits when it holds much. s.mu and s.gathered.mu are held.
func (s *Store) gather(entries []Entry, results []Result) error {
	g := &s.gathered
	tx, err := g.begin(s.db, s.late)
	if err != nil {
		return err
	}
	next, err := s.applyAll(tx, entries, results)
	if err != nil {
		return errors.Join(err, g.drop())
	}
	for _, en := range entries {
		g.bytes += len(en.Data)
	}
	if g.bytes < gatherBytes {
		if err := s.mark.set(next.applied.Index); err != nil {
			return errors.Join(err, g.drop())
		}
	} else if err := g.end().Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.current.Store(next)
	return nil
}

// settle commits what is gathered, so that the file holds everything that was
// applied. s.mu is held.
func (s *Store) settle() error {
	s.gathered.mu.Lock()
	defer s.gathered.mu.Unlock()
	return s.commit()
}

// commit is settle for whoever holds s.gathered.mu. Perhaps nobody waits for it who
// can stop the node, so that one is told when it fails.
func (s *Store) commit() error {
	if err := s.usable(); err != nil {
		return err
	}
	tx := s.gathered.end()
	if tx == nil {
		return nil
	}
	defer s.watch.Watch("the state: commit")()
	if err := tx.Commit(); err != nil {
		err = s.breakDown(fmt.Errorf("commit: %w", err))
		if s.failed != nil {
			s.failed(err)
		}
		return err
	}
	return nil
}

// late commits what is old.
func (s *Store) late() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_ = s.settle() // who must know is told
}

// peek reads a few rows, in the transaction under way if there is one: fn must be
// short, because Apply waits for it, and must not keep what it reads. It may not
// call the store.
func (s *Store) peek(fn func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	if done, err := s.peekGathered(fn); done {
		return err
	}
	return s.db.View(fn)
}

func (s *Store) peekGathered(fn func(*bolt.Tx) error) (done bool, err error) {
	s.gathered.mu.Lock()
	defer s.gathered.mu.Unlock()
	if s.gathered.tx == nil {
		return false, nil
	}
	return true, fn(s.gathered.tx)
}

// fewRows is how many rows may be peeked at: some 10 µs each.
const fewRows = 256

// reading is peek for few rows and view for many.
func (s *Store) reading(rows int) func(func(*bolt.Tx) error) error {
	if rows <= fewRows {
		return s.peek
	}
	return s.view
}

// view runs fn in a read transaction that holds everything that was applied before.
func (s *Store) view(fn func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.settle() != nil {
		return s.usable()
	}
	return s.db.View(fn)
}
