package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/internal/failpoint"
)

const (
	contactFile   = "contact"
	contactFormat = 1
)

// contact is what a node must not forget even when its cache is lost: the floor
// below which it takes no bundle, and when it last heard the control plane. It
// is sealed under the cache's key and replaced as a whole.
type contact struct {
	Format     int       `json:"format"`
	Floor      uint64    `json:"floor"`
	At         time.Time `json:"at"`          // wall clock; zero: never
	FreshUntil time.Time `json:"fresh_until"` // of the latest seal
}

func (c *cache) contactAdditional() []byte {
	return append([]byte("domicile bundle contact 1\n"), c.who...)
}

// loadContact reads the contact; the zero contact when there is none.
func (c *cache) loadContact() (contact, error) {
	var k contact
	sealed, err := os.ReadFile(filepath.Join(c.dir, contactFile))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("read the last contact: %w", err)
	}
	return c.openContact(sealed)
}

func (c *cache) openContact(sealed []byte) (contact, error) {
	var k contact
	plain, err := c.unseal(sealed, c.contactAdditional())
	if err != nil {
		return k, fmt.Errorf("the last contact does not open under this region's key: %w", err)
	}
	if err := json.Unmarshal(plain, &k); err != nil || k.Format != contactFormat {
		return contact{}, fmt.Errorf("the last contact has format %d, this node reads %d", k.Format, contactFormat)
	}
	return k, nil
}

// saveContact replaces the contact durably.
func (c *cache) saveContact(k contact) error {
	k.Format = contactFormat
	plain, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encode the last contact: %w", err)
	}
	return c.replaceFile(contactFile, c.seal(plain, c.contactAdditional()))
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
