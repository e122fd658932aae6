package audit

import (
	"fmt"
	"slices"
	"testing"
)

// Trees that are made at once are those that grow leaf by leaf.
func TestHashesAtHandMakeTheSameTree(t *testing.T) {
	for size := range 70 {
		m := &memory{}
		var leaves []Hash
		for n := range size {
			record := fmt.Appendf(nil, "%d", n)
			m.append(t, record)
			leaves = append(leaves, RecordHash(record))
		}
		want, err := Root(uint64(size), m.read)
		if got := RootOf(slices.Clone(leaves)); err != nil || got != want {
			t.Fatalf("root of %d is %x, want %x: %v", size, got, want, err)
		}
		for i := range size {
			want, err := Inclusion(uint64(i), uint64(size), m.read)
			got, err2 := PathOf(i, slices.Clone(leaves))
			if err != nil || err2 != nil || !slices.Equal(got, want) {
				t.Fatalf("path of %d in %d is %x, want %x: %v %v", i, size, got, want, err, err2)
			}
		}
		if _, err := PathOf(size, leaves); err == nil {
			t.Fatalf("proved leaf %d of %d", size, size)
		}
	}
}
