package local

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble reads its manifest up to the first damaged entry and takes that for
// the torn end of a crash. A flipped byte would so make whole tables, and the
// records in them, vanish without an error. So the manifest is read here first
// (found by TestINV34_FlippedBytesAreNotServed).

// closedFile is written by a clean Close: HMAC of the manifest as it then was.
const closedFile = "closed"

var errManifest = errors.New("the list of tables is damaged: starting would lose records silently; restore the folder from a backup")

// checkManifest refuses a damaged list of tables before pebble opens it. After
// a clean Close the manifest must be as it was; after a crash its last entry
// may be torn, but no entry may be changed.
func (e *engine) checkManifest(dir string) error {
	desc, err := pebble.Peek(dir, vfs.Default)
	if err != nil {
		return err
	}
	if !desc.Exists {
		return refuseOrphans(dir)
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.Base(desc.ManifestFilename)))
	if err != nil {
		return err
	}
	stamp, err := os.ReadFile(filepath.Join(dir, closedFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return strictly(data)
	case err != nil:
		return err
	case !hmac.Equal(stamp, e.manifestMAC(data)):
		return errManifest
	}
	if err := os.Remove(filepath.Join(dir, closedFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

// refuseOrphans: tables without a manifest are a lost manifest, not a new store.
func refuseOrphans(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sst") || strings.HasSuffix(e.Name(), ".log") {
			return fmt.Errorf("%s is there but no list of tables: %w", e.Name(), errManifest)
		}
	}
	return nil
}

// strictly checks every chunk of a manifest (pebble's own reader calls any
// damage in the last 32 KiB a torn end). A chunk is CRC-32C 4, length 2,
// encoding 1 to 4, payload; little endian. Only the end may be incomplete: cut
// short, or zeros that the file system had not yet filled.
func strictly(data []byte) error {
	const header = 7
	for at := 0; at < len(data); {
		if rest := walBlock - at%walBlock; rest < header {
			at += rest
			continue
		}
		h := data[at:]
		if allZero(h) || len(h) < header {
			return nil
		}
		size := header + int(binary.LittleEndian.Uint16(h[4:]))
		if size > len(h) {
			return nil
		}
		sum := crc32.Checksum(h[6:size], castagnoli)
		if h[6] < 1 || h[6] > 4 || (sum>>15|sum<<17)+0xa282ead8 != binary.LittleEndian.Uint32(h) {
			return fmt.Errorf("offset %d: %w", at, errManifest)
		}
		at += size
	}
	return nil
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// stampClosed notes the manifest of a store that has just been closed.
func (e *engine) stampClosed() error {
	desc, err := pebble.Peek(e.dir, vfs.Default)
	if err != nil || !desc.Exists {
		return err
	}
	data, err := os.ReadFile(filepath.Join(e.dir, filepath.Base(desc.ManifestFilename)))
	if err != nil {
		return err
	}
	temp := filepath.Join(e.dir, closedFile+".new")
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(e.manifestMAC(data))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(e.dir, closedFile)); err != nil {
		return err
	}
	return syncDir(e.dir)
}

func (e *engine) manifestMAC(data []byte) []byte {
	mac := hmac.New(sha256.New, e.key[:])
	mac.Write([]byte("domicile manifest\x00"))
	mac.Write(data)
	return mac.Sum(nil)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
