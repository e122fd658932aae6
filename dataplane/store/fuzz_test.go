package store

import (
	"reflect"
	"testing"
)

// FuzzRows reads rows of the region's log and batches of receipts: what is read is
// written so that it is read as the same.
func FuzzRows(f *testing.F) {
	n := Noted{Time: 3, Entry: Entry{Action: "erase", Resource: "x", Tenant: "TN", Detail: []byte("d")}}
	f.Add(n.Append(nil))
	l := LogLeaf{Tenant: "TN", Record: []byte("r"), Detail: []byte("d"), Parts: []byte("p")}
	f.Add(l.Append(nil))
	b := Batch{Time: 5, Parts: []BatchPart{{First: 1, Count: 2, Revision: 3}}}
	f.Add(b.Append(nil))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := ReadNoted(1, raw); err == nil {
			if again, err := ReadNoted(1, n.Append(nil)); err != nil || !reflect.DeepEqual(again, n) {
				t.Fatalf("%+v was read again as %+v, %v", n, again, err)
			}
		}
		if l, err := ReadLogLeaf(1, raw); err == nil {
			if again, err := ReadLogLeaf(1, l.Append(nil)); err != nil || !reflect.DeepEqual(again, l) {
				t.Fatalf("%+v was read again as %+v, %v", l, again, err)
			}
		}
		if b, err := ReadBatch(raw); err == nil {
			if again, err := ReadBatch(b.Append(nil)); err != nil || !reflect.DeepEqual(again, b) {
				t.Fatalf("%+v was read again as %+v, %v", b, again, err)
			}
		}
	})
}
