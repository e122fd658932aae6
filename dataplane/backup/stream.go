package backup

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A sealed stream is
//
//	salt 32 | frames
//
// Its key is HKDF-SHA-256 of the repository's key, the salt, and what the stream
// is for. So each stream has a key of its own and a frame's number can be its
// nonce (STREAM, Hoang et al. 2015, as in age). A frame holds 64 KiB, the last
// one less; its nonce says that it is the last.
const (
	saltSize  = 32
	frameSize = 64 << 10
	overhead  = 16
)

var errSealed = errors.New("it does not open: it was changed, or is sealed for another region, cluster or purpose")

// sealer makes and opens streams of one repository.
type sealer struct {
	key  [32]byte
	whom string // region and cluster
}

func (s *sealer) aead(salt []byte, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s.key[:], salt, "domicile region backup 1\x00"+s.whom+"\x00"+purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func frameNonce(n uint64, last bool) []byte {
	nonce := binary.BigEndian.AppendUint64(make([]byte, 3, 12), n)
	if last {
		return append(nonce, 1)
	}
	return append(nonce, 0)
}

// streamWriter seals what is written to it. Close ends the stream, and not w.
type streamWriter struct {
	w    io.Writer
	aead cipher.AEAD
	buf  []byte
	out  []byte
	n    uint64
}

// seal begins a stream.
func (s *sealer) seal(w io.Writer, purpose string) (*streamWriter, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // crypto/rand does not fail
	aead, err := s.aead(salt, purpose)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(salt); err != nil {
		return nil, err
	}
	return &streamWriter{w: w, aead: aead, buf: make([]byte, 0, frameSize)}, nil
}

func (w *streamWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(w.buf) == frameSize { // more comes, so this one is not the last
			if err := w.frame(false); err != nil {
				return n, err
			}
		}
		k := copy(w.buf[len(w.buf):frameSize], p)
		w.buf = w.buf[:len(w.buf)+k]
		p, n = p[k:], n+k
	}
	return n, nil
}

func (w *streamWriter) frame(last bool) error {
	w.out = w.aead.Seal(w.out[:0], frameNonce(w.n, last), w.buf, nil)
	w.buf, w.n = w.buf[:0], w.n+1
	_, err := w.w.Write(w.out)
	return err
}

func (w *streamWriter) Close() error { return w.frame(true) }

// streamReader opens a stream. It gives nothing of a frame that does not open,
// and an error instead of an end that came too early.
type streamReader struct {
	r    *bufio.Reader
	aead cipher.AEAD
	buf  []byte
	rest []byte
	n    uint64
	err  error
}

// open begins to read a stream.
func (s *sealer) open(r io.Reader, purpose string) (*streamReader, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(r, salt); err != nil {
		return nil, fmt.Errorf("%w: it is cut short", errSealed)
	}
	aead, err := s.aead(salt, purpose)
	if err != nil {
		return nil, err
	}
	return &streamReader{r: bufio.NewReaderSize(r, frameSize+overhead+1), aead: aead, buf: make([]byte, frameSize+overhead)}, nil
}

func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.next()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *streamReader) next() {
	n, err := io.ReadFull(r.r, r.buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		r.err = err
		return
	}
	last := err != nil
	if !last {
		_, err := r.r.Peek(1)
		last = errors.Is(err, io.EOF)
		if err != nil && !last {
			r.err = err
			return
		}
	}
	r.rest, err = r.aead.Open(r.buf[:0], frameNonce(r.n, last), r.buf[:n], nil)
	r.n++
	switch {
	case err != nil:
		r.rest, r.err = nil, errSealed
	case last:
		r.err = io.EOF
	}
}
