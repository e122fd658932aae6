package keytable

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/copied"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/policy"
)

// Options of a table. Shelf, Region, Custodian and Leases are required.
type Options struct {
	Shelf     shelf.Shelf     // with Buckets
	Region    policy.RegionID // bound into every wrapped key
	Custodian local.Custodian // keeps the generations' keys; closed with the table, and when that does not open
	Leases    lease.Leases    // who rotates
	Copy      *copied.Copy    // of Shelf, which is its Shelf then; nil: there is none

	Existing bool // refuse to make a new table: records exist that need the old one

	RotateEvery   time.Duration // age at which a generation is replaced; 0: only when asked
	RotateSpacing time.Duration // at least between two rotations that Retire asked for; 0 none
	Refresh       time.Duration // how often custodian and shelf are asked whether they are there; 0: 30 s

	Rand    io.Reader            // source of keys; nil is crypto/rand
	Now     func() time.Time     // nil: time.Now
	Elapsed func() time.Duration // since any fixed moment, never jumping; nil: CLOCK_BOOTTIME
	Logger  *slog.Logger         // nil discards

	step func(string) error // tests stop a rotation after a step
}

const (
	defaultRefresh  = 30 * time.Second
	custodianAnswer = 10 * time.Second
)

// Bounds of what is kept unwrapped (about 150 bytes each).
const (
	cachedKeys  = 1 << 16
	cachedNames = 1 << 12
)

// Table is the key table as one node sees it. It is safe for concurrent use.
type Table struct {
	o     Options
	log   *slog.Logger
	cache *local.KeyCache[store.KeyID]
	named *local.KeyCache[string]
	uses  local.KeyUses
	views map[store.KeyUse]*view

	drawing sync.Mutex // held while a block is made; before mu

	mu     sync.Mutex
	sheet  *sheet        // of the newest generation that this node knows; nil: not held
	until  time.Duration // Elapsed at which it is given up
	away   error         // why custodian or shelf did not answer last time
	ready  []drawn
	turns  turns
	closed bool

	wake  chan struct{}
	stop  context.CancelFunc
	ended sync.WaitGroup
}

var _ store.Keys = (*Table)(nil)

// sheet is an opened sheet.
type sheet struct {
	generation uint64
	created    time.Time
	kind       string
	token      []byte
	secrets
}

// drawn is a key that is durable and not yet used.
type drawn struct {
	id  store.KeyID
	key [32]byte
}

// Open opens the key table on a shelf, or makes a new one there.
func Open(ctx context.Context, o Options) (*Table, error) {
	if o.Shelf == nil || o.Region == "" || o.Custodian == nil || o.Leases == nil {
		return nil, errors.New("open the key table: shelf, region, custodian and leases must be given")
	}
	o.defaults()
	t := newTable(o)
	if err := t.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the key table of %s: %w", o.Region, err), o.Custodian.Close())
	}
	if o.Copy != nil {
		if err := o.Copy.Begin(ctx, t.CopyKey()); err != nil {
			return nil, errors.Join(fmt.Errorf("open the key table of %s: %w", o.Region, err), o.Custodian.Close())
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.stop = cancel
	t.ended.Go(func() { t.watch(ctx) })
	t.ended.Go(func() { o.Leases.Run(ctx, lease.Keys, t.work) })
	return t, nil
}

func newTable(o Options) *Table {
	t := &Table{o: o, log: o.Logger, cache: local.NewKeyCache[store.KeyID](cachedKeys), named: local.NewKeyCache[string](cachedNames), wake: make(chan struct{}, 1)}
	t.views = viewsOf(t)
	return t
}

func (o *Options) defaults() {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		o.Elapsed = bootTime
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Refresh <= 0 {
		o.Refresh = defaultRefresh
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
}

// bootTime goes on while the machine sleeps: keys must not live longer for it.
func bootTime() time.Duration { return kernel.BootTime() }

// load opens the newest sheet, after making the first where there is none.
func (t *Table) load(ctx context.Context) error {
	if err := shelf.Format(t.o.Shelf, "the key table", format); err != nil {
		return err
	}
	err := t.reload(ctx)
	if !errors.Is(err, errEmpty) {
		return err
	}
	if t.o.Existing {
		return errors.New("there are records but the key database holds no key table: put it back (docs/operations/several-nodes.md, \"The key database is lost\"); a new one would open nothing")
	}
	if t.o.Copy != nil {
		if err := t.o.Copy.Vacant(ctx); err != nil {
			return err
		}
	}
	if err := t.found(ctx); err != nil {
		return err
	}
	return t.reload(ctx)
}

var errEmpty = errors.New("the shelf holds no key table")

// found makes generation 1. Of two nodes that do it at once one is first, and
// the other's is thrown away.
func (t *Table) found(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	token, key, err := t.o.Custodian.Create(ctx, 1)
	if err != nil {
		return fmt.Errorf("make the key of generation 1: %w", err)
	}
	defer clear(key[:])
	s := &sheet{generation: 1, created: t.o.Now().UTC().Truncate(time.Second), kind: t.o.Custodian.Kind(), token: token}
	defer s.wipe()
	birth := tableKey{Birth: 1, Version: 1}
	for _, to := range []*[]byte{&s.Tag, &s.Names, &birth.Key} {
		if *to, err = t.randomKey(); err != nil {
			return err
		}
	}
	s.Tables = []tableKey{birth}
	first := true
	err = t.o.Shelf.Update(func(tx shelf.Tx) error {
		current, err := tx.Get(bucketState, stateCurrent)
		if first = current == nil; err != nil || !first {
			return err
		}
		if err := putJSON(tx, bucketBirths, number(1), birthRow{Version: 1}); err != nil {
			return err
		}
		return t.putSheet(tx, s, key)
	})
	if err == nil && !first {
		_, err = t.o.Custodian.Destroy(ctx, 1, token)
	}
	return err
}

// putSheet writes a sheet and makes its generation the current one.
func (t *Table) putSheet(tx shelf.Tx, s *sheet, key [32]byte) error {
	w, err := newBinder(key[:], t.o.Region, "sheet", t.o.Rand)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(s.secrets)
	if err != nil {
		return err
	}
	defer clear(plain)
	row := sheetRow{Kind: s.kind, Token: s.token, Created: s.created}
	if row.Sealed, err = w.seal(plain, number(s.generation)); err != nil {
		return err
	}
	return errors.Join(putJSON(tx, bucketSheets, number(s.generation), row),
		putJSON(tx, bucketFates, number(s.generation), fate{Created: s.created}),
		tx.Put(bucketState, stateCurrent, number(s.generation)))
}

// reload opens the newest sheet of the shelf; what was held is kept when it does
// not open.
func (t *Table) reload(ctx context.Context) error {
	s := &sheet{}
	var row sheetRow
	err := t.o.Shelf.View(func(tx shelf.Tx) error {
		row = sheetRow{}
		current, err := tx.Get(bucketState, stateCurrent)
		if err != nil {
			return err
		}
		if current == nil {
			return errEmpty
		}
		s.generation = numberIn(current)
		ok, err := readJSON(tx, bucketSheets, current, &row)
		if err == nil && !ok {
			return errChanged
		}
		return err
	})
	if err != nil {
		return err
	}
	if row.Kind != t.o.Custodian.Kind() {
		return fmt.Errorf("its generations are kept by %q and the configuration says %q: put the former back", row.Kind, t.o.Custodian.Kind())
	}
	asked := t.o.Elapsed()
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	key, err := t.o.Custodian.Unwrap(ctx, s.generation, row.Token, store.UseNode)
	if err != nil {
		return fmt.Errorf("unwrap the key of generation %d: %w", s.generation, err)
	}
	defer clear(key[:])
	w, err := newBinder(key[:], t.o.Region, "sheet", t.o.Rand)
	if err != nil {
		return err
	}
	plain, err := w.open(row.Sealed, number(s.generation))
	if err != nil {
		return fmt.Errorf("the sheet of generation %d: %w", s.generation, err)
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, &s.secrets); err != nil {
		return errChanged
	}
	s.created, s.kind, s.token = row.Created, row.Kind, row.Token
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sheet != nil && t.sheet.generation > s.generation { // another goroutine was faster
		s.wipe()
		return nil
	}
	t.sheet, t.until, t.away = s, asked+policy.KeysFor, nil
	return nil
}

// Close implements store.Keys; closing twice is harmless. The shelf stays open.
func (t *Table) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.mu.Unlock()
	t.stop()
	t.ended.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop()
	return t.o.Custodian.Close()
}

// String names the table without its keys.
func (t *Table) String() string { return "key table of " + string(t.o.Region) + " [redacted]" }

// GoString is String.
func (t *Table) GoString() string { return t.String() }
