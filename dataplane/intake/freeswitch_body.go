package intake

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
)

// unwrap undoes the encode setting. Base64 is not percent-encoded by the
// source, so its plus is a plus; in percent-encoded text FreeSWITCH writes %2B.
func unwrap(body []byte) ([]byte, error) {
	body = bytes.TrimRight(body, "\x00 \t\r\n")
	value, isForm := bytes.CutPrefix(body, []byte("cdr="))
	if isForm && bytes.HasPrefix(value, []byte("{")) {
		return value, nil // raw after all: every encoder escapes the brace
	}
	if isForm {
		value, _, _ = bytes.Cut(value, []byte("&"))
	}
	switch {
	case len(value) == 0:
		return nil, ProblemEmpty
	case value[0] == '%':
		return percentDecoded(string(value))
	case !isForm && !isBase64(value):
		return nil, ProblemUnsupported
	}
	text := string(value)
	if strings.Contains(text, "%") { // a proxy encoded it after all
		var err error
		if text, err = url.PathUnescape(text); err != nil {
			return nil, ProblemEscape
		}
	}
	text = strings.NewReplacer("\r", "", "\n", "", " ", "+").Replace(text)
	out, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, ProblemBase64
	}
	return trimmed(bytes.TrimRight(out, "\x00")), nil
}

// percentDecoded undoes percent-encoding. A plus is a space only to encoders
// that do not write %20 for one.
func percentDecoded(s string) ([]byte, error) {
	decode := url.QueryUnescape
	if strings.Contains(s, "%20") {
		decode = url.PathUnescape
	}
	text, err := decode(s)
	if err != nil {
		return nil, ProblemEscape
	}
	return trimmed([]byte(text)), nil
}

func trimmed(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

// isBase64 tells a base64 spool file from text: JSON objects begin "ey" or "ew".
func isBase64(b []byte) bool {
	return len(b) > 2 && b[0] == 'e' && (b[1] == 'y' || b[1] == 'w')
}
