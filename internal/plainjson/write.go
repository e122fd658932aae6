package plainjson

import (
	"encoding/json"
	"strconv"
)

// Plain reports whether encoding/json writes a text as it is: printable ASCII
// without quote, backslash and what HTML could misread.
func Plain[T ~string | ~[]byte](text T) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

// AppendString appends a string as encoding/json writes it.
func AppendString[T ~string](b []byte, text T) []byte {
	if Plain(text) {
		b = append(b, '"')
		b = append(b, text...)
		return append(b, '"')
	}
	quoted, err := json.Marshal(string(text))
	if err != nil { // no string makes it fail
		panic(err)
	}
	return append(b, quoted...)
}

// AppendField appends a name as it stands, with its punctuation, and a string.
func AppendField[T ~string](b []byte, name string, text T) []byte {
	return AppendString(append(b, name...), text)
}

// AppendUint appends a name as it stands and a number.
func AppendUint[T ~uint64 | ~uint16](b []byte, name string, n T) []byte {
	return strconv.AppendUint(append(b, name...), uint64(n), 10)
}

// AppendInt appends a name as it stands and a number.
func AppendInt[T ~int64](b []byte, name string, n T) []byte {
	return strconv.AppendInt(append(b, name...), int64(n), 10)
}
