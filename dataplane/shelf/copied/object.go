package copied

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// format of the objects; others are refused.
const format = 1

// Limits of what is read back.
const (
	maxHead   = 4 << 10
	maxBucket = 64
	maxChange = 256 << 20 // bytes of a change's object
)

// Of is whose copy it is: all of it stands in every object.
type Of struct {
	Cluster string          `json:"cluster"`
	Region  policy.RegionID `json:"region"`
	Shelf   string          `json:"shelf"`
}

// head begins an object: one line of JSON.
type head struct {
	Format int    `json:"format"`
	Kind   string `json:"kind"` // base, change or stop
	Of
	Copy   string    `json:"copy"`             // random, of the copy
	Number uint64    `json:"number"`           // of the change; of a base: the last that is in it
	Before string    `json:"before,omitempty"` // hex digest of the change before; of a base: of its last
	Time   time.Time `json:"time"`             // for people
	Stops  []uint64  `json:"stops,omitempty"`  // of a base: numbers at which stops stay
}

const (
	kindBase   = "base"
	kindChange = "change"
	kindStop   = "stop"
)

// row is what became of a key.
type row struct {
	bucket     shelf.Bucket
	key, value []byte // a nil value: deleted
}

var errBroken = errors.New("an object of the copy is not what was written")

// writer writes an object: its digest goes over everything but the MAC.
type writer struct {
	to  *bufio.Writer
	sum hash.Hash
}

func newWriter(to io.Writer, h head) (*writer, error) {
	w := &writer{sum: sha256.New()}
	w.to = bufio.NewWriterSize(io.MultiWriter(to, w.sum), 64<<10)
	raw, err := json.Marshal(h)
	if err == nil {
		_, err = w.to.Write(append(raw, '\n'))
	}
	return w, err
}

func (w *writer) put(r row) error {
	w.part([]byte(r.bucket))
	w.part(r.key)
	if r.value == nil {
		return w.to.WriteByte(0)
	}
	_ = w.to.WriteByte(1) // the error stays in the buffer, and Flush tells it
	w.part(r.value)
	return nil
}

func (w *writer) part(b []byte) {
	_, _ = w.to.Write(binary.AppendUvarint(nil, uint64(len(b))))
	_, _ = w.to.Write(b)
}

// end writes the MAC and gives the digest.
func (w *writer) end(to io.Writer, key []byte) (digest string, err error) {
	w.part(nil) // no bucket has no name
	if err := w.to.Flush(); err != nil {
		return "", err
	}
	sum := w.sum.Sum(nil)
	_, err = to.Write(mac(key, sum))
	return hex.EncodeToString(sum), err
}

func mac(key, sum []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(sum)
	return m.Sum(nil)
}

// keyFor is the key of one shelf's MACs.
func keyFor(root [32]byte, of Of) []byte {
	m := hmac.New(sha256.New, root[:])
	fmt.Fprintf(m, "domicile copy %d\x00%s\x00%s\x00%s", format, of.Cluster, of.Region, of.Shelf)
	return m.Sum(nil)
}

// seen is an object as it was read; it is believed once its MAC is checked.
type seen struct {
	head
	digest []byte
	mac    []byte
}

func (s seen) genuine(key []byte) bool { return hmac.Equal(s.mac, mac(key, s.digest)) }

// hashing sums up what is read through it.
type hashing struct {
	from *bufio.Reader
	sum  hash.Hash
}

func (h *hashing) ReadByte() (byte, error) {
	b, err := h.from.ReadByte()
	if err == nil {
		h.sum.Write([]byte{b})
	}
	return b, err
}

func (h *hashing) part(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(h)
	if err != nil || n > limit {
		return nil, errors.Join(errBroken, err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(h.from, b); err != nil {
		return nil, errors.Join(errBroken, err)
	}
	h.sum.Write(b)
	return b, nil
}

// readHead reads the first line.
func (h *hashing) readHead() (out head, err error) {
	line, err := h.from.ReadSlice('\n')
	if err != nil || len(line) > maxHead {
		return out, errors.Join(errBroken, err)
	}
	h.sum.Write(line)
	if err := json.Unmarshal(line, &out); err != nil {
		return out, errBroken
	}
	if out.Format != format {
		return out, fmt.Errorf("an object of the copy has format %d, this build reads %d: use the version that wrote it", out.Format, format)
	}
	return out, nil
}

// readObject visits the rows of an object.
func readObject(from io.Reader, visit func(row) error) (out seen, err error) {
	h := &hashing{from: bufio.NewReaderSize(from, 64<<10), sum: sha256.New()}
	if out.head, err = h.readHead(); err != nil {
		return out, err
	}
	for {
		bucket, err := h.part(maxBucket)
		if err != nil {
			return out, err
		}
		if len(bucket) == 0 {
			break
		}
		r := row{bucket: shelf.Bucket(bucket)}
		if r.key, err = h.part(shelf.MaxKey); err != nil {
			return out, err
		}
		there, err := h.ReadByte()
		if err != nil {
			return out, errors.Join(errBroken, err)
		}
		if there != 0 {
			if r.value, err = h.part(shelf.MaxValue); err != nil {
				return out, err
			}
		}
		if err := visit(r); err != nil {
			return out, err
		}
	}
	out.digest, out.mac = h.sum.Sum(nil), make([]byte, sha256.Size)
	if _, err := io.ReadFull(h.from, out.mac); err != nil {
		return out, errors.Join(errBroken, err)
	}
	if _, err := h.from.ReadByte(); !errors.Is(err, io.EOF) {
		return out, errors.Join(errBroken, err)
	}
	return out, nil
}
