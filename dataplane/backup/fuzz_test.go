package backup

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzHead reads heads that nobody wrote: each is refused, or is of our format
// and has an id that can be a file's name.
func FuzzHead(f *testing.F) {
	head := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(text))), text...)
	}
	f.Add(head(`{"format":2,"id":"../../etc/passwd"}`))
	f.Add(head(`{"format":2}`))
	f.Add(head(`{"format":1}`))
	f.Add(append([]byte(snapshotMagic), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, _, err := readHead(bytes.NewReader(raw))
		if err == nil && !idForm.MatchString(s.ID) {
			t.Fatalf("the id %q passed", s.ID)
		}
	})
}
