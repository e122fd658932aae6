package audit

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is kept is part of the replicated state: its bytes are frozen.
func TestPackedLeafIsFrozen(t *testing.T) {
	b, err := leaf(7).Pack()
	if err != nil {
		t.Fatal(err)
	}
	want := "a5ebdcca06070102ff50520000000000000000000000000000000aff544e000000000000000000000000000000070000000000000000000000000000000000000000000000000000000000000007"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("packed as\n%s, want\n%s", got, want)
	}
	numbers := map[Action]int{"policy.put": 1, "tenant.create": 2, "basis.drill": 21}
	for a, n := range numbers {
		if actions[n] != a {
			t.Errorf("action %d is %s, and was %s: the list is append-only", n, actions[n], a)
		}
	}
}

func TestLeavesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := func(kind string) string {
			return kind + hex.EncodeToString(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		}
		l := Leaf{Index: rapid.Uint64().Draw(t, "index"), Revision: rapid.Uint64Min(1).Draw(t, "revision"),
			Time:     time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")),
			Actor:    rapid.SampledFrom([]string{"bootstrap", id("PR"), id("ND")}).Draw(t, "actor"),
			Action:   rapid.SampledFrom(append([]Action{"something.new"}, actions[1:]...)).Draw(t, "action"),
			Resource: rapid.SampledFrom([]string{"ie1", "SCC", id("TN"), id("CH")}).Draw(t, "resource"),
			Command:  hex.EncodeToString(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "command"))}
		want, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		packed, err := l.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Unpack(l.Index, packed); err != nil || string(got) != string(want) {
			t.Fatalf("%s, want %s: %v", got, want, err)
		}
		if got, err := Unpack(l.Index, packed[:rapid.IntRange(0, len(packed)-1).Draw(t, "cut")]); err == nil {
			t.Fatalf("a cut leaf became %s", got)
		}
		if _, err := Unpack(l.Index, append(packed, 0)); err == nil {
			t.Fatal("a byte too many was taken")
		}
	})
}

// A log that keeps few hashes gives the roots and proofs of one that keeps all.
func TestASparseLogIsTheSameLog(t *testing.T) {
	all := &memory{}
	few := map[uint64]Hash{}
	reads := 0
	read := Sparse(func(n uint64) (Hash, error) {
		h, ok := few[n]
		if !ok {
			return h, fmt.Errorf("hash %d is not kept: %w", n, errRead)
		}
		return h, nil
	}, func(index uint64) (Hash, error) {
		reads++
		return RecordHash(all.records[index]), nil
	})
	same := func(a, b any, err, err2 error) {
		t.Helper()
		if err != nil || err2 != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("of %d records: %v and %v, %v %v", all.size(), a, b, err, err2)
		}
	}
	const records = 3*Block + 5
	for n := range records {
		record, err := leaf(n).Encode()
		if err != nil {
			t.Fatal(err)
		}
		size := all.size()
		first, hashes, err := AppendSparse(size, record, read)
		if err != nil {
			t.Fatal(err)
		}
		all.append(t, record)
		for i, h := range hashes {
			few[first+uint64(i)] = h
			if h != all.hashes[first+uint64(i)] {
				t.Fatalf("hash %d differs", first+uint64(i))
			}
		}
		end := uint64(0)
		for k := range few {
			end = max(end, k+1)
		}
		if end != EndSparse(all.size()) {
			t.Fatalf("of %d records hashes end at %d, and EndSparse says %d", all.size(), end, EndSparse(all.size()))
		}
		a, err := Root(all.size(), all.read)
		b, err2 := Root(all.size(), read)
		same(a, b, err, err2)
	}
	if len(few) != 4 {
		t.Errorf("%d hashes are kept of %d records, want 4", len(few), records)
	}
	for index := uint64(0); index < records; index += 41 {
		a, err := Inclusion(index, records, all.read)
		b, err2 := Inclusion(index, records, read)
		same(a, b, err, err2)
		a, err = Consistency(index+1, records, all.read)
		b, err2 = Consistency(index+1, records, read)
		same(a, b, err, err2)
	}
	reads = 0
	if _, err := Inclusion(300, records, read); err != nil || reads > 2*Block {
		t.Errorf("a proof reads %d records: %v", reads, err)
	}
}
