package local

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a file keyring. Dir and Region are required.
type Options struct {
	Dir    string          // folder of the keyring, made 0700 when absent; owned by one process
	Region policy.RegionID // bound into every wrapped key; another region's keyring does not open
	Rand   io.Reader       // source of keys; nil is crypto/rand
}

// cachedKeys bounds the chunk keys that are kept unwrapped for reads (72 bytes each).
const cachedKeys = 1 << 16

// Keyring is the region's key service in files. It is safe for concurrent use.
// After the first failed write or sync it hands out no more keys: what the
// disk then holds is unknown.
type Keyring struct {
	dir    string
	region policy.RegionID
	rand   io.Reader
	lock   *os.File
	cache  *lru.Cache[store.KeyID, [32]byte]

	mu      sync.Mutex
	gens    *generations
	tables  map[uint64]*table // opened on demand, one per generation
	names   *names            // of the current generation
	nameTag [32]byte
	failed  error
	closed  bool
}

var _ store.Keys = (*Keyring)(nil)

// OpenKeyring opens the keyring in o.Dir, or makes a new one there. It refuses
// a folder that another process holds, one whose root key is missing or
// readable by others, and any file that was changed.
func OpenKeyring(o Options) (*Keyring, error) {
	if o.Dir == "" || o.Region == "" {
		return nil, errors.New("open keyring: Dir and Region must be set")
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	k := &Keyring{dir: o.Dir, region: o.Region, rand: o.Rand, lock: lock, tables: map[uint64]*table{}}
	if err := k.load(); err != nil {
		k.closeFiles()
		return nil, fmt.Errorf("open keyring %s: %w", o.Dir, err)
	}
	return k, nil
}

func (k *Keyring) load() error {
	var err error
	if k.cache, err = lru.New[store.KeyID, [32]byte](cachedKeys); err != nil {
		return err
	}
	root, err := loadRoot(k.dir, k.rand)
	if err != nil {
		return err
	}
	if k.gens, err = openGenerations(filepath.Join(k.dir, generationsFile), k.region, root, k.rand); err != nil {
		return err
	}
	k.nameTag = derive(root, "name tag")
	current := k.gens.current()
	if k.names, err = openNames(k.dir, k.region, current, k.gens.keys[current], k.nameTag); err != nil {
		return err
	}
	_, err = k.tableOf(current)
	return err
}

// lockDir takes the folder for this process; the lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("open keyring: %s is held by another process: stop it first: %w", dir, err)
	}
	return f, nil
}

// Draw implements store.Keys. One call in 256 writes and syncs a block; the
// rest cost a copy.
func (k *Keyring) Draw() (store.KeyID, [32]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return store.KeyID{}, [32]byte{}, err
	}
	gen := k.gens.current()
	t, err := k.tableOf(gen)
	if err != nil {
		return store.KeyID{}, [32]byte{}, k.fail(err)
	}
	index, key, err := t.draw(k.rand)
	if err != nil {
		return store.KeyID{}, [32]byte{}, k.fail(err)
	}
	id := store.KeyID{Generation: gen, Index: index}
	k.cache.Add(id, key)
	return id, key, nil
}

// Open implements store.Keys.
func (k *Keyring) Open(id store.KeyID) ([32]byte, error) {
	if key, ok := k.cache.Get(id); ok {
		return key, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return [32]byte{}, errClosed
	}
	t, err := k.tableOf(id.Generation)
	if err != nil {
		return [32]byte{}, err
	}
	key, err := t.open(id.Index)
	if err != nil {
		return [32]byte{}, err
	}
	k.cache.Add(id, key)
	return key, nil
}

// Named implements store.Keys. A new name costs one sync.
func (k *Keyring) Named(name string) ([32]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return [32]byte{}, errClosed
	}
	if name == "" || len(name) > maxName {
		return [32]byte{}, policy.Errorf(policy.Internal, "a named key needs a name of 1 to %d bytes", maxName)
	}
	if key, ok := k.names.find(name); ok {
		return key, nil
	}
	if k.failed != nil {
		return [32]byte{}, k.failed
	}
	key, err := k.names.add(name, k.rand)
	if err != nil {
		return [32]byte{}, k.fail(err)
	}
	return key, nil
}

// Healthy implements store.Keys.
func (k *Keyring) Healthy() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.usable()
}

// Close implements store.Keys; closing twice is harmless.
func (k *Keyring) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	k.cache.Purge()
	return k.closeFiles()
}

// String names the keyring without its keys.
func (k *Keyring) String() string { return "keyring of " + string(k.region) + " [redacted]" }

// GoString is String: a keyring printed with %#v shows no keys either.
func (k *Keyring) GoString() string { return k.String() }

var errClosed = policy.Errorf(policy.NotReady, "the keyring is closed; the process is stopping")

func (k *Keyring) usable() error {
	if k.closed {
		return errClosed
	}
	return k.failed
}

// fail remembers the first failure: a disk that failed to sync once is not
// asked again, since the kernel may have dropped what it could not write.
func (k *Keyring) fail(err error) error {
	k.failed = &policy.Error{Reason: policy.NotReady, Cause: err,
		Message: "the key service cannot write its table; check the disk, then restart the node"}
	return k.failed
}

func (k *Keyring) tableOf(gen uint64) (*table, error) {
	if t, ok := k.tables[gen]; ok {
		return t, nil
	}
	wrap, err := k.gens.key(gen)
	if err != nil {
		return nil, err
	}
	t, err := openTable(k.dir, k.region, gen, wrap)
	if err != nil {
		return nil, err
	}
	k.tables[gen] = t
	return t, nil
}

func (k *Keyring) closeFiles() error {
	var errs []error
	for _, t := range k.tables {
		errs = append(errs, t.file.Close())
	}
	if k.names != nil {
		errs = append(errs, k.names.file.Close())
	}
	if k.gens != nil {
		errs = append(errs, k.gens.file.Close())
	}
	errs = append(errs, k.lock.Close())
	return errors.Join(errs...)
}
