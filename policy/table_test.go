package policy

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

func bitsN(n int) Bits { b, _ := KindTenant.Bits(fmt.Sprintf("TN%032x", n)); return b }

func TestBits(t *testing.T) {
	const id = "TN0123456789abcdef0123456789abcdef"
	if b, ok := KindTenant.Bits(id); !ok || b[0] != 0x01 || b[15] != 0xef || KindTenant.Of(b) != id {
		t.Errorf("%x %v", b, ok)
	}
	for _, bad := range []string{"", "TN", "SK" + id[2:], id + "0", id[:33] + "g", id[:33] + "A", id[:33] + "/", id[:33] + "\xff"} {
		if _, ok := KindTenant.Bits(bad); ok || ValidID(KindTenant, bad) {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestTablesAgreeWithMaps: any history of edits, with every earlier table still
// as it was.
func TestTablesAgreeWithMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tables []Table[int]
		var models []map[Bits]int
		table, model := Table[int]{}, map[Bits]int{}
		for range rapid.IntRange(1, 8).Draw(t, "edits") {
			x, next := table.Edit(), maps.Clone(model)
			for range rapid.IntRange(0, 40).Draw(t, "steps") {
				id := bitsN(rapid.IntRange(0, 60).Draw(t, "id"))
				if rapid.IntRange(0, 2).Draw(t, "what") == 0 {
					x.Delete(id)
					delete(next, id)
				} else {
					v := rapid.Int().Draw(t, "value")
					x.Put(id, v)
					next[id] = v
				}
				if got, want := x.Get(id), next[id]; (got == nil) != !has(next, id) || got != nil && *got != want {
					t.Fatalf("while edited: %v, want %v", got, want)
				}
			}
			table, model = x.Table(), next
			tables, models = append(tables, table), append(models, model)
		}
		for i := range tables {
			agree(t, tables[i], models[i])
		}
	})
}

func has(m map[Bits]int, id Bits) bool { _, ok := m[id]; return ok }

func agree(t interface{ Fatalf(string, ...any) }, table Table[int], model map[Bits]int) {
	if table.Len() != len(model) {
		t.Fatalf("%d entries, want %d", table.Len(), len(model))
	}
	seen := map[Bits]int{}
	for id, e := range table.All() {
		seen[id] = *e
	}
	if !maps.Equal(seen, model) {
		t.Fatalf("%v, want %v", seen, model)
	}
	for id, want := range model {
		if e := table.Get(id); e == nil || *e != want {
			t.Fatalf("%x: %v, want %d", id, e, want)
		}
	}
	for n := range 70 {
		if id := bitsN(n); !has(model, id) && table.Get(id) != nil {
			t.Fatalf("%x is there", id)
		}
	}
}

// Full shards, which the property's few ids do not make; and an early end of All.
func TestTableOfMany(t *testing.T) {
	const many = 50_000
	x := Table[int]{}.Edit()
	for i := range many {
		x.Put(bitsN(i), i)
	}
	table := x.Table()
	y := table.Edit()
	for i := 0; i < many; i += 2 {
		y.Delete(bitsN(i))
	}
	half := y.Table()
	for i := range many {
		if e := table.Get(bitsN(i)); e == nil || *e != i {
			t.Fatalf("%d is not there", i)
		}
		if gone := half.Get(bitsN(i)) == nil; gone != (i%2 == 0) {
			t.Fatalf("%d: gone %v", i, gone)
		}
	}
	if table.Len() != many || half.Len() != many/2 {
		t.Errorf("%d and %d", table.Len(), half.Len())
	}
	n := 0
	for range half.All() {
		if n++; n == 3 {
			break
		}
	}
	if (Table[int]{}).Get(bitsN(1)) != nil || (*Set)(nil).At(3).Revision() != 3 {
		t.Error("nothing holds something")
	}
	for range (Table[int]{}).All() {
		t.Error("an empty table yields something")
	}
}
