package audit

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The naive tree is RFC 6962 §2.1 word by word.

func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func inner(l, r Hash) Hash {
	return sha256.Sum256(slices.Concat([]byte{1}, l[:], r[:]))
}

func mth(d [][]byte) Hash {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(slices.Concat([]byte{0}, d[0]))
	}
	k := split(len(d))
	return inner(mth(d[:k]), mth(d[k:]))
}

func path(m int, d [][]byte) []Hash {
	if len(d) == 1 {
		return nil
	}
	k := split(len(d))
	if m < k {
		return append(path(m, d[:k]), mth(d[k:]))
	}
	return append(path(m-k, d[k:]), mth(d[:k]))
}

func subproof(m int, d [][]byte, whole bool) []Hash {
	if m == len(d) {
		if whole {
			return nil
		}
		return []Hash{mth(d)}
	}
	k := split(len(d))
	if m <= k {
		return append(subproof(m, d[:k], whole), mth(d[k:]))
	}
	return append(subproof(m-k, d[k:], false), mth(d[:k]))
}

func TestTreeIsTheOneOfTheRFC(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &memory{}
		for _, r := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 70).Draw(rt, "records") {
			m.append(t, r)
		}
		size := rapid.Uint64Range(0, m.size()).Draw(rt, "size")
		d := m.records[:size]
		if root, err := Root(size, m.read); err != nil || root != mth(d) {
			rt.Fatalf("root of %d: %x, %v", size, root, err)
		}
		if size == 0 {
			return
		}
		i := rapid.Uint64Range(0, size-1).Draw(rt, "index")
		if p, err := Inclusion(i, size, m.read); err != nil || !slices.Equal(p, path(int(i), d)) {
			rt.Fatalf("proof of %d in %d: %x, %v", i, size, p, err)
		}
		old := rapid.Uint64Range(1, size).Draw(rt, "old")
		if p, err := Consistency(old, size, m.read); err != nil || !slices.Equal(p, subproof(int(old), d, true)) {
			rt.Fatalf("proof of %d in %d: %x, %v", old, size, p, err)
		}
		if RecordHash(d[i]) != mth(d[i:i+1]) {
			rt.Fatal("hash of a record")
		}
	})
}

func TestProofsRefuseWhatCannotBe(t *testing.T) {
	m := &memory{}
	for n := range 5 {
		m.append(t, []byte{byte(n)})
	}
	if _, err := Inclusion(5, 5, m.read); err == nil {
		t.Error("a record beyond the log was proved")
	}
	for _, c := range [][2]uint64{{0, 5}, {6, 5}} {
		if _, err := Consistency(c[0], c[1], m.read); err == nil {
			t.Errorf("%d was proved to begin %d", c[0], c[1])
		}
	}
}

// A hash that cannot be read ends the append: the transaction fails with it.
func TestAppendPassesOnWhatReadSays(t *testing.T) {
	m := &memory{}
	m.append(t, []byte("0"))
	broken := func(uint64) (Hash, error) { return Hash{}, errRead }
	if _, _, err := Append(1, []byte("1"), broken); !errors.Is(err, errRead) {
		t.Errorf("append: %v", err)
	}
	if _, err := Root(1, broken); !errors.Is(err, errRead) {
		t.Errorf("root: %v", err)
	}
	if _, err := Root(2, m.read); !errors.Is(err, errRead) {
		t.Errorf("root of more than there is: %v", err)
	}
}

// An append reads as many hashes as subtrees become full, and no more.
func TestAppendReadsFewHashes(t *testing.T) {
	m, reads, worst := &memory{}, 0, 0
	for n := range 4096 {
		now := 0
		first, hashes, err := Append(m.size(), []byte{byte(n)}, func(i uint64) (Hash, error) { now++; return m.read(i) })
		if err != nil || first != uint64(len(m.hashes)) {
			t.Fatal(first, err)
		}
		m.hashes, m.records = append(m.hashes, hashes...), append(m.records, []byte{byte(n)})
		reads, worst = reads+now, max(worst, now)
	}
	if reads > 4096 || worst > 12 || len(m.hashes) > 2*4096 {
		t.Errorf("%d reads, at most %d at once, %d hashes for 4096 records", reads, worst, len(m.hashes))
	}
}
