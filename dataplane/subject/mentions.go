package subject

import (
	"bytes"
	"net/url"
	"strings"
)

// minDigits is the least length of a number, without its country code, that is
// searched for inside longer runs of digits. A shorter one (an extension) only
// counts when it stands alone.
const minDigits = 7

// mentions finds one person's number in text that nobody could parse.
type mentions struct {
	digits string // without the country code and trunk prefixes; "" for an address that is not a number
	word   string // the value as the source wrote it, in lower case; "" when only the digits count
}

// newMentions takes a number in E.164, or a raw value as a source wrote it.
// country is the number's country calling code, "" when it is not known.
func newMentions(e164, callingCode, raw string) mentions {
	m := mentions{}
	if e164 != "" {
		m.digits = strings.TrimPrefix(strings.TrimPrefix(e164, "+"), callingCode)
	}
	if raw = strings.ToLower(strings.TrimSpace(raw)); raw != "" {
		if d := onlyDigits(raw); len(d) >= minDigits && m.digits == "" {
			m.digits = strings.TrimLeft(d, "0")
		}
		m.word = raw
	}
	return m
}

func (m mentions) empty() bool { return m.digits == "" && m.word == "" }

// in reports whether a payload mentions the number in any of the forms in which
// sources write numbers: international, national or local, with spaces, dots,
// dashes, brackets or slashes in it, percent-encoded, as JSON escapes, in UTF-16.
// It errs towards yes: digits that continue before or after still count.
func (m mentions) in(payload []byte) bool {
	if m.inText(payload) {
		return true
	}
	if bytes.IndexByte(payload, '%') >= 0 {
		if plain, err := url.PathUnescape(string(payload)); err == nil && m.inText([]byte(plain)) {
			return true
		}
		if plain := looseUnescape(payload); m.inText(plain) {
			return true
		}
	}
	if bytes.Contains(payload, []byte(`\u`)) || bytes.Contains(payload, []byte(`\/`)) {
		return m.inText(unescapeJSON(payload))
	}
	return false
}

func (m mentions) inText(text []byte) bool {
	if len(m.digits) >= minDigits && bytes.Contains(squeeze(text), []byte(m.digits)) {
		return true
	}
	if m.word != "" && alone(bytes.ToLower(text), []byte(m.word)) {
		return true
	}
	return m.digits != "" && len(m.digits) < minDigits && alone(squeeze(text), []byte(m.digits))
}

// squeeze leaves out what people and systems put between the digits of a
// number, so that the digits stand together; everything else separates.
func squeeze(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '-', '.', '(', ')', '/', 0, '+', '_':
		case 0xC2: // U+00A0, the no-break space
			if i+1 < len(text) && text[i+1] == 0xA0 {
				i++
				continue
			}
			out = append(out, c)
		case 0xE2: // U+2010…U+2015 dashes, U+2009, U+202F spaces
			if i+2 < len(text) && text[i+1] == 0x80 && (text[i+2] >= 0x89 && text[i+2] <= 0x95 || text[i+2] == 0xAF) {
				i += 2
				continue
			}
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return out
}

// alone reports whether word stands in text with neither letter nor digit
// before or behind it.
func alone(text, word []byte) bool {
	for at := 0; ; {
		i := bytes.Index(text[at:], word)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(word)
		if (i == 0 || !wordByte(text[i-1])) && (end == len(text) || !wordByte(text[end])) {
			return true
		}
		at = i + 1
	}
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// looseUnescape decodes each well-formed %XX and leaves the rest as it is.
func looseUnescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			if hi, ok := hexDigit(b[i+1]); ok {
				if lo, ok := hexDigit(b[i+2]); ok {
					out = append(out, hi<<4|lo)
					i += 2
					continue
				}
			}
		}
		out = append(out, b[i])
	}
	return out
}

// unescapeJSON decodes \uXXXX of ASCII, and drops the backslash before a slash.
func unescapeJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && b[i+1] == '/' {
			continue
		}
		if b[i] == '\\' && i+5 < len(b) && b[i+1] == 'u' && b[i+2] == '0' && b[i+3] == '0' {
			hi, okHi := hexDigit(b[i+4])
			lo, okLo := hexDigit(b[i+5])
			if okHi && okLo {
				out = append(out, hi<<4|lo)
				i += 5
				continue
			}
		}
		out = append(out, b[i])
	}
	return out
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
