package local

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/policy"
)

// escrow is what an escrow file holds, encrypted with age to the keepers. The key
// table is not in it: that has its copy, and an escrow is forever.
type escrow struct {
	Format string          `json:"format"`
	Region policy.RegionID `json:"region"`
	Ring   string          `json:"ring"` // id of the keyring
	Made   time.Time       `json:"made"`
	Root   string          `json:"root"`
}

const (
	escrowFormat = "domicile root key 1"
	maxEscrow    = 64 << 10
)

// Escrow writes the file custodian's root key, encrypted to each of recipients
// (age1…): any one of them can bring it back. Nothing is asked of a running node.
func Escrow(w io.Writer, o Options, recipients []string) error {
	o.defaults()
	s, err := newest(o.Dir)
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("%s holds no key table: start the node once", o.Dir)
	}
	if s.kind != "file" {
		return fmt.Errorf("the generations of this region are kept by %s, whose root cannot leave it: there is nothing to escrow (docs/operations/keys.md)", s.kind)
	}
	var to []age.Recipient
	for _, text := range recipients {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return fmt.Errorf("recipient %q: %w; give what age-keygen printed, age1…", text, err)
		}
		to = append(to, r)
	}
	if len(to) == 0 {
		return errors.New("give at least one recipient, age1…: the root key never leaves in the clear")
	}
	root, err := loadRoot(o.RootFile, false, o.Rand)
	if err != nil {
		return err
	}
	defer clear(root[:])
	if err := opens(o.Dir, s.generation, root, o.Region); err != nil {
		return fmt.Errorf("the root key does not open this region's table, so it is not worth keeping: %w", err)
	}
	out, err := age.Encrypt(w, to...)
	if err != nil {
		return fmt.Errorf("encrypt the root key: %w", err)
	}
	err = json.NewEncoder(out).Encode(escrow{escrowFormat, o.Region, hex.EncodeToString(s.ring[:]), o.Now().UTC().Truncate(time.Second), hex.EncodeToString(root[:])})
	return errors.Join(err, out.Close())
}

// Recover puts the root key back from an escrow file. It first shows that the key
// opens the table or its copy, whichever is there, and never replaces another
// root key. The node must be stopped.
func Recover(r io.Reader, o Options, identities io.Reader) error {
	o.defaults()
	keys, err := age.ParseIdentities(identities)
	if err != nil {
		return fmt.Errorf("read the identity: %w", err)
	}
	plain, err := age.Decrypt(io.LimitReader(r, maxEscrow), keys...)
	if err != nil {
		return fmt.Errorf("decrypt the escrow: %w", err)
	}
	var e escrow
	if err := json.NewDecoder(io.LimitReader(plain, maxEscrow)).Decode(&e); err != nil || e.Format != escrowFormat {
		return errors.Join(errors.New("this is not an escrow of a root key"), err)
	}
	raw, err := hex.DecodeString(e.Root)
	if err != nil || len(raw) != 32 {
		return errors.New("the escrow holds no root key")
	}
	if e.Region != o.Region {
		return fmt.Errorf("the escrow is of region %s and this node is of %s", e.Region, o.Region)
	}
	root := [32]byte(raw)
	defer clear(root[:])
	defer clear(raw)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	lock, err := lockDir(o.Dir)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("stop the node first: %w", err)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := e.fits(o, root); err != nil {
		return err
	}
	if old, err := loadRoot(o.RootFile, false, o.Rand); err == nil {
		if old == root {
			return nil
		}
		return fmt.Errorf("%s holds another root key: move it away first, and keep it", o.RootFile)
	} else if _, there := os.Stat(o.RootFile); there == nil && !strings.Contains(err.Error(), "hex digits") {
		return err // it is there and cannot be judged
	}
	return writeRoot(o.RootFile, root)
}

// fits demands that a root key opens what is left of the region's key table.
func (e *escrow) fits(o Options, root [32]byte) error {
	var why []error
	for _, dir := range []string{o.Dir, o.Copy} {
		if dir == "" {
			continue
		}
		s, err := newest(dir)
		if err != nil || s == nil {
			why = append(why, err)
			continue
		}
		if hex.EncodeToString(s.ring[:]) != e.Ring {
			return fmt.Errorf("the escrow is of another key table than the one in %s", dir)
		}
		if err := opens(dir, s.generation, root, o.Region); err != nil {
			why = append(why, err)
			continue
		}
		return nil
	}
	return errors.Join(append([]error{errors.New("neither the key table nor its copy is there and opens with this root key: put one of them in place first")}, why...)...)
}

// opens reports whether a root key opens the sheet of a generation in a folder.
func opens(dir string, gen uint64, root [32]byte, region policy.RegionID) error {
	f, err := os.Open(filepath.Join(dir, generationsFile))
	if err != nil {
		return err
	}
	defer f.Close()
	slot := make([]byte, slotSize)
	if _, err := f.ReadAt(slot, int64(gen-1)*slotSize); err != nil || !whole(slot) || slot[slotState] != live {
		return fmt.Errorf("slot %d of %s: %w", gen, generationsFile, errChanged)
	}
	w, err := newWrapper(root, region, slotKind)
	if err != nil {
		return err
	}
	key, err := w.open(slot[slotState+1:slotState+1+wrapped], gen, nil)
	if err != nil {
		return err
	}
	defer clear(key[:])
	data, err := os.ReadFile(filepath.Join(dir, sheetName(gen)))
	if err != nil {
		return err
	}
	s, sealed, err := sheetHead(data)
	if err != nil {
		return err
	}
	defer s.wipe()
	return s.unseal(sealed, key, region)
}
