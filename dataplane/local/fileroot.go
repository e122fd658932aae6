package local

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// RootFile is the root key's name in the folder of the key table.
const RootFile = rootFile

const (
	rootFile        = "root.key"
	generationsFile = "generations"
)

// The generations file of the file custodian: one slot of slotSize bytes per
// generation, generation 1 first. A slot is one disk sector, so destroying one
// never rewrites another:
//
//	0   magic "DOMKGEN" and the format number
//	8   generation, big endian
//	16  state: 'L' live, 'D' destroyed (the rest is then random)
//	17  wrapped generation key
//	77  zeros
//	508 CRC-32C
const (
	slotSize  = 512
	slotMagic = "DOMKGEN"
	slotState = 16
	live      = 'L'
	destroyed = 'D'
)

// fileRoot is the custodian of a region without a key service: a root key in a
// file of mode 0600, and slots that are overwritten in place. It reads the root
// key for each use and does not keep it.
type fileRoot struct {
	p      *places
	root   string // path of the root key
	region policy.RegionID
	rand   io.Reader
	now    func() time.Time
}

func (r *fileRoot) Kind() string { return "file" }

func (r *fileRoot) Close() error { return nil }

func (r *fileRoot) wrapper(makeIt bool) (wrapper, error) {
	root, err := loadRoot(r.root, makeIt, r.rand)
	if err != nil {
		return wrapper{}, err
	}
	defer clear(root[:])
	return newWrapper(root, r.region, slotKind)
}

// Create implements Custodian.
func (r *fileRoot) Create(_ context.Context, gen uint64) ([]byte, [32]byte, error) {
	_, err := os.Stat(filepath.Join(r.p.main, generationsFile))
	fresh := errors.Is(err, os.ErrNotExist) && gen == 1
	w, err := r.wrapper(fresh)
	if err != nil {
		return nil, [32]byte{}, err
	}
	key, err := randomKey(r.rand)
	if err != nil {
		return nil, key, err
	}
	s := append([]byte(slotMagic), format)
	s = binary.BigEndian.AppendUint64(s, gen)
	if s, err = w.seal(append(s, live), key, gen, nil, r.rand); err != nil {
		return nil, key, err
	}
	s = summed(append(s, make([]byte, slotSize-4-len(s))...))
	return nil, key, r.write(gen, s)
}

func (r *fileRoot) write(gen uint64, slot []byte) error {
	f, err := r.p.open(generationsFile, os.O_CREATE)
	if err != nil {
		return err
	}
	err = f.write(slot, int64(gen-1)*slotSize)
	return errors.Join(err, f.close(), r.p.do(syncDir))
}

// slot reads the slot of a generation, from the copy where the main one is damaged.
func (r *fileRoot) slot(gen uint64) ([]byte, error) {
	f, err := r.p.open(generationsFile, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", generationsFile, err)
	}
	defer f.close()
	s := make([]byte, slotSize)
	for _, from := range []*os.File{f.f, f.other()} {
		if from == nil {
			continue
		}
		if _, err := from.ReadAt(s, int64(gen-1)*slotSize); err == nil && whole(s) && string(s[:7]) == slotMagic && s[7] == format && binary.BigEndian.Uint64(s[8:]) == gen {
			return s, nil
		}
	}
	return nil, fmt.Errorf("slot %d of %s: %w", gen, generationsFile, errChanged)
}

// Unwrap implements Custodian.
func (r *fileRoot) Unwrap(_ context.Context, gen uint64, _ []byte, _ store.KeyUse) ([32]byte, error) {
	s, err := r.slot(gen)
	if err != nil {
		return [32]byte{}, err
	}
	if s[slotState] == destroyed {
		return [32]byte{}, policy.Errorf(policy.Destroyed, "key generation %d was destroyed; what it sealed is gone for good", gen)
	}
	w, err := r.wrapper(false)
	if err != nil {
		return [32]byte{}, err
	}
	key, err := w.open(s[slotState+1:slotState+1+wrapped], gen, nil)
	if err != nil {
		return key, fmt.Errorf("generation %d: %w", gen, err)
	}
	return key, nil
}

// Destroy implements Custodian: the slot is overwritten in place and synced, in
// both places. What the disk itself may keep of the old sector is stated in the
// package comment.
func (r *fileRoot) Destroy(_ context.Context, gen uint64, _ []byte) (time.Time, error) {
	s := make([]byte, slotSize-4)
	if _, err := io.ReadFull(r.rand, s); err != nil {
		return time.Time{}, fmt.Errorf("draw the overwrite of generation %d: %w", gen, err)
	}
	copy(s, slotMagic)
	s[7] = format
	binary.BigEndian.PutUint64(s[8:], gen)
	s[slotState] = destroyed
	if err := r.write(gen, summed(s)); err != nil {
		return time.Time{}, fmt.Errorf("destroy generation %d: %w", gen, err)
	}
	return r.now(), nil
}

// loadRoot reads the root key, or makes it when it may. It is never made beside
// old files: that would turn a lost root into silent loss of everything sealed
// under it.
func loadRoot(path string, makeIt bool, random io.Reader) (key [32]byte, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if !makeIt {
			return key, fmt.Errorf("%s is missing but the keyring is not empty: put the root key back (docs/operations/keys.md, \"The root key is lost\"); without it the region's records cannot be opened", path)
		}
		if key, err = randomKey(random); err != nil {
			return key, err
		}
		return key, writeRoot(path, key)
	}
	if err != nil {
		return key, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("%s may be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	defer clear(text)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != 32 {
		return key, fmt.Errorf("%s must hold 64 hex digits: restore it from its escrow", path)
	}
	defer clear(raw)
	return [32]byte(raw), nil
}

func writeRoot(path string, key [32]byte) error {
	return writeWhole(path, []byte(hex.EncodeToString(key[:])+"\n"))
}

// SameRoot reports whether two files hold one root key.
func SameRoot(a, b string) (bool, error) {
	x, err := loadRoot(a, false, nil)
	if err != nil {
		return false, err
	}
	defer clear(x[:])
	y, err := loadRoot(b, false, nil)
	defer clear(y[:])
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1, err
}
