package backup

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzOpen reads files that nobody made: each is refused, or has a manifest of
// good form, and none holds against its own seal by chance.
func FuzzOpen(f *testing.F) {
	block := func(b []byte, text string) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
	}
	f.Add([]byte(magic))
	f.Add(block(block([]byte(magic), `{"format":1,"parts":[{}]}`), `{}`))
	f.Add(append(block(block([]byte(magic), `{}`), `{}`), make([]byte, 64)...))
	f.Add(append([]byte(magic), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Open(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		if err := b.Manifest.check(); err != nil {
			t.Fatalf("opened, and %v", err)
		}
		if b.Check(nil) == nil {
			t.Fatal("a backup that nobody made holds")
		}
	})
}
