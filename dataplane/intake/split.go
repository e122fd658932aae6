package intake

import (
	"bytes"
	"errors"
	"io"
)

// Block sizes of the splitter: small requests stay small, long streams read in
// few calls. A record pins the block that it was read from.
const (
	firstBlock = 4 << 10
	maxBlock   = 256 << 10
)

// errItemTooLong: one item does not fit MaxItem.
var errItemTooLong = errors.New("item too long")

// splitter cuts a stream into lines or JSON values. What it returns aliases
// blocks that are never written again.
type splitter struct {
	r          io.Reader
	block      []byte
	start, end int // of what is read and not yet consumed
	err        error
}

func newSplitter(r io.Reader) *splitter {
	return &splitter{r: r, block: make([]byte, firstBlock)}
}

// fill reads more behind what is unconsumed; false at the end or on error (in s.err).
func (s *splitter) fill() bool {
	if s.err != nil {
		return false
	}
	if s.end == len(s.block) {
		held := s.block[s.start:s.end]
		size := min(max(2*len(s.block), 2*len(held)), max(maxBlock, 2*len(held)))
		s.block = make([]byte, size)
		s.end = copy(s.block, held)
		s.start = 0
	}
	for range 100 {
		n, err := s.r.Read(s.block[s.end:])
		s.end += n
		s.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// failed is the reader's error, nil at a clean end.
func (s *splitter) failed() error {
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// held is what is read and not yet consumed.
func (s *splitter) held() []byte { return s.block[s.start:s.end:s.end] }

// peek is the first byte that is not white space; the white space is consumed. It is 0
// at the end, and at a NUL byte: only more tells one from the other.
func (s *splitter) peek() byte {
	for {
		for ; s.start < s.end; s.start++ {
			switch b := s.block[s.start]; b {
			case ' ', '\t', '\r', '\n':
			default:
				return b
			}
		}
		if !s.fill() {
			return 0
		}
	}
}

// more reports whether anything but white space is left. A NUL byte, of which spool
// files hold many after a crash, is something: who took it for the end would drop
// what stands behind it, and acknowledge the body.
func (s *splitter) more() bool {
	s.peek()
	return s.start < s.end
}

// line consumes one line and returns it without its end; io.EOF after the last,
// the reader's error when the stream broke inside a line.
func (s *splitter) line() ([]byte, error) {
	n, end, err := s.lineEnd(0)
	if err != nil {
		return nil, err
	}
	return s.take(n, end)
}

// lineEnd finds where the line that begins from bytes after the cursor ends,
// counted from the cursor, and how many bytes its ending has.
func (s *splitter) lineEnd(from int) (n, ending int, err error) {
	begin := from
	for {
		if i := bytes.IndexByte(s.block[s.start+from:s.end], '\n'); i >= 0 {
			return from + i, 1, nil
		}
		from = s.end - s.start
		if from > MaxItem {
			return 0, 0, errItemTooLong
		}
		if !s.fill() {
			if err := s.failed(); err != nil {
				return 0, 0, err
			}
			if from == begin {
				return 0, 0, io.EOF
			}
			return from, 0, nil
		}
	}
}

// take consumes n bytes and skip more, and returns the n.
func (s *splitter) take(n, skip int) ([]byte, error) {
	out := s.block[s.start : s.start+n : s.start+n]
	s.start += n + skip
	if n > MaxItem {
		return nil, errItemTooLong
	}
	return out, nil
}

// rest consumes everything that is left, at most max bytes.
func (s *splitter) rest(max int) ([]byte, error) {
	for s.fill() {
		if s.end-s.start > max {
			return nil, errItemTooLong
		}
	}
	if err := s.failed(); err != nil {
		return nil, err
	}
	if s.end-s.start > max {
		return nil, errItemTooLong
	}
	out := s.held()
	s.start = s.end
	return out, nil
}

// shape follows the brackets and strings of JSON without judging it.
type shape struct {
	depth         int
	inText, slash bool
}

// step takes the next byte.
func (p *shape) step(b byte) {
	switch {
	case p.slash:
		p.slash = false
	case p.inText:
		p.slash = b == '\\'
		p.inText = b != '"'
	case b == '"':
		p.inText = true
	case b == '{', b == '[':
		p.depth++
	case b == '}', b == ']':
		p.depth--
	}
}

// object returns the length of the object that begins at the cursor, however
// many lines it has; 0 when it does not close within MaxItem or the stream.
func (s *splitter) object() int {
	var p shape
	for i := 0; i <= MaxItem; i++ {
		if s.start+i == s.end && !s.fill() {
			return 0
		}
		b := s.block[s.start+i]
		if b == '\n' && p.inText {
			return 0
		}
		p.step(b)
		if p.depth == 0 {
			return i + 1
		}
	}
	return 0
}

// element returns the length of the array element at the cursor; it ends before
// a comma or the array's bracket. ok is false when the stream ends first.
func (s *splitter) element() (n int, ok bool) {
	var p shape
	for i := 0; i <= MaxItem; i++ {
		if s.start+i == s.end && !s.fill() {
			return i, false
		}
		b := s.block[s.start+i]
		if p.depth == 0 && !p.inText && (b == ',' || b == ']') {
			return i, true
		}
		p.step(b)
	}
	return MaxItem + 1, false
}
