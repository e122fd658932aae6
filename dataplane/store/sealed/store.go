package sealed

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a Store. Region and Keys are required.
type Options struct {
	Region policy.RegionID  // bound into every sealed byte
	Keys   store.Keys       // the region's key service; the caller closes it after the store
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
	Rand   io.Reader        // ids and salts; nil is crypto/rand

	MaxPending      int // records waiting per tenant before OVERLOADED; 0 is 65,536
	MaxPendingBytes int // native bytes waiting per tenant before OVERLOADED; 0 is 64 MiB
	FrameCache      int // bytes of opened frames kept for reads; 0 is 64 MiB

	// Room is asked before anything is taken in; it answers STORAGE_FULL when
	// there is no room. nil: the engine says so itself.
	Room func(now time.Time) error

	// OnCorrupt is called for every sealed value that does not open; kind is one
	// of a closed list ("frame", "fold", "rollup", …), fit for a metric label.
	OnCorrupt func(kind string)

	// Backup is told of rows that take the place of others whose keys are destroyed
	// next, and of new holds, certificates and ownerships: what a backup of before
	// would lack. It is called after they are durable and before the keys go, must
	// come back soon, and cannot hold the destruction up. nil: there are no backups.
	Backup func(tenant policy.TenantID, rows []Row)
}

// Store keeps the records of one region in an engine. It is safe for concurrent use.
type Store struct {
	engine          Engine
	region          policy.RegionID
	keys            store.Keys
	log             *slog.Logger
	now             func() time.Time
	rand            io.Reader
	onCorrupt       func(string)
	backup          func(policy.TenantID, []Row)
	room            func(time.Time) error
	maxPending      int
	maxPendingBytes int

	writer        [16]byte // random per process start
	ids           cipher.Block
	indexKey      [32]byte
	tokens        cipher.AEAD
	rows          rowSealer
	aeads         *aeadCache
	frames        *frameCache
	subjects      tagCache
	suspects      chan suspected
	badCells      chan tenantRaw // tenants of which a counter does not open
	stop, watched chan struct{}
	destroyed     atomic.Uint64 // counts calls of Keys.Destroy; see aeadOf
	receipts      *store.Receipts
	logSeq        atomic.Uint64 // the last number of an entry of the region's log
	seqStep       uint64        // numbers of entries are those that leave seqOwn when divided by it
	seqOwn        uint64
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

// Open makes a store of an engine's rows. It refuses those of another region or
// newer schema, and those whose keyring is not the one they were made with. Close
// closes the engine; after an error the caller does.
func Open(engine Engine, o Options) (*Store, error) {
	if o.Region == "" || o.Keys == nil {
		return nil, errors.New("options Region and Keys must be set")
	}
	s := &Store{engine: engine, region: o.Region, keys: o.Keys, log: o.Logger, now: o.Now, rand: o.Rand, onCorrupt: o.OnCorrupt, backup: o.Backup, room: o.Room,
		maxPending: o.MaxPending, maxPendingBytes: o.MaxPendingBytes, tenants: map[policy.TenantID]*tenant{},
		sealers: make(chan struct{}, runtime.GOMAXPROCS(0)), suspects: make(chan suspected, maxSuspects), badCells: make(chan tenantRaw, maxSuspects), stop: make(chan struct{}), watched: make(chan struct{})}
	s.defaults(&o)
	if err := s.openKeys(); err != nil {
		return nil, err
	}
	if err := s.checkMeta(); err != nil {
		return nil, err
	}
	if err := s.openLog(); err != nil {
		return nil, fmt.Errorf("find the end of the region's log: %w", err)
	}
	if err := s.finishDestroying(nil); err != nil {
		return nil, fmt.Errorf("finish an erasure that was cut short: %w", err)
	}
	if err := s.recellLater(); err != nil {
		return nil, err
	}
	if !engine.Shared() { // else others add tags, too
		s.seen = newSeen()
		go s.seen.fill(engine)
	}
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
	if s.room == nil {
		s.room = func(time.Time) error { return nil }
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
	s.frames = newFrameCache(o.FrameCache, s.now)
}

// IndexKey is the name of the region's key that a store knows its own by.
const IndexKey = "store/index"

// openKeys fetches the named keys and draws this start's writer id.
func (s *Store) openKeys() (err error) {
	s.aeads = newAEADCache(s.now)
	if _, err := io.ReadFull(s.rand, s.writer[:]); err != nil {
		return err
	}
	if s.indexKey, err = s.keys.Named(IndexKey); err != nil {
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
	if err := s.room(s.now()); err != nil {
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
	t, err := s.tenantAt(id, raw)
	if err != nil || op == policy.Ingest { // ingest looks when its turn has come
		return t, err
	}
	if err := t.refresh(); err != nil {
		s.working.Done()
		return nil, err
	}
	return t, nil
}

// tenantAt finds or makes a tenant's committer. The caller holds the store open
// until it calls s.working.Done.
func (s *Store) tenantAt(id policy.TenantID, raw tenantRaw) (t *tenant, err error) {
	for {
		s.mu.Lock()
		switch known := s.tenants[id]; {
		case s.closed:
			err = errStopping
		case known != nil:
			s.working.Add(1)
			t = known
		case t != nil:
			s.tenants[id] = t
			s.working.Add(1)
		}
		s.mu.Unlock()
		if t != nil || err != nil {
			return t, err
		}
		if t, err = s.newTenant(id, raw); err != nil {
			return nil, err
		}
	}
}

var errStopping = policy.Errorf(policy.NotReady, "the record store is closed; the process is stopping")

// usable reports why nothing can be written, else nil.
func (s *Store) usable() error {
	if err := s.failed.Load(); err != nil {
		return err
	}
	return nil
}

// fail remembers the first failed write of which the engine does not say what
// became. Nothing is acknowledged after it: what the disk holds is unknown until
// the log is read again.
func (s *Store) fail(cause error) error {
	var said *policy.Error
	if errors.As(cause, &said) {
		return cause
	}
	err := &policy.Error{Reason: policy.OutcomeUnknown, Cause: cause,
		Message: "the record store could not sync to disk; the records may or may not be stored; send them again after the node has restarted on a sound disk"}
	if s.failed.CompareAndSwap(nil, err) {
		s.log.Error("record store stops acknowledging", "cause", cause)
	}
	return s.failed.Load()
}

// Failed reports the failed write after which the store stopped, else nil.
func (s *Store) Failed() error { return s.usable() }

// ForgetOld drops keys and opened frames that are held for policy.KeysFor or longer.
// Called often it keeps the promise that what was destroyed by another node, or whose
// key service is gone, does not live on in memory because nobody asked for it again.
func (s *Store) ForgetOld() {
	s.aeads.expire()
	s.frames.expire()
}

// ForgetFrames drops the frames that are kept opened; the next read opens them anew.
func (s *Store) ForgetFrames() { s.frames.clear() }

// Fail stops the store for good: its engine cannot go on.
func (s *Store) Fail(cause error) { _ = s.fail(cause) }

// Healthy implements store.Store.
func (s *Store) Healthy() error {
	if err := s.usable(); err != nil {
		return err
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errStopping
	}
	return s.engine.Healthy()
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
	if s.seen != nil {
		s.seen.close()
	}
	err := s.engine.Close()
	if failed := s.usable(); failed != nil {
		return failed // the engine says again what failed
	}
	return err
}

func isReason(err error, r policy.Reason) bool {
	return errors.Is(err, &policy.Error{Reason: r})
}
