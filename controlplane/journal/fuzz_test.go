package journal

import (
	"bytes"
	"testing"
)

// FuzzParseFrame: what is taken for a record is, byte for byte, one that would be
// written so; padding apart, which nobody reads.
func FuzzParseFrame(f *testing.F) {
	good := appendFrame(nil, 7, 5, []byte("an entry"))
	f.Add(good)
	f.Add(good[:len(good)-6])
	f.Add(appendFrame(nil, 1, 2, []byte("a batch that begins behind its record")))
	f.Add(make([]byte, headerSize))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, data, ok := parseFrame(raw)
		if !ok {
			return
		}
		again := appendFrame(nil, h.index, h.batch, data)
		if n := headerSize + len(data); h.batch > h.index || len(data) == 0 || !bytes.Equal(again[:n], raw[:n]) {
			t.Fatalf("%x is no record, and was read as %+v", raw, h)
		}
	})
}
