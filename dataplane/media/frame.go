package media

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A part's blob is a row of sealed frames, each of frameSize bytes of plain text
// but the last, which has 1…frameSize, and a tag. AES-256-GCM; the nonce is the
// frame's number. The additional data binds a frame to its place, and says
// whether it is the last of its part: a blob that was cut, extended, reordered
// or put in another's place does not open.
const (
	frameFormat = 1
	frameSize   = 64 << 10
	frameTag    = 16
	sealedFrame = frameSize + frameTag
)

// box is where sealed bytes belong.
type box struct {
	region policy.RegionID
	tenant policy.TenantID
	kind   store.ItemKind
	id     string // of the recording or transcript
	key    store.KeyID
}

// partSealer seals and opens the frames of one part.
type partSealer struct {
	aead cipher.AEAD
	aad  []byte // the place; number and last-frame flag follow
	buf  []byte
}

// part makes the sealer of the part called name. The part's key is
// HMAC-SHA-256 of its name under the recording's key.
func (b box) part(key [32]byte, name string) (*partSealer, error) {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("domicile media part\x00" + name))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	aad := append([]byte("domicile media\x00"), frameFormat)
	for _, s := range [...]string{string(b.region), string(b.tenant), string(b.kind), b.id, name} {
		aad = binary.AppendUvarint(aad, uint64(len(s)))
		aad = append(aad, s...)
	}
	aad = binary.BigEndian.AppendUint64(aad, b.key.Generation)
	aad = binary.BigEndian.AppendUint64(aad, b.key.Index)
	return &partSealer{aead: aead, aad: aad}, nil
}

func (p *partSealer) place(number uint64, last bool) (nonce [12]byte, aad []byte) {
	binary.BigEndian.PutUint64(nonce[4:], number)
	p.buf = append(append(p.buf[:0], p.aad...), nonce[:]...)
	if last {
		return nonce, append(p.buf, 1)
	}
	return nonce, append(p.buf, 0)
}

func (p *partSealer) seal(dst, plain []byte, number uint64, last bool) []byte {
	nonce, aad := p.place(number, last)
	return p.aead.Seal(dst, nonce[:], plain, aad)
}

func (p *partSealer) open(dst, sealed []byte, number uint64, last bool) ([]byte, error) {
	nonce, aad := p.place(number, last)
	return p.aead.Open(dst, nonce[:], sealed, aad)
}

// sealing reads plain text and yields its sealed frames. An error of the source
// ends the part as its end does, because what came before it is whole; it is
// kept in err. size counts plain bytes, and sum sees them.
type sealing struct {
	p      *partSealer
	src    io.Reader
	sum    io.Writer
	number uint64
	size   int64
	err    error // of the source; io.EOF at its end

	plain  []byte // the frame that is held back, because it may be the last
	next   []byte
	ready  []byte // sealed, still to be read
	sealed []byte // buffer of ready
	ended  bool
}

func newSealing(p *partSealer, src io.Reader, sum io.Writer) *sealing {
	return &sealing{p: p, src: src, sum: sum, plain: make([]byte, 0, frameSize), next: make([]byte, 0, frameSize)}
}

// begin reads the first frame's plain text; false when there is none.
func (s *sealing) begin() bool {
	s.plain = s.fill(s.plain)
	return len(s.plain) > 0
}

// Read implements io.Reader.
func (s *sealing) Read(b []byte) (int, error) {
	if len(s.ready) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		s.next = s.fill(s.next)
		s.ended = len(s.next) == 0
		s.sealed = s.p.seal(s.sealed[:0], s.plain, s.number, s.ended)
		s.ready = s.sealed
		s.number++
		s.plain, s.next = s.next, s.plain
	}
	n := copy(b, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

func (s *sealing) fill(into []byte) []byte {
	n := 0
	into = into[:frameSize]
	for s.err == nil && n < frameSize { // not io.ReadFull: its errors are also what a client that broke off looks like
		got, err := s.src.Read(into[n:])
		n += got
		if err != nil {
			s.err = err
			break
		}
	}
	_, _ = s.sum.Write(into[:n]) // a hash does not fail
	s.size += int64(n)
	return into[:n]
}

// broken is why the source ended, nil when it came to its end.
func (s *sealing) broken() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// frames is how many frames a part of size plain bytes has.
func frames(size int64) int64 { return (size + frameSize - 1) / frameSize }

// sealedSize is how long the blob of a part is.
func sealedSize(size int64) int64 { return size + frames(size)*frameTag }
