package local

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
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

	// DiskUsed tells the used share of the disk in [0, 1]; asked at most once a
	// second. nil asks the file system. From 0.95 on, Append answers STORAGE_FULL.
	DiskUsed func() (float64, error)

	// OnCorrupt is called for every sealed value that does not open; kind is one
	// of a closed list ("frame", "fold", "rollup", …), fit for a metric label.
	OnCorrupt func(kind string)

	// FS is pebble's file system; nil is the real one. Tests inject errors here.
	FS vfs.FS
}

// Store keeps the records of one region in pebble. It is safe for concurrent use.
type Store struct {
	dir             string
	db              *pebble.DB
	region          policy.RegionID
	keys            store.Keys
	log             *slog.Logger
	now             func() time.Time
	rand            io.Reader
	onCorrupt       func(string)
	maxPending      int
	maxPendingBytes int
	disk            *diskGauge

	writer        [16]byte // random per process start
	ids           cipher.Block
	indexKey      [32]byte
	tokens        cipher.AEAD
	rows          rowSealer
	aeads         *aeadCache
	frames        *frameCache
	subjects      tagCache
	suspects      chan frameID
	stop, watched chan struct{}
	destroyed     atomic.Uint64 // counts calls of Keys.Destroy; see aeadOf
	receipts      *store.Receipts
	logSeq        atomic.Uint64 // the last number of an entry of the region's log
	logReads      atomic.Uint64 // counts calls of Noted
	logOnce       sync.Mutex    // held while rows of the log are compared and put
	seen          *seen
	sealers       chan struct{} // bounds the goroutines that compress and seal

	mu      sync.Mutex
	tenants map[policy.TenantID]*tenant // one that was purged stays, ended
	closed  bool
	working sync.WaitGroup // calls and committers under way

	failed atomic.Pointer[policy.Error]
}

var _ store.Store = (*Store)(nil)

// Open opens or makes the store in o.Dir. It refuses a folder of another region
// or newer schema, and one whose keyring is not the one it was made with.
func Open(o Options) (*Store, error) {
	if o.Dir == "" || o.Region == "" || o.Keys == nil {
		return nil, errors.New("open local store: Dir, Region and Keys must be set")
	}
	s := &Store{dir: o.Dir, region: o.Region, keys: o.Keys, log: o.Logger, now: o.Now, rand: o.Rand, onCorrupt: o.OnCorrupt,
		maxPending: o.MaxPending, maxPendingBytes: o.MaxPendingBytes, tenants: map[policy.TenantID]*tenant{},
		sealers: make(chan struct{}, runtime.GOMAXPROCS(0)), suspects: make(chan frameID, maxSuspects), stop: make(chan struct{}), watched: make(chan struct{})}
	s.defaults(&o)
	if err := s.openKeys(); err != nil {
		return nil, fmt.Errorf("open local store: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open local store: %w", err)
	}
	if err := errors.Join(s.checkManifest(o.Dir), checkLogs(o.Dir)); err != nil {
		return nil, fmt.Errorf("open local store %s: %w", o.Dir, err)
	}
	db, err := pebble.Open(o.Dir, s.pebbleOptions(o.FS))
	if err != nil {
		return nil, fmt.Errorf("open local store %s: %w", o.Dir, err)
	}
	s.db = db
	if err := s.checkMeta(); err != nil {
		return nil, fmt.Errorf("open local store %s: %w", o.Dir, errors.Join(err, db.Close()))
	}
	if err := s.openLog(); err != nil {
		return nil, fmt.Errorf("open local store %s: find the end of the region's log: %w", o.Dir, errors.Join(err, db.Close()))
	}
	if err := s.finishDestroying(nil); err != nil {
		return nil, fmt.Errorf("open local store %s: finish an erasure that was cut short: %w", o.Dir, errors.Join(err, db.Close()))
	}
	s.seen = newSeen()
	go s.seen.fill(db)
	go s.watchSuspects()
	return s, nil
}

func (s *Store) defaults(o *Options) {
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.maxPending <= 0 {
		s.maxPending = 1 << 16
	}
	if s.maxPendingBytes <= 0 {
		s.maxPendingBytes = 64 << 20
	}
	if o.FrameCache <= 0 {
		o.FrameCache = 64 << 20
	}
	s.frames = newFrameCache(o.FrameCache)
	s.disk = newDiskGauge(o.Dir, o.DiskUsed)
}

// openKeys fetches the named keys and draws this start's writer id.
func (s *Store) openKeys() (err error) {
	s.aeads = newAEADCache(s.now)
	if _, err := io.ReadFull(s.rand, s.writer[:]); err != nil {
		return err
	}
	if s.indexKey, err = s.keys.Named("store/index"); err != nil {
		return err
	}
	idKey, err := s.keys.Named("store/id")
	if err != nil {
		return err
	}
	if s.ids, err = aes.NewCipher(idKey[:]); err != nil {
		return err
	}
	if s.receipts, err = store.NewReceipts(s.keys); err != nil {
		return err
	}
	tokenKey, err := s.keys.Named("store/page-token")
	if err != nil {
		return err
	}
	s.tokens, err = newAEAD(tokenKey)
	return err
}

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, permit policy.Permit, recs []record.Record) ([]store.Appended, error) {
	t, err := s.enter(permit, policy.Ingest)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	if err := s.usable(); err != nil {
		return nil, err
	}
	if len(recs) == 0 {
		return nil, nil
	}
	if err := s.disk.check(s.now()); err != nil {
		return nil, err
	}
	size := 0
	for i := range recs {
		if len(recs[i].Native) > store.MaxNative {
			return nil, policy.Errorf(policy.PayloadTooLarge, "a record's native payload may hold %d bytes", store.MaxNative)
		}
		size += len(recs[i].Native)
	}
	if len(recs) > store.MaxAppend {
		return nil, policy.Errorf(policy.InvalidArgument, "at most %d records at once", store.MaxAppend)
	}
	return t.append(ctx, recs, size, uint64(permit.Revision()))
}

// enter checks the permit and finds the tenant's committer. The caller holds the
// store open until it calls s.working.Done.
func (s *Store) enter(permit policy.Permit, op policy.Operation) (*tenant, error) {
	return s.enterFor(permit, op, policy.CallRecord)
}

// enterAny takes a permit for any of some operations on call records.
func (s *Store) enterAny(permit policy.Permit, ops ...policy.Operation) (*tenant, error) {
	if slices.Contains(ops, permit.Operation()) {
		return s.enter(permit, permit.Operation())
	}
	return s.enter(permit, ops[0])
}

func (s *Store) enterFor(permit policy.Permit, op policy.Operation, class policy.DataClass) (*tenant, error) {
	id := permit.Tenant()
	if !permit.Allows(id, op, class) {
		return nil, policy.Errorf(policy.PermissionDenied, "the permit does not cover %s of %s", op, class)
	}
	if permit.Region() != s.region {
		return nil, policy.Errorf(policy.PermissionDenied, "the permit is for another region")
	}
	raw, err := rawTenant(id)
	if err != nil {
		return nil, err
	}
	return s.tenantAt(id, raw)
}

// tenantAt finds or makes a tenant's committer. The caller holds the store open
// until it calls s.working.Done.
func (s *Store) tenantAt(id policy.TenantID, raw tenantRaw) (t *tenant, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStopping
	}
	t, ok := s.tenants[id]
	if !ok {
		if t, err = s.newTenant(id, raw); err != nil {
			return nil, err
		}
		s.tenants[id] = t
	}
	s.working.Add(1)
	return t, nil
}

var errStopping = policy.Errorf(policy.NotReady, "the record store is closed; the process is stopping")

// usable reports why nothing can be written, else nil.
func (s *Store) usable() error {
	if err := s.failed.Load(); err != nil {
		return err
	}
	return nil
}

// fail remembers the first failed write. Nothing is acknowledged after it: what
// the disk holds is unknown until the log is read again.
func (s *Store) fail(cause error) error {
	err := &policy.Error{Reason: policy.OutcomeUnknown, Cause: cause,
		Message: "the record store could not sync to disk; the records may or may not be stored; send them again after the node has restarted on a sound disk"}
	if s.failed.CompareAndSwap(nil, err) {
		s.log.Error("record store stops acknowledging", "cause", cause)
	}
	return s.failed.Load()
}

// Healthy implements store.Store.
func (s *Store) Healthy() error {
	if err := s.usable(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStopping
	}
	return nil
}

// Close implements store.Store: it waits for what is under way. Closing twice is harmless.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	<-s.watched
	s.working.Wait()
	s.seen.close()
	if err := s.usable(); err != nil {
		_ = s.db.Close() // says again what failed
		return err
	}
	// With the log empty, every acknowledged byte is in a checksummed table.
	if err := errors.Join(s.db.Flush(), s.db.Close()); err != nil {
		return fmt.Errorf("close local store: %w", err)
	}
	return s.stampClosed()
}

func isReason(err error, r policy.Reason) bool {
	return errors.Is(err, &policy.Error{Reason: r})
}
