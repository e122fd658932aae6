package sealed

import (
	"context"
	"errors"
)

// Engine keeps rows, bytes under bytes, in the order of their keys. All keys of
// a tenant's rows are one byte of their kind and 16 of the tenant, then the
// rest (schema.go). Values that an engine sees are sealed, keyed tags, ordinals
// or times.
//
// dataplane/store/local keeps rows in a folder for one process,
// dataplane/store/sql in a database for several. All methods are safe for
// concurrent use. An error that is a *policy.Error says itself what is to be
// done; after any other failed write the store stops for good, because nobody
// knows what was kept.
type Engine interface {
	// Get reads one row; nil when there is none.
	Get(key []byte) ([]byte, error)
	// GetAll reads rows of one tenant and kind, in the order of keys; nil where there is none.
	GetAll(keys [][]byte) ([][]byte, error)
	// Rows gives the rows in [lower, upper), which begin with one kind.
	Rows(lower, upper []byte) (Rows, error)
	NewBatch() Batch

	// Begin waits for a tenant's turn: until it ends, no other of its kind begins,
	// in any process that uses the rows.
	Begin(tenant [16]byte, kind TurnKind) (Turn, error)
	// Look tells a tenant's standing without waiting for a turn.
	Look(tenant [16]byte) (Standing, error)
	// Write makes a batch visible that needs no turn and no sync: what is lost of
	// it is done again.
	Write(b Batch) error
	// Settle returns when all that can be read is durable; started: also what the
	// engine found when it was opened.
	Settle(started bool) error
	// Writable writes and syncs something, to see that it can.
	Writable() error
	// Compact gives up the space of rows that were deleted, where the engine can.
	Compact(ctx context.Context, prefixes [][]byte) error

	// Shared reports whether other processes may use the rows too. Then a tenant's
	// standing counts, and looking rows up one by one costs a journey each.
	Shared() bool
	// Damaged reports whether an error of a read means that rows are not what was written.
	Damaged(err error) bool
	Size() uint64 // about how many bytes there are
	Healthy() error
	Close() error
}

// Rows walks over rows; each move reports whether there is one. Key
// and value are valid until the next move.
type Rows interface {
	First() bool
	Next() bool
	Prev() bool
	Last() bool
	Valid() bool
	Key() []byte
	ValueAndErr() ([]byte, error)
	Error() error
	Close() error
}

// Batch is a set of changes that are made at once; of several of one row the
// last holds. It keeps no slice that it was given.
type Batch interface {
	Set(key, value []byte) error
	Delete(key []byte) error
	DeleteRange(lower, upper []byte) error
	Count() int
	Reset() // forgets what was put in
	// Wait returns when the batch, which was committed, is durable.
	Wait() error
	Close() error
}

// TurnKind says what a turn is taken for.
type TurnKind byte

// The kinds of turns. Whoever takes several takes them in this order.
const (
	RewriteTurn TurnKind = 'r' // to change what is stored; lasts over many commits
	WriteTurn   TurnKind = 'w' // to write
	ItemTurn    TurnKind = 'i' // to compare an item and put it
)

// Turn is the right to do something to a tenant, which one has at a time.
type Turn interface {
	// Standing is the tenant's, as the one before left it.
	Standing() Standing
	// Commit makes a batch visible, and the next standing, and ends the turn; the
	// batch is durable after its Wait. With policy.OutcomeUnknown it may or may not
	// be visible, after any other error it is not.
	Commit(b Batch, next Standing) error
	// End gives an unused turn back; after Commit it does nothing.
	End()
}

// Standing is what processes that share rows must know of each other about one
// tenant. An engine of one process has none: it stays zero.
type Standing struct {
	Last   int64    // ingest time of the latest group, µs
	Shape  uint64   // counts changes of anything but appends: what is cached of the tenant is out of date
	Writer [16]byte // the process start that wrote last: nobody else goes on with a chunk
}

// ErrAgain is a cause of errors after which a turn may be taken anew at once:
// nothing was written, because something got in between.
var ErrAgain = errors.New("something got in between")

func isAgain(err error) bool { return errors.Is(err, ErrAgain) }
