package local

import (
	"io"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a file keyring.
type Options struct {
	Dir    string          // folder of the keyring, made 0700 when absent; owned by one process
	Region policy.RegionID // bound into every wrapped key; another region's keyring does not open
	Rand   io.Reader       // source of keys; nil is crypto/rand
}

// Keyring is the region's key service in files. It is safe for concurrent use.
type Keyring struct{ o Options }

var _ store.Keys = (*Keyring)(nil)

// OpenKeyring opens the keyring in o.Dir, or makes a new one there.
func OpenKeyring(o Options) (*Keyring, error) { return &Keyring{o: o}, errNotReady }

var errNotReady = policy.Errorf(policy.NotReady, "the file keyring is not there yet")

// Draw implements store.Keys.
func (k *Keyring) Draw() (store.KeyID, [32]byte, error) {
	return store.KeyID{}, [32]byte{}, errNotReady
}

// Open implements store.Keys.
func (k *Keyring) Open(store.KeyID) ([32]byte, error) { return [32]byte{}, errNotReady }

// Named implements store.Keys.
func (k *Keyring) Named(string) ([32]byte, error) { return [32]byte{}, errNotReady }

// Healthy implements store.Keys.
func (k *Keyring) Healthy() error { return errNotReady }

// Close implements store.Keys.
func (k *Keyring) Close() error { return nil }
