package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

// Options of a Store. DSN, Dial, Region and Keys are required.
type Options struct {
	DSN    string // secret: a URL or key words, as libpq takes them; of the primary, never of a read replica
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	Region policy.RegionID // bound into every sealed byte
	Keys   store.Keys      // the region's key service, the same on every node; the caller closes it after the store

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
	Rand   io.Reader        // ids and salts; nil is crypto/rand

	Connections int           // at most, in all; 0 is 16, fewer than 4 are 4
	Timeout     time.Duration // of one statement, waiting for a turn included; 0 is 30 s

	MaxPending      int // records waiting per tenant before OVERLOADED; 0 is 65,536
	MaxPendingBytes int // native bytes waiting per tenant before OVERLOADED; 0 is 64 MiB
	FrameCache      int // bytes of opened frames kept for reads; 0 is 64 MiB

	// Backup is told of rows that take the place of others whose keys are destroyed
	// next: see sealed.Options. nil: there are no backups.
	Backup func(tenant policy.TenantID, rows []sealed.Row)

	// Room is asked before anything is taken in; nil: the database says when it is full.
	Room func(now time.Time) error

	// OnCorrupt is called for every sealed value that does not open; kind is one
	// of a closed list ("frame", "fold", "rollup", …), fit for a metric label.
	OnCorrupt func(kind string)
}

// Store keeps the records of one region in a database. It is safe for
// concurrent use, also by other Stores over the same database.
type Store struct {
	*sealed.Store
	engine *engine
}

var _ store.Store = (*Store)(nil)

// Open connects, brings the tables up to date, and opens the store in them. It
// refuses a database of another region, one that a newer program has changed,
// one whose keyring is another, and one that does not sync.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.DSN == "" || o.Dial == nil || o.Region == "" || o.Keys == nil {
		return nil, errors.New("open the record store: DSN, Dial, Region and Keys must be set")
	}
	o.defaults()
	e, err := connect(ctx, &o)
	if err != nil {
		return nil, fmt.Errorf("open the record store: %w", err)
	}
	if err := e.migrate(ctx, migrations); err != nil {
		return nil, fmt.Errorf("open the record store: %w", errors.Join(err, e.Close()))
	}
	s, err := sealed.Open(e, sealed.Options{Region: o.Region, Keys: o.Keys, Logger: o.Logger, Now: o.Now, Rand: o.Rand,
		MaxPending: o.MaxPending, MaxPendingBytes: o.MaxPendingBytes, FrameCache: o.FrameCache, Backup: o.Backup, Room: o.Room, OnCorrupt: o.OnCorrupt})
	if err != nil {
		return nil, fmt.Errorf("open the record store: %w", errors.Join(err, e.Close()))
	}
	return &Store{s, e}, nil
}

func (o *Options) defaults() {
	if o.Connections <= 0 {
		o.Connections = 16
	}
	o.Connections = max(o.Connections, minConnections)
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
}
