package replica

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
)

// FuzzEntry: what is read as an entry is written as the same bytes.
func FuzzEntry(f *testing.F) {
	f.Add(encodeEntry(&raft.Log{Term: 3, Type: raft.LogCommand, Data: []byte("a command")}))
	f.Add(make([]byte, entryHead))
	f.Add(make([]byte, entryHead-1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l raft.Log
		if err := decodeEntry(7, raw, &l); err != nil {
			return
		}
		if again := encodeEntry(&l); l.Index != 7 || !bytes.Equal(again, raw) {
			t.Fatalf("%x was read as %+v and written as %x", raw, l, again)
		}
	})
}
