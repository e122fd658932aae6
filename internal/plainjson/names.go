package plainjson

import "encoding"

// Names are the texts of a closed list of at most 255 values, numbered from 1.
type Names[T ~uint8] struct {
	texts  [256]string // "": not in the list
	values map[string]T
}

// NamesOf reads a closed list off its MarshalText.
func NamesOf[T interface {
	~uint8
	encoding.TextMarshaler
}]() *Names[T] {
	n := &Names[T]{values: make(map[string]T)}
	for i := range len(n.texts) {
		if text, err := T(i).MarshalText(); err == nil && len(text) > 0 && Plain(text) {
			n.texts[i] = string(text)
			n.values[string(text)] = T(i)
		}
	}
	return n
}

// Append appends a name as it stands and a value's text; ok is false for a value
// that the list does not have.
func (n *Names[T]) Append(b []byte, name string, v T) (out []byte, ok bool) {
	b = append(append(b, name...), '"')
	b = append(b, n.texts[v]...)
	return append(b, '"'), n.texts[v] != ""
}

// Text of a value.
func (n *Names[T]) Text(v T) string { return n.texts[v] }

// Read takes a value's text.
func (n *Names[T]) Read(r *Reader) T {
	v, ok := n.values[string(r.Text())]
	if !ok {
		r.Fail()
	}
	return v
}

// Count of the values.
func (n *Names[T]) Count() int { return len(n.values) }
