package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/policy"
)

// Options of a keyring. Dir and Region are required.
type Options struct {
	Dir    string          // folder of the key table, made 0700 when absent; owned by one process
	Region policy.RegionID // bound into every wrapped key; another region's keyring does not open

	Copy      string    // folder of the table's copy, on another disk of the region; "" none
	Custodian Custodian // keeps the generations' keys; closed with the keyring, and when that does not open; nil: a file
	RootFile  string    // of the file custodian: the root key; "" root.key in Dir
	Existing  bool      // refuse to make a new keyring: records exist that need the old one

	RotateEvery   time.Duration // age at which a generation is replaced; 0: only when asked
	RotateSpacing time.Duration // at least between two rotations that Retire asked for; 0 none
	Refresh       time.Duration // how often the custodian is asked whether it is there; 0: 30 s
	VerifyEvery   time.Duration // how often table and copy are compared; 0: 1 h

	Rand    io.Reader            // source of keys; nil is crypto/rand
	Now     func() time.Time     // nil: time.Now
	Elapsed func() time.Duration // since any fixed moment, never jumping; nil: CLOCK_BOOTTIME
	Logger  *slog.Logger         // nil discards

	// Retry runs a write of the main place, and again when it makes room for one that
	// found none; nil runs it once.
	Retry func(write func() error) error

	step func(string) // tests look at the folders after each step of a rotation
}

const (
	defaultRefresh = 30 * time.Second
	defaultVerify  = time.Hour
)

// Keyring is the region's key table. It is safe for concurrent use. After the
// first failed write or sync it hands out no more keys: what the disk then holds
// is unknown.
type Keyring struct {
	o         Options
	log       *slog.Logger
	places    *places
	locks     []*os.File
	custodian Custodian
	cache     *KeyCache[store.KeyID]
	uses      KeyUses
	turns     turns
	views     map[store.KeyUse]*view
	until     atomic.Int64 // Elapsed at which what is held runs out

	rotating sync.Mutex // held by a rotation, and by mend; before mu

	mu      sync.Mutex
	sheet   *sheet            // of the current generation; its secrets only while held
	held    bool              // the sheet is unsealed
	tables  map[uint64]*table // by birth, opened on demand
	names   *names            // of the current generation
	history *history
	planned uint64 // generation that a rotation is making; 0 none
	asked   bool   // Retire asked for a rotation
	away    error  // why the custodian did not answer last time
	failed  error
	frozen  error // why nothing may be changed for now
	closed  bool

	verified mended // of the last comparison with the copy

	wake  chan struct{}
	stop  context.CancelFunc
	ended sync.WaitGroup
}

var _ store.Keys = (*Keyring)(nil)

// OpenKeyring opens the keyring in o.Dir, or makes a new one there. It refuses
// a folder that another process holds, a root key that is missing or readable
// by others, and files that were changed and that the copy does not mend.
func OpenKeyring(o Options) (*Keyring, error) {
	if o.Dir == "" || o.Region == "" {
		return nil, errors.New("open keyring: Dir and Region must be set")
	}
	o.defaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	k := &Keyring{o: o, log: o.Logger, places: &places{main: o.Dir, copy: o.Copy, log: o.Logger, retry: o.Retry}, custodian: o.Custodian, cache: NewKeyCache[store.KeyID](cachedKeys),
		tables: map[uint64]*table{}, wake: make(chan struct{}, 1)}
	if k.custodian == nil {
		k.custodian = &fileRoot{p: k.places, root: o.RootFile, region: o.Region, rand: o.Rand, now: o.Now}
	}
	k.views = viewsOf(k)
	if err := k.load(); err != nil {
		k.drop()
		_ = errors.Join(k.custodian.Close(), k.unlock())
		return nil, fmt.Errorf("open keyring %s: %w", o.Dir, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.stop = cancel
	k.ended.Go(func() { k.watch(ctx) })
	k.ended.Go(func() { k.work(ctx) })
	return k, nil
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
	if o.RootFile == "" {
		o.RootFile = filepath.Join(o.Dir, rootFile)
	}
	if o.Refresh <= 0 {
		o.Refresh = defaultRefresh
	}
	if o.VerifyEvery <= 0 {
		o.VerifyEvery = defaultVerify
	}
}

// load locks the folders, makes them equal, and opens the newest sheet.
func (k *Keyring) load() error {
	if err := k.lock(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(k.o.Dir, "table-00000001")); err == nil {
		return errors.New("it is of format 1, of before rotation, and no release had that: move data_dir away and start anew")
	}
	if err := k.meet(); err != nil {
		return err
	}
	s, err := newest(k.o.Dir)
	if err != nil {
		return err
	}
	if k.history, err = readHistory(k.o.Dir); err != nil {
		return err
	}
	if s == nil {
		if err := k.found(); err != nil {
			return err
		}
		if s, err = newest(k.o.Dir); err != nil {
			return err
		}
	}
	if s.kind != k.custodian.Kind() {
		return fmt.Errorf("its generations are kept by %q and the configuration says %q: put the former back", s.kind, k.custodian.Kind())
	}
	k.sheet = s
	ctx, cancel := context.WithTimeout(context.Background(), custodianAnswer)
	defer cancel()
	key, err := k.custodian.Unwrap(ctx, s.generation, s.token, store.UseNode)
	if err != nil {
		return fmt.Errorf("unwrap the key of generation %d: %w", s.generation, err)
	}
	defer clear(key[:])
	if err := k.unseal(key); err != nil {
		return err
	}
	list, err := sheets(k.o.Dir)
	if err != nil {
		return err
	}
	k.history.reconcile(s, list, k.o.Now().UTC())
	k.asked = k.history.Asked
	return k.history.save(k.places, k.o.Now().UTC())
}

// lock takes both folders for this process; the locks end with the process.
func (k *Keyring) lock() error {
	f, err := lockDir(k.o.Dir)
	if err != nil {
		return err
	}
	k.locks = append(k.locks, f)
	if k.o.Copy == "" {
		return nil
	}
	if err := os.MkdirAll(k.o.Copy, 0o700); err != nil {
		k.places.behind = err
		return nil
	}
	f, err = lockDir(k.o.Copy)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	if err != nil {
		k.places.behind = err
		return nil
	}
	k.locks = append(k.locks, f)
	return nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := kernel.Lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is held by another process: stop it first: %w", dir, err)
	}
	return f, nil
}

// found makes a new keyring. Until its first sheet is in place nothing was
// sealed under it, and the next start makes it again.
func (k *Keyring) found() error {
	if k.o.Existing {
		return errors.New("there are records but no key table: put it back from its copy (docs/operations/keys.md, \"The key table is lost\"); a new one would open nothing")
	}
	if err := k.places.lag(); err != nil {
		return fmt.Errorf("the table's copy cannot be read, and it may hold the keyring that is missing here: %w", err)
	}
	if used, err := k.used(); err != nil || used {
		return errors.Join(err, errors.New("its newest sheet is missing but keys are there: put it back from its copy (docs/operations/keys.md)"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), custodianAnswer)
	defer cancel()
	s := &sheet{generation: 1, created: k.o.Now().UTC().Truncate(time.Second), kind: k.custodian.Kind()}
	if _, err := io.ReadFull(k.o.Rand, s.ring[:]); err != nil {
		return err
	}
	token, key, err := k.custodian.Create(ctx, 1)
	if err != nil {
		return fmt.Errorf("make the key of generation 1: %w", err)
	}
	defer clear(key[:])
	s.token = token
	first := tableKey{birth: 1, version: 1}
	for _, to := range []*[32]byte{&s.tag, &s.names, &first.key} {
		if *to, err = randomKey(k.o.Rand); err != nil {
			return err
		}
	}
	s.tables = []tableKey{first}
	defer s.wipe()
	t, err := createTable(k.places, k.o.Region, 1, 1, first.key)
	if err != nil {
		return err
	}
	t.drop()
	n, err := createNames(k.places, k.o.Region, 1, s.names, s.tag, nil, k.o.Rand)
	if err != nil {
		return err
	}
	n.drop()
	data, err := s.encode(key, k.o.Region, k.o.Rand)
	if err != nil {
		return err
	}
	if err := k.places.do(syncDir); err != nil {
		return err
	}
	return k.places.writeWhole(sheetName(1), data)
}

// used reports whether keys lie in a folder without a sheet.
func (k *Keyring) used() (bool, error) {
	if _, err := os.Stat(filepath.Join(k.o.Dir, historyFile)); err == nil {
		return true, nil
	}
	found, err := filepath.Glob(filepath.Join(k.o.Dir, "table-*"))
	if err != nil {
		return false, err
	}
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil || info.Size() > tableHead {
			return true, err
		}
	}
	return false, nil
}

// unseal opens the current sheet and what stands below it. The caller holds
// k.mu, or is the only one yet.
func (k *Keyring) unseal(key [32]byte) error {
	data, err := os.ReadFile(filepath.Join(k.o.Dir, sheetName(k.sheet.generation)))
	if err != nil {
		return err
	}
	s, sealed, err := sheetHead(data)
	if err != nil {
		return err
	}
	if err := s.unseal(sealed, key, k.o.Region); err != nil {
		return err
	}
	k.sheet = s
	if k.names, err = openNames(k.places, k.o.Region, s.generation, s.names, s.tag); err != nil {
		return err
	}
	k.held = true
	k.extend()
	_, err = k.tableOf(s.generation)
	return err
}

// Close implements store.Keys; closing twice is harmless.
func (k *Keyring) Close() error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil
	}
	k.closed = true
	k.mu.Unlock()
	k.stop()
	k.ended.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	return errors.Join(k.custodian.Close(), k.unlock())
}

func (k *Keyring) unlock() error {
	var errs []error
	for _, f := range k.locks {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// String names the keyring without its keys.
func (k *Keyring) String() string { return "keyring of " + string(k.o.Region) + " [redacted]" }

// GoString is String: a keyring printed with %#v shows no keys either.
func (k *Keyring) GoString() string { return k.String() }

func (k *Keyring) step(name string) {
	failpoint.At("keys/" + name)
	if k.o.step != nil {
		k.o.step(name)
	}
}
