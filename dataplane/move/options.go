package move

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/policy"
)

// Options of a Mover. Records, Rows and Hand are required.
type Options struct {
	Records *localstore.Store // what moves
	Rows    *sqlstore.Rows    // where it moves to: empty, or what an earlier try left
	Shelves []Shelf

	// Freeze lets whatever else is handed over not change any more, and Thaw lets
	// it again; nil: there is nothing else.
	Freeze func(why *policy.Error) error
	Thaw   func()
	// Hand hands over what is neither row nor shelf, keys last, and makes the
	// database the region's, durably: with nil the move is done and cannot be undone,
	// with an error it is not. ctx ends when the pause has taken too long; it must
	// not be looked at any more once the move cannot be undone.
	Hand func(ctx context.Context, r *Report) error

	Rate     int64         // bytes a second that a pass reads; 0: no limit
	MaxPause time.Duration // after which the store is opened again and the switch has failed; 0: 1 minute
	Full     bool          // compare every row during the pause, too
	Hold     bool          // wait for Switch

	Logger *slog.Logger // nil discards
	Step   func(name string) error
}

// Shelf is a file of the node and the shelf that it becomes.
type Shelf struct {
	Name    string
	From    *bolt.Shelf
	To      shelf.Shelf
	Buckets []shelf.Bucket
}

const (
	defaultMaxPause = time.Minute

	partRows  = 16 << 10 // of one part of a pass
	partBytes = 8 << 20
	noteKeys  = 1 << 19 // changes that are noted at most, about 100 bytes each

	// From so many changes on, writers are slowed down: fewer than a part of a pass
	// reads, so that every pass ends, whatever is written.
	pressAt = partRows / 2

	fewChanges = 2_000 // so many may be left to the pause
	followFor  = 200 * time.Millisecond
	maxFollow  = 50 // rounds after which the pause begins with what is left

	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
)

func (o *Options) check() error {
	if o.Records == nil || o.Rows == nil || o.Hand == nil {
		return errors.New("move a store: Records, Rows and Hand must be set")
	}
	if o.MaxPause <= 0 {
		o.MaxPause = defaultMaxPause
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Freeze == nil {
		o.Freeze = func(*policy.Error) error { return nil }
	}
	if o.Thaw == nil {
		o.Thaw = func() {}
	}
	if o.Step == nil {
		o.Step = func(string) error { return nil }
	}
	return nil
}
