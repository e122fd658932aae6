package feed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/internal/kernel"
)

const (
	contactFile   = "contact"
	contactFormat = 2
	formerContact = 1    // one sealed record, which was the whole file
	slotSize      = 4096 // bytes; no write of one slot touches a sector of the other
)

// contact is what a node must not forget even when its cache is lost: the floor
// below which it takes no bundle, and when it last heard the control plane. It
// is sealed under the cache's key.
//
// The file has two slots, which are written in turns, each as a length (4) and a
// sealed record. Writing one again takes neither more of the disk nor a name, so it
// is one sync of one sector; a crash leaves the other slot, which is one contact
// older. A process begins with a file of its own.
type contact struct {
	Format     int       `json:"format"`
	Number     uint64    `json:"number,omitempty"` // of the contact; its slot is that modulo 2
	Floor      uint64    `json:"floor"`
	At         time.Time `json:"at"`          // wall clock; zero: never
	FreshUntil time.Time `json:"fresh_until"` // of the latest seal
}

func (c *cache) contactAdditional(format int) []byte {
	return append(fmt.Appendf(nil, "domicile bundle contact %d\n", format), c.who...)
}

// loadContact reads the contact; the zero contact when there is none.
func (c *cache) loadContact() (contact, error) {
	var k contact
	raw, err := os.ReadFile(filepath.Join(c.dir, contactFile))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("read the last contact: %w", err)
	}
	return c.openContact(raw)
}

// openContact reads a file of contacts, or of the one that its former format held.
func (c *cache) openContact(raw []byte) (k contact, err error) {
	if len(raw) != 2*slotSize {
		return c.openRecord(raw, formerContact)
	}
	for slot := range slices.Chunk(raw, slotSize) {
		n := binary.BigEndian.Uint32(slot)
		if n == 0 || n > slotSize-4 {
			continue
		}
		one, failed := c.openRecord(slot[4:4+n], contactFormat)
		switch {
		case failed != nil: // it was being written; or it is damaged, and the other is one older
			err = failed
		case one.Number >= k.Number:
			k = one
		}
	}
	if k.Format == 0 {
		return contact{}, errors.Join(errors.New("the last contact cannot be read"), err)
	}
	return k, nil
}

func (c *cache) openRecord(sealed []byte, format int) (contact, error) {
	var k contact
	plain, err := c.unseal(sealed, c.contactAdditional(format))
	if err != nil {
		return k, fmt.Errorf("the last contact does not open under this region's key: %w", err)
	}
	if err := json.Unmarshal(plain, &k); err != nil || k.Format != format {
		return contact{}, fmt.Errorf("the last contact has format %d, this node reads %d", k.Format, format)
	}
	return k, nil
}

// saveContact makes a contact the last one, durably.
func (c *cache) saveContact(k contact) error {
	k.Format = contactFormat
	plain, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encode the last contact: %w", err)
	}
	sealed := c.seal(plain, c.contactAdditional(contactFormat))
	slot := append(binary.BigEndian.AppendUint32(make([]byte, 0, slotSize), uint32(len(sealed))), sealed...)
	if len(slot) > slotSize {
		return errors.New("encode the last contact: it does not fit its slot")
	}
	at := int64(k.Number%2) * slotSize
	if c.contactStands() {
		return c.overwriteContact(slot, at)
	}
	whole := make([]byte, 2*slotSize)
	copy(whole[at:], slot)
	if err := c.replaceFile(contactFile, whole); err != nil {
		return err
	}
	if c.contact, err = os.OpenFile(filepath.Join(c.dir, contactFile), os.O_RDWR, 0); err != nil {
		return fmt.Errorf("write %s: %w", contactFile, err)
	}
	return nil
}

// contactStands reports whether the open file is still the one that has the name:
// what is written to a file without one is gone with the process.
func (c *cache) contactStands() bool {
	if c.contact == nil {
		return false
	}
	open, err := c.contact.Stat()
	if err == nil {
		var named os.FileInfo
		if named, err = os.Stat(filepath.Join(c.dir, contactFile)); err == nil && os.SameFile(open, named) {
			return true
		}
	}
	c.dropContact()
	return false
}

func (c *cache) overwriteContact(slot []byte, at int64) error {
	_, err := c.contact.WriteAt(slot, at)
	failpoint.At("feed/contact")
	if err == nil {
		err = kernel.Datasync(c.contact)
	}
	if err != nil {
		c.dropContact() // a sync that failed says so only once
		return fmt.Errorf("write %s: %w", contactFile, err)
	}
	return nil
}

func (c *cache) dropContact() {
	if c.contact != nil {
		_ = c.contact.Close()
		c.contact = nil
	}
}

// replaceFile replaces a small file of the cache's folder durably.
func (c *cache) replaceFile(name string, content []byte) error {
	path := filepath.Join(c.dir, name)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	failpoint.At("feed/rename")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(c.dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
