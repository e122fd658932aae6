package dataplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/move"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// ErrMoved ends a node whose records have moved to the region's database.
var ErrMoved = errors.New("the records have moved to the region's database")

// moving is the move of this node's embedded store, if there is one.
type moving struct {
	node    *Node
	shelves []movingShelf // set while the node starts
	ledger  *subject.FileLedger

	mu     sync.Mutex
	job    *move.Mover // nil: none runs
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // of the last one
	closed bool
	gone   bool // the records are in the database: the process is to end
}

type movingShelf struct {
	name    string
	file    *bolt.Shelf
	buckets []shelf.Bucket
}

// MoveOptions of a move.
type MoveOptions struct {
	To       string // path of the configuration that the node is to have
	Hold     bool   // wait for switch once the copy is whole
	Rate     int64  // bytes a second that are read of the store; 0: no limit
	MaxPause time.Duration
	Full     bool // compare every row during the pause, too
}

// MoveStatus is what `region migrate-store status` shows.
type MoveStatus struct {
	State MoveState    `json:"state"` // "" when there is no move
	ID    string       `json:"id,omitempty"`
	To    string       `json:"to,omitempty"`
	Runs  bool         `json:"runs"`
	Move  *move.Status `json:"move,omitempty"`
	Error string       `json:"error,omitempty"` // of the last try
	Keys  *MovedKeys   `json:"keys,omitempty"`
}

// MovedDetails is what was handed over besides rows and shelves.
type MovedDetails struct {
	Keys     keytable.Imported `json:"keys"`
	Erasures uint64            `json:"erasures"` // entries of the ledger
}

var errMoveDatabase = errors.New("this node's records are in a database already (store.kind: sql)")

func (n *Node) openMove(Options) error {
	n.moving.observe(n.registry)
	n.onClose("move of the store", func(context.Context) error {
		m := n.moving
		m.mu.Lock()
		m.closed = true
		m.mu.Unlock()
		m.interrupt()
		return nil
	})
	return nil
}

func (m *moving) done() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

// interrupt ends the job, if one runs; what is in the database stays for the next.
func (m *moving) interrupt() {
	m.mu.Lock()
	stop, ended := m.stop, m.ended
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
}

// runs reports whether the job has not ended. The caller holds m.mu.
func (m *moving) runs() bool {
	if m.ended == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// status is how far the move is; mark as it is on the disk.
func (m *moving) status() (MoveStatus, error) {
	s, err := ReadMoveStatus(m.node.cfg)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.job != nil {
		now := m.job.Status()
		s.Move, s.Runs = &now, m.runs()
	}
	if m.err != nil {
		s.Error = m.err.Error()
	}
	return s, err
}

// ReadMoveStatus is what a node's data_dir says of its move; the node need not run.
func ReadMoveStatus(c Config) (s MoveStatus, err error) {
	mark, err := readMove(c.DataDir)
	if err != nil || mark == nil {
		return s, err
	}
	s = MoveStatus{State: mark.State, ID: mark.ID, To: mark.To, Keys: mark.Keys}
	if mark.Report != nil {
		s.Move = &move.Status{Phase: move.Switched, Began: mark.Began, Report: mark.Report}
	}
	return s, nil
}

// check is everything that can be found out before anything is copied.
func (m *moving) check(ctx context.Context, o MoveOptions) (*moveTarget, *MoveMark, error) {
	n := m.node
	if n.shared != nil || n.backups.source.records == nil {
		return nil, nil, errMoveDatabase
	}
	to, err := n.futureConfig(o.To)
	if err != nil {
		return nil, nil, err
	}
	mark, err := readMove(n.cfg.DataDir)
	if err != nil {
		return nil, nil, err
	}
	if mark == nil {
		id, err := policy.NewID(policy.KindOperation, rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		mark = &MoveMark{ID: id, Region: n.region(), State: MoveBegun, Began: time.Now().UTC()}
	}
	mark.To = o.To
	t, err := n.openTarget(ctx, to)
	if err != nil {
		return nil, nil, err
	}
	return t, mark, nil
}

// begin starts the job in the background.
func (m *moving) begin(ctx context.Context, o MoveOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs() {
		return errors.New("the move runs already: `status` shows how far it is, `stop` interrupts it")
	}
	if m.closed || m.gone {
		return errors.New("the node ends")
	}
	t, mark, err := m.check(ctx, o)
	if err != nil {
		return err
	}
	// The mark comes first: whoever finds the database claimed finds who claimed it.
	fresh := !markExists(m.node.cfg.DataDir)
	err = mark.save(m.node.cfg.DataDir)
	if err == nil {
		if err = t.claim(mark.ID); err != nil && fresh {
			err = errors.Join(err, removeMove(m.node.cfg.DataDir))
		}
	}
	var job *move.Mover
	if err == nil {
		job, err = m.mover(t, mark, o)
	}
	if err != nil {
		return errors.Join(err, t.close())
	}
	run, cancel := context.WithCancel(context.Background())
	m.job, m.stop, m.ended, m.err = job, cancel, make(chan struct{}), nil
	go m.run(run, t, mark)
	return nil
}

func (m *moving) run(ctx context.Context, t *moveTarget, mark *MoveMark) {
	err := m.job.Run(ctx)
	n := m.node
	switch {
	case err == nil:
		err = m.leave(t, mark)
	case ctx.Err() != nil:
		err = errors.New("the move was interrupted; `start` goes on with it")
	default:
		n.log.Error("the move of the region's store has stopped; the embedded store goes on as before", "cause", err, "next", "docs/operations/migrate-store.md")
	}
	if closing := t.close(); closing != nil {
		n.log.Warn("the connections of the move did not close", "cause", closing)
	}
	m.mu.Lock()
	m.err = err
	m.gone = mark.State == MoveDone
	close(m.ended)
	m.mu.Unlock()
}

func (m *moving) mover(t *moveTarget, mark *MoveMark, o MoveOptions) (*move.Mover, error) {
	n := m.node
	keys, ok := n.keys.(*local.Keyring)
	if !ok {
		return nil, errMoveDatabase
	}
	options := move.Options{Records: n.backups.source.records, Rows: t.rows, Rate: o.Rate, MaxPause: o.MaxPause, Full: o.Full, Hold: o.Hold, Logger: n.log}
	for _, s := range m.shelves {
		to, err := t.records.Shelf(context.Background(), s.name)
		if err != nil {
			return nil, err
		}
		options.Shelves = append(options.Shelves, move.Shelf{Name: s.name, From: s.file, To: to, Buckets: s.buckets})
	}
	ledger, err := t.keys.Shelf(context.Background(), erasuresShelf)
	if err != nil {
		return nil, err
	}
	// The names that a node over the database asks for first: none may be new there.
	secret, err := keys.Named(linkName)
	if err != nil {
		return nil, err
	}
	options.Freeze = func(why *policy.Error) error { m.ledger.Shut(why); keys.Freeze(why); return nil }
	options.Thaw = func() { m.ledger.Shut(nil); keys.Thaw() }
	options.Hand = func(ctx context.Context, r *move.Report) error {
		var d MovedDetails
		var err error
		if d.Erasures, err = m.ledger.MoveTo(ledger); err != nil {
			return err
		}
		if d.Keys, err = keytable.Import(ctx, keytable.ImportOptions{Shelf: t.keyRows, Region: n.region(), Custodian: t.custodian, From: keys, Move: mark.ID}); err != nil {
			return err
		}
		r.Details = d
		return m.hand(ctx, t, mark, r, secret, d.Keys.Generation-1)
	}
	return move.New(options)
}

// hand makes the database the region's with this node's mark. The database's note
// follows (leave, or the next start): whoever has no mark is refused until then.
func (m *moving) hand(ctx context.Context, t *moveTarget, mark *MoveMark, r *move.Report, secret [32]byte, generation uint64) error {
	err := t.link.Update(func(tx shelf.Tx) error {
		sum := linkTo(secret)
		return tx.Put(bucketLink, linkKey, sum[:])
	})
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	done := *mark
	done.State, done.Report, done.Keys = MoveDone, r, &MovedKeys{Generation: generation}
	if err := done.save(m.node.cfg.DataDir); err != nil {
		return errors.Join(err, mark.save(m.node.cfg.DataDir)) // it may be there all the same
	}
	*mark = done
	return nil
}

// leave destroys the key table that the records have moved from. The node serves
// nothing any more: keys that are read are its last.
func (m *moving) leave(t *moveTarget, mark *MoveMark) error {
	n := m.node
	mark.Report = m.job.Status().Report // with the pause
	n.log.Info("the records are in the region's database; the key table that they had is destroyed now, and the node ends", "pause", mark.Report.Pause.String(), "rows", mark.Report.Rows)
	if err := noteDone(t.link, mark.ID); err != nil {
		n.log.Warn("the database does not say yet that the move is done; this node does so when it starts", "cause", err)
	}
	if err := n.keys.Close(); err != nil {
		return fmt.Errorf("close the keyring: %w", err)
	}
	if err := n.cfg.surrender(context.Background(), n, mark); err != nil {
		return errors.Join(err, errUnfinished)
	}
	return keytable.NoteFates(t.keyRows, mark.Keys.Fates)
}

var errUnfinished = errors.New("the records are in the database, but the key table that they had is not destroyed: run `domicile-dataplane region migrate-store finish` with the configuration of before, then start the node with the new one")

// surrender destroys the embedded key table and notes it in the mark.
func (c Config) surrender(ctx context.Context, n *Node, mark *MoveMark) error {
	o, err := c.keyring(n.door, n.material.Identity.Cluster)
	if err != nil {
		return err
	}
	o.Logger = n.log
	fates, err := local.Surrender(ctx, o)
	if err != nil {
		return err
	}
	mark.Keys.Destroyed, mark.Keys.Fates = true, fates
	return mark.save(c.DataDir)
}

// abort takes a move back: nothing of the region stays in the databases.
func (m *moving) abort(ctx context.Context) error {
	m.interrupt()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs() {
		return errors.New("the move was started again meanwhile: `abort` once more")
	}
	n := m.node
	mark, err := readMove(n.cfg.DataDir)
	if err != nil || mark == nil {
		return errors.Join(err, errors.New("there is no move"))
	}
	if mark.State != MoveBegun {
		return errors.New("the records are in the database: that cannot be taken back")
	}
	to, err := n.futureConfig(mark.To)
	if err != nil {
		return err
	}
	t, err := n.openTarget(ctx, to)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(m.shelves))
	for _, s := range m.shelves {
		names = append(names, s.name)
	}
	if err := errors.Join(t.clear(ctx, mark.ID, names), t.close()); err != nil {
		return err
	}
	m.job, m.err = nil, nil
	return removeMove(n.cfg.DataDir)
}

// FinishMove does what a move has left to do on a node that does not run: it
// destroys the key table that the records have moved from, for which it needs the
// configuration that the node had, and with remove the files of the embedded
// store, which open with nothing but the new key table.
func FinishMove(ctx context.Context, cfg Config, remove bool) (MoveStatus, error) {
	mark, err := readMove(cfg.DataDir)
	if err != nil {
		return MoveStatus{}, err
	}
	if mark == nil || mark.State != MoveDone {
		return MoveStatus{}, errors.New("no move of this node is done")
	}
	if !mark.Keys.Destroyed {
		if err := surrenderOffline(ctx, cfg, mark); err != nil {
			return MoveStatus{}, err
		}
	}
	if remove {
		if err := removeEmbedded(cfg.DataDir, mark); err != nil {
			return MoveStatus{}, err
		}
	}
	return ReadMoveStatus(cfg)
}
