package canary

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// maxInflated bounds what one compressed stretch is expanded to.
const maxInflated = 64 << 20

// Finding is one form of one canary in one place.
type Finding struct {
	Place  string // file or sink
	Offset int
	Canary string // its label, never its value
	Form   string
	Brief  bool // seven digits and no more, which times and sums have by chance too
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s as %s at byte %d", f.Place, f.Canary, f.Form, f.Offset)
}

type pattern struct {
	label string
	form  Form
	brief bool
}

// Scanner searches for many patterns at once. Make it with NewScanner; it is
// safe for concurrent use.
type Scanner struct {
	byHead map[uint32][]pattern // by the first four bytes
	first  [1 << 16]bool        // by the first two bytes
	count  int
}

// NewScanner prepares the search for every form of every canary (label → value).
func NewScanner(canaries map[string]string) *Scanner {
	s := &Scanner{byHead: map[uint32][]pattern{}}
	for label, value := range canaries {
		for _, form := range Forms(value) {
			head := binary.BigEndian.Uint32(form.Bytes)
			s.byHead[head] = append(s.byHead[head], pattern{label, form, isBrief(form.Bytes)})
			s.first[head>>16] = true
			s.count++
		}
	}
	return s
}

// isBrief reports a form of the fewest digits: each text of digits holds one of ten
// million of them wherever one looks.
func isBrief(form []byte) bool {
	return len(form) == minForm && len(bytes.Trim(form, "0123456789")) == 0
}

// Patterns counts what is searched for.
func (s *Scanner) Patterns() int { return s.count }

// Bytes searches b, and what compressed stretches within it expand to.
func (s *Scanner) Bytes(place string, b []byte) []Finding {
	found := s.plain(place, b)
	for _, inflated := range inflate(b) {
		found = append(found, s.plain(place+" (decompressed)", inflated)...)
	}
	return found
}

func (s *Scanner) plain(place string, b []byte) (found []Finding) {
	for i := 0; i+minForm <= len(b); i++ {
		if !s.first[uint16(b[i])<<8|uint16(b[i+1])] {
			continue
		}
		for _, p := range s.byHead[binary.BigEndian.Uint32(b[i:])] {
			if bytes.HasPrefix(b[i:], p.form.Bytes) {
				found = append(found, Finding{place, i, p.label, p.form.Name, p.brief})
			}
		}
	}
	return found
}

// Tree searches every regular file below dir, and its name.
func (s *Scanner) Tree(dir string) (found []Finding, files int, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a file of a running process may go while we walk
			}
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		found = append(found, s.plain("name of "+path, []byte(filepath.Base(path)))...)
		found = append(found, s.Bytes(path, b)...)
		return nil
	})
	return found, files, err
}

var (
	gzipMagic = []byte{0x1f, 0x8b, 8}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// inflate expands every gzip and zstd stretch that begins anywhere in b.
func inflate(b []byte) (out [][]byte) {
	expand := func(magic []byte, open func(io.Reader) (io.Reader, error)) {
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], magic)
			if i < 0 {
				return
			}
			at += i
			r, err := open(bytes.NewReader(b[at:]))
			if err != nil {
				continue
			}
			// What could be read before an error is searched too.
			if plain, _ := io.ReadAll(io.LimitReader(r, maxInflated)); len(plain) > 0 {
				out = append(out, plain)
			}
		}
	}
	expand(gzipMagic, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
	expand(zstdMagic, func(r io.Reader) (io.Reader, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxInflated))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	})
	return out
}
