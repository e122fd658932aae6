package feed

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/kernel"
)

// The cache is the pushes that made the current bundle, as they came: the parts
// of a snapshot, then deltas. Loading it replays them through the same checks as
// the stream, seals included.
//
//	bundle.cache   magic, file id (16), then frames: length (4), nonce (12), sealed push
//
// A frame is AES-256-GCM; its additional data is the magic, cluster, region, file
// id and frame number, so that no frame can be moved, dropped from the middle,
// or taken from another region or an older file. Dropping frames from the end
// is found by the floor, which stands in its own file (contact.go).
const (
	cacheFile  = "bundle.cache"
	cacheMagic = "domicile bundle cache 1\n"
	keyName    = "feed/cache"
	maxFrame   = 5 << 20 // a push is at most 4 MiB
	minCompact = 1 << 20
	headerSize = len(cacheMagic) + 16
)

var errTorn = errors.New("the last frame is not whole")

type cache struct {
	dir  string
	aead cipher.AEAD
	who  string // cluster and region: part of every frame's additional data

	suffix string // of the file's name, while it is not the cache yet

	f      *os.File // open for appending; nil: the next thing written must be a snapshot
	id     [16]byte
	frames uint64
	size   int64
	base   int64 // size right after the snapshot

	draft *cache // a snapshot that is being written beside

	contact *os.File // open for overwriting; nil: the next contact makes a new file
}

func newCache(dir string, key [32]byte, who string) (*cache, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("open the bundle cache: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("open the bundle cache: %w", err)
	}
	return &cache{dir: dir, aead: aead, who: who}, nil
}

func (c *cache) path() string { return filepath.Join(c.dir, cacheFile+c.suffix) }

func (c *cache) additional(frame uint64) []byte {
	b := append([]byte(cacheMagic), c.who...)
	b = append(b, c.id[:]...)
	return binary.BigEndian.AppendUint64(b, frame)
}

func (c *cache) seal(plain, additional []byte) []byte {
	nonce := make([]byte, c.aead.NonceSize(), c.aead.NonceSize()+len(plain)+c.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	return c.aead.Seal(nonce, nonce, plain, additional)
}

func (c *cache) unseal(sealed, additional []byte) ([]byte, error) {
	n := c.aead.NonceSize()
	if len(sealed) < n {
		return nil, errTorn
	}
	return c.aead.Open(nil, sealed[:n], sealed[n:], additional)
}

// load yields the pushes of the file, in order. fs.ErrNotExist: there is none.
// After a torn end (a frame that was never acknowledged) the file is cut there.
// Any other damage is an error and the file is not used.
func (c *cache) load(yield func(*controlv1.Push) error) error {
	f, err := os.OpenFile(c.path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = c.read(f, yield)
	if errors.Is(err, errTorn) {
		err = f.Truncate(c.size)
	}
	if err == nil {
		_, err = f.Seek(c.size, io.SeekStart)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	c.f = f
	return nil
}

// read walks the frames and leaves id, frames and size after the last good one.
func (c *cache) read(r io.Reader, yield func(*controlv1.Push) error) error {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(r, head); err != nil || !bytes.HasPrefix(head, []byte(cacheMagic)) {
		return errors.New("it does not begin as a bundle cache of this version")
	}
	copy(c.id[:], head[len(cacheMagic):])
	c.frames, c.size, c.base = 0, int64(headerSize), 0
	for {
		sealed, err := readFrame(r)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		plain, err := c.unseal(sealed, c.additional(c.frames))
		if err != nil {
			if next, _ := readFrame(r); next == nil { // nothing whole follows
				return errTorn
			}
			return fmt.Errorf("frame %d does not open", c.frames)
		}
		var p controlv1.Push
		if err := proto.Unmarshal(plain, &p); err != nil {
			return fmt.Errorf("frame %d is not a push: %w", c.frames, err)
		}
		if err := yield(&p); err != nil {
			return fmt.Errorf("frame %d: %w", c.frames, err)
		}
		c.frames++
		c.size += int64(4 + len(sealed))
		if p.GetPart() != nil {
			c.base = c.size
		}
	}
}

// readFrame reads one length and that many bytes: io.EOF at the end, errTorn for less.
func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err == io.EOF {
		return nil, io.EOF
	} else if err != nil {
		return nil, errTorn
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > maxFrame {
		return nil, errTorn
	}
	var b bytes.Buffer // grows with what is there, not with what a damaged length promises
	if got, err := io.CopyN(&b, r, int64(n)); err != nil || got != int64(n) {
		return nil, errTorn
	}
	return b.Bytes(), nil
}

// begin starts a snapshot beside the file.
func (c *cache) begin() (err error) {
	c.abandon()
	c.draft, err = c.beside(".new")
	return err
}

// beside makes a file of the cache's kind that is to take its place.
func (c *cache) beside(suffix string) (*cache, error) {
	d := &cache{dir: c.dir, aead: c.aead, who: c.who, suffix: suffix}
	_, _ = rand.Read(d.id[:])
	f, err := os.OpenFile(d.path(), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write the bundle cache: %w", err)
	}
	d.f, d.size = f, int64(headerSize)
	if _, err := f.Write(append([]byte(cacheMagic), d.id[:]...)); err != nil {
		return nil, fmt.Errorf("write the bundle cache: %w", errors.Join(err, f.Close()))
	}
	return d, nil
}

// add writes a push to the draft, not yet durably.
func (c *cache) add(p *controlv1.Push) error {
	if c.draft == nil {
		return errors.New("write the bundle cache: no snapshot was begun")
	}
	return c.draft.write(p)
}

func (c *cache) write(pushes ...*controlv1.Push) error {
	var out []byte
	for i, p := range pushes {
		plain, err := proto.Marshal(p)
		if err != nil {
			return fmt.Errorf("encode a push for the bundle cache: %w", err)
		}
		if out, err = c.frame(out, c.frames+uint64(i), plain); err != nil {
			return err
		}
	}
	return c.writeFrames(out, len(pushes))
}

// frame appends a frame of what a push is encoded to.
func (c *cache) frame(out []byte, number uint64, plain []byte) ([]byte, error) {
	sealed := c.seal(plain, c.additional(number))
	if len(sealed) > maxFrame {
		return nil, fmt.Errorf("a push of %d bytes does not fit the bundle cache", len(plain))
	}
	return append(binary.BigEndian.AppendUint32(out, uint32(len(sealed))), sealed...), nil
}

func (c *cache) writeFrames(frames []byte, n int) error {
	if _, err := c.f.Write(frames); err != nil {
		return fmt.Errorf("write the bundle cache: %w", err)
	}
	c.frames += uint64(n)
	c.size += int64(len(frames))
	return nil
}

// finish makes the draft durable and puts it in the file's place.
func (c *cache) finish() error {
	d := c.draft
	if d == nil {
		return errors.New("write the bundle cache: no snapshot was begun")
	}
	c.draft = nil
	d.base = d.size
	return c.takeOver(d)
}

// takeOver puts a file that was written beside in this one's place, durably.
func (c *cache) takeOver(d *cache) error {
	err := d.f.Sync()
	if err == nil {
		err = os.Rename(d.path(), c.path())
	}
	if err == nil {
		if err = syncDir(c.dir); err != nil {
			c.drop() // which file stands there after a power cut is not known
		}
	}
	if err != nil {
		return fmt.Errorf("write the bundle cache: %w", errors.Join(err, d.f.Close()))
	}
	c.drop()
	c.f, c.id, c.frames, c.size, c.base = d.f, d.id, d.frames, d.size, d.base
	return nil
}

// abandon forgets a draft.
func (c *cache) abandon() {
	if c.draft != nil {
		c.draft.remove()
		c.draft = nil
	}
}

// remove ends a file that was written beside.
func (c *cache) remove() {
	_ = c.f.Close()
	_ = os.Remove(c.path())
}

// append makes more pushes durable, with one sync. After an error the file's end is
// not known and its descriptor is not used again: only a new snapshot helps.
func (c *cache) append(pushes ...*controlv1.Push) error {
	if c.f == nil {
		return errors.New("append to the bundle cache: it needs a snapshot first")
	}
	err := c.write(pushes...)
	if err == nil {
		err = kernel.Datasync(c.f)
	}
	if err != nil {
		c.drop()
	}
	return err
}

func (c *cache) close() {
	c.abandon()
	c.dropContact()
	c.drop()
}

// drop makes nothing more be appended; a new snapshot must come first.
func (c *cache) drop() {
	if c.f != nil {
		_ = c.f.Close()
		c.f = nil
	}
}

// missing reports whether there was simply no cache.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// stale reports whether the deltas weigh more than the snapshot they follow, so
// that the file is to be compacted, or a new snapshot is due.
func (c *cache) stale() bool { return c.size-c.base > max(minCompact, c.base) }
