package local

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/domicile-io/domicile/dataplane/disk"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// Options of a Store. Dir, Region and Keys are required.
type Options struct {
	Dir    string           // pebble's folder, e.g. DataDir/records; made 0700 when absent
	Region policy.RegionID  // bound into every sealed byte
	Keys   store.Keys       // the region's key service; the caller closes it after the store
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
	Rand   io.Reader        // ids and salts; nil is crypto/rand

	MaxPending      int // records waiting per tenant before OVERLOADED; 0 is 65,536
	MaxPendingBytes int // native bytes waiting per tenant before OVERLOADED; 0 is 64 MiB
	FrameCache      int // bytes of opened frames kept for reads; 0 is 64 MiB

	// Room is asked before anything is taken in; it answers STORAGE_FULL when there
	// is no room. nil asks the file system of Dir.
	Room func(now time.Time) error

	// OnCorrupt is called for every sealed value that does not open; kind is one
	// of a closed list ("frame", "fold", "rollup", …), fit for a metric label.
	OnCorrupt func(kind string)

	// Backup is told of rows that take the place of others whose keys are destroyed
	// next, and of new holds, certificates and ownerships: what a backup of before
	// would lack. It is called after they are durable and before the keys go, must
	// come back soon, and cannot hold the destruction up. nil: there are no backups.
	Backup func(tenant policy.TenantID, rows []Row)

	// NoRoom is called when a write of pebble found no room on the disk, before it is
	// tried once more; patient: it is a merge of tables, which can wait. nil: the
	// write fails, and with it the process when it was one of the log's.
	NoRoom func(patient bool)

	// FS is pebble's file system; nil is the real one. Tests inject errors here.
	FS vfs.FS
}

// Store keeps the records of one region in pebble. It is safe for concurrent use.
type Store struct {
	*sealed.Store
	engine *engine
}

var _ store.Store = (*Store)(nil)

// ScrubOptions say how fast a scrub reads.
type ScrubOptions = sealed.ScrubOptions

// ScrubState is how far a pass is.
type ScrubState = sealed.ScrubState

// Open opens or makes the store in o.Dir. It refuses a folder of another region
// or newer schema, and one whose keyring is not the one it was made with.
func Open(o Options) (*Store, error) {
	if o.Dir == "" || o.Region == "" || o.Keys == nil {
		return nil, errors.New("open local store: Dir, Region and Keys must be set")
	}
	if o.Room == nil {
		o.Room = disk.New(o.Dir).Check
	}
	e := &engine{dir: o.Dir, log: o.Logger, onCorrupt: o.OnCorrupt, room: o.Room}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if err := e.open(&o); err != nil {
		return nil, fmt.Errorf("open local store %s: %w", o.Dir, err)
	}
	s, err := sealed.Open(e, sealed.Options{Region: o.Region, Keys: o.Keys, Logger: o.Logger, Now: o.Now, Rand: o.Rand,
		MaxPending: o.MaxPending, MaxPendingBytes: o.MaxPendingBytes, FrameCache: o.FrameCache, OnCorrupt: o.OnCorrupt, Backup: o.Backup,
		Room: o.Room})
	if err != nil {
		return nil, fmt.Errorf("open local store %s: %w", o.Dir, errors.Join(err, e.db.Close()))
	}
	failpoint.At("recovery/end")
	e.store.Store(s)
	e.beginRest()
	return &Store{s, e}, nil
}

// open checks what stands in the folder, as strictly as pebble does not, and
// lets pebble open it.
func (e *engine) open(o *Options) (err error) {
	if e.key, err = o.Keys.Named(sealed.IndexKey); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	if err := errors.Join(e.checkManifest(o.Dir), checkLogs(o.Dir)); err != nil {
		return err
	}
	failpoint.At("recovery/begin")
	e.db, err = openPebble(o.Dir, e.pebbleOptions(withRoom(o.FS, o.NoRoom)))
	failpoint.At("recovery/replayed")
	return err
}
