package local

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// SharedRoot is the custodian of a region of several nodes without a key service:
// each node has the same root key in a file, and a generation's key, wrapped
// under it, is the token that stands in the shared key table. So destroying is no
// more than the token's going: who has the root key and an old copy of the key
// database opens the generation. Where that matters, and copies of the database
// outlive a generation, use a key service.
type SharedRoot struct {
	Path   string // of the root key, 0600; the first node makes it, the others are given it
	Region policy.RegionID
	Rand   io.Reader // nil: crypto/rand
}

var _ Custodian = (*SharedRoot)(nil)

// Kind implements Custodian.
func (r *SharedRoot) Kind() string { return "shared-file" }

// Close implements Custodian.
func (r *SharedRoot) Close() error { return nil }

func (r *SharedRoot) random() io.Reader {
	if r.Rand != nil {
		return r.Rand
	}
	return rand.Reader
}

func (r *SharedRoot) wrapper(makeIt bool) (wrapper, error) {
	if makeIt {
		if err := r.make(); err != nil {
			return wrapper{}, err
		}
	}
	root, err := loadRoot(r.Path, false, r.random())
	if err != nil {
		return wrapper{}, err
	}
	defer clear(root[:])
	return newWrapper(root, r.Region, slotKind)
}

// make makes the root key where there is none. Of two nodes that do it at once on
// one file one is first.
func (r *SharedRoot) make() error {
	if _, err := os.Stat(r.Path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key, err := randomKey(r.random())
	if err != nil {
		return err
	}
	defer clear(key[:])
	temp, err := os.MkdirTemp(filepath.Dir(r.Path), ".root-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	whole := filepath.Join(temp, "key")
	if err := writeRoot(whole, key); err != nil {
		return err
	}
	if err := os.Link(whole, r.Path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(r.Path))
}

// Create implements Custodian.
func (r *SharedRoot) Create(_ context.Context, gen uint64) ([]byte, [32]byte, error) {
	w, err := r.wrapper(gen == 1)
	if err != nil {
		return nil, [32]byte{}, err
	}
	key, err := randomKey(r.random())
	if err != nil {
		return nil, key, err
	}
	token, err := w.seal(nil, key, gen, nil, r.random())
	return token, key, err
}

// Unwrap implements Custodian.
func (r *SharedRoot) Unwrap(_ context.Context, gen uint64, token []byte, _ store.KeyUse) ([32]byte, error) {
	w, err := r.wrapper(false)
	if err != nil {
		return [32]byte{}, err
	}
	return w.open(token, gen, nil)
}

// Destroy implements Custodian: the token goes with its row.
func (r *SharedRoot) Destroy(context.Context, uint64, []byte) (time.Time, error) {
	return time.Now(), nil
}
