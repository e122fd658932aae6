package intake

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// cursor reads one JSON text strictly (RFC 8259, and valid UTF-8 without lone
// surrogates as in RFC 7493) without building a tree: a decoder by reflection
// costs ten times as much, keeps only the last of duplicate keys, and repairs
// what we must refuse. Strings without escapes are slices of the text.
type cursor struct {
	s     string
	i     int
	depth int
}

// parseObject reads s as exactly one JSON object, calling field with the cursor
// before each value; field must consume it.
func parseObject(s string, field func(c *cursor, key string) error) error {
	if !utf8.ValidString(s) {
		return ProblemText
	}
	c := &cursor{s: s}
	c.space()
	if c.i < len(s) && s[c.i] != '{' {
		if c.skip() != nil || !c.atEnd() {
			return ProblemJSON
		}
		return ProblemNotObject
	}
	if err := c.object(field); err != nil {
		return err
	}
	if !c.atEnd() {
		return ProblemJSON
	}
	return nil
}

func (c *cursor) space() {
	for c.i < len(c.s) {
		switch c.s[c.i] {
		case ' ', '\t', '\r', '\n':
			c.i++
		default:
			return
		}
	}
}

func (c *cursor) atEnd() bool {
	c.space()
	return c.i == len(c.s)
}

// take consumes b after white space and reports whether it was there.
func (c *cursor) take(b byte) bool {
	c.space()
	if c.i < len(c.s) && c.s[c.i] == b {
		c.i++
		return true
	}
	return false
}

// next is the first byte of the next value, 0 at the end.
func (c *cursor) next() byte {
	c.space()
	if c.i == len(c.s) {
		return 0
	}
	return c.s[c.i]
}

func (c *cursor) object(field func(c *cursor, key string) error) error {
	if c.depth++; c.depth > MaxDepth || !c.take('{') {
		return ProblemJSON
	}
	defer func() { c.depth-- }()
	if c.take('}') {
		return nil
	}
	for {
		if c.next() != '"' {
			return ProblemJSON
		}
		key, err := c.text()
		if err != nil || !c.take(':') {
			return ProblemJSON
		}
		if err := field(c, key); err != nil {
			return err
		}
		if c.take('}') {
			return nil
		}
		if !c.take(',') {
			return ProblemJSON
		}
	}
}

func (c *cursor) array(element func(c *cursor) error) error {
	if c.depth++; c.depth > MaxDepth || !c.take('[') {
		return ProblemJSON
	}
	defer func() { c.depth-- }()
	if c.take(']') {
		return nil
	}
	for {
		if err := element(c); err != nil {
			return err
		}
		if c.take(']') {
			return nil
		}
		if !c.take(',') {
			return ProblemJSON
		}
	}
}

// skip consumes and checks one value of any kind.
func (c *cursor) skip() error {
	switch c.next() {
	case '{':
		return c.object(func(c *cursor, _ string) error { return c.skip() })
	case '[':
		return c.array((*cursor).skip)
	}
	_, _, err := c.scalar()
	return err
}

// The kinds of a scalar.
const (
	kindText = iota
	kindNumber
	kindBool
	kindNull
)

var literals = []struct {
	word, text string
	kind       int
}{{"true", "true", kindBool}, {"false", "false", kindBool}, {"null", "", kindNull}}

// scalar reads a string, number, boolean or null; text is what a string holds
// or the other's literal, "" for null.
func (c *cursor) scalar() (text string, kind int, err error) {
	switch b := c.next(); {
	case b == '"':
		text, err = c.text()
		return text, kindText, err
	case b == '-' || b >= '0' && b <= '9':
		text, err = c.number()
		return text, kindNumber, err
	}
	for _, l := range literals {
		if strings.HasPrefix(c.s[c.i:], l.word) {
			c.i += len(l.word)
			return l.text, l.kind, nil
		}
	}
	return "", 0, ProblemJSON
}

func (c *cursor) number() (string, error) {
	start := c.i
	if c.s[c.i] == '-' {
		c.i++
	}
	first := c.i
	if c.digits() == 0 || c.s[first] == '0' && c.i > first+1 {
		return "", ProblemJSON
	}
	if c.i < len(c.s) && c.s[c.i] == '.' {
		c.i++
		if c.digits() == 0 {
			return "", ProblemJSON
		}
	}
	if c.i < len(c.s) && (c.s[c.i] == 'e' || c.s[c.i] == 'E') {
		c.i++
		if c.i < len(c.s) && (c.s[c.i] == '+' || c.s[c.i] == '-') {
			c.i++
		}
		if c.digits() == 0 {
			return "", ProblemJSON
		}
	}
	return c.s[start:c.i], nil
}

func (c *cursor) digits() (n int) {
	for c.i < len(c.s) && c.s[c.i] >= '0' && c.s[c.i] <= '9' {
		c.i++
		n++
	}
	return n
}

// text reads a string; the next byte is its quote.
func (c *cursor) text() (string, error) {
	c.i++
	s, start := c.s, c.i
	for i := start; i < len(s); i++ {
		switch b := s[i]; {
		case b == '"':
			c.i = i + 1
			return s[start:i], nil
		case b == '\\':
			return c.escaped(start, i)
		case b < ' ':
			return "", ProblemJSON
		}
	}
	return "", ProblemJSON
}

// escaped reads on in a string from its first backslash at i.
func (c *cursor) escaped(start, i int) (string, error) {
	s := c.s
	var out strings.Builder
	out.WriteString(s[start:i])
	for i < len(s) {
		b := s[i]
		switch {
		case b == '"':
			c.i = i + 1
			return out.String(), nil
		case b < ' ':
			return "", ProblemJSON
		case b != '\\':
			out.WriteByte(b)
			i++
			continue
		}
		if i+1 >= len(s) {
			break
		}
		if s[i+1] == 'u' {
			r, n := unicodeEscape(s[i:])
			if n == 0 {
				return "", ProblemJSON
			}
			out.WriteRune(r)
			i += n
			continue
		}
		at := strings.IndexByte(`"\/bfnrt`, s[i+1])
		if at < 0 {
			return "", ProblemJSON
		}
		out.WriteByte("\"\\/\b\f\n\r\t"[at])
		i += 2
	}
	return "", ProblemJSON
}

// unicodeEscape reads \uXXXX, or a pair of them for one rune; n = 0 when it is
// broken or half of a pair.
func unicodeEscape(s string) (r rune, n int) {
	r, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hex4(s[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

func hex4(s string) (r rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, b := range []byte(s[2:6]) {
		d := hexDigit(b)
		if d < 0 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func hexDigit(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
