package verify

import (
	"encoding/hex"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The records and roots that the RFC's authors publish with their
// implementation (certificate-transparency, merkletree tests).
var (
	rfcRecords = []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	rfcRoots   = []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
)

func rfcLeaves(t testing.TB) (out []Hash) {
	for _, r := range rfcRecords {
		b, err := hex.DecodeString(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, RecordHash(b))
	}
	return out
}

func TestRootsOfTheRFC(t *testing.T) {
	var tr tree
	leaves := rfcLeaves(t)
	for n, want := range rfcRoots {
		if got := tr.root(); hex.EncodeToString(got[:]) != want {
			t.Errorf("root of %d records is %x, want %s", n, got, want)
		}
		if n < len(leaves) {
			tr.add(leaves[n])
		}
	}
}

// The naive tree is RFC 6962 §2.1, §2.1.1 and §2.1.2 word by word, over leaf hashes.

func half(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func mth(d []Hash) Hash {
	if len(d) == 0 {
		return (&tree{}).root()
	}
	if len(d) == 1 {
		return d[0]
	}
	k := half(len(d))
	return node(mth(d[:k]), mth(d[k:]))
}

func path(m int, d []Hash) []Hash {
	if len(d) == 1 {
		return nil
	}
	if k := half(len(d)); m < k {
		return append(path(m, d[:k]), mth(d[k:]))
	} else {
		return append(path(m-k, d[k:]), mth(d[:k]))
	}
}

func subproof(m int, d []Hash, whole bool) []Hash {
	if m == len(d) {
		if whole {
			return nil
		}
		return []Hash{mth(d)}
	}
	if k := half(len(d)); m <= k {
		return append(subproof(m, d[:k], whole), mth(d[k:]))
	} else {
		return append(subproof(m-k, d[k:], false), mth(d[:k]))
	}
}

func at(d []Hash) Checkpoint { return Checkpoint{Origin: "o", Size: uint64(len(d)), Root: mth(d)} }

// RFC 6962 §2.1.3 gives proofs in a tree of seven leaves by the names of its nodes.
func TestProofsOfTheRFC(t *testing.T) {
	d := rfcLeaves(t)[:7]
	a, b, c, dd, e, f, j := d[0], d[1], d[2], d[3], d[4], d[5], d[6]
	g, h, i := node(a, b), node(c, dd), node(e, f)
	k, l := node(g, h), node(i, j)
	root := Checkpoint{Origin: "o", Size: 7, Root: node(k, l)}
	for index, proof := range map[uint64][]Hash{0: {b, h, l}, 3: {c, g, l}, 4: {f, j, k}, 6: {i, k}} {
		if err := Inclusion(root, index, d[index], proof); err != nil {
			t.Errorf("leaf %d: %v", index, err)
		}
	}
	for _, p := range []struct {
		older Checkpoint
		proof []Hash
	}{
		{Checkpoint{"o", 3, node(g, c)}, []Hash{c, dd, g, l}},
		{Checkpoint{"o", 4, k}, []Hash{l}},
		{Checkpoint{"o", 6, node(k, i)}, []Hash{i, j, k}},
	} {
		if err := Consistency(p.older, root, p.proof); err != nil {
			t.Errorf("%d in 7: %v", p.older.Size, err)
		}
	}
}

func leafHashes(n int) (d []Hash) {
	for i := range n {
		d = append(d, RecordHash([]byte{byte(i), byte(i >> 8)}))
	}
	return d
}

func TestINV26_ProofsHoldAndBrokenOnesDoNot(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := leafHashes(rapid.IntRange(1, 70).Draw(rt, "size"))
		i := rapid.IntRange(0, len(d)-1).Draw(rt, "index")
		m := rapid.IntRange(1, len(d)).Draw(rt, "older")
		in, cons := path(i, d), subproof(m, d, true)
		if err := Inclusion(at(d), uint64(i), d[i], in); err != nil {
			rt.Fatal(err)
		}
		if err := Consistency(at(d[:m]), at(d), cons); err != nil {
			rt.Fatal(err)
		}
		if other := rapid.IntRange(0, len(d)-1).Draw(rt, "other"); other != i {
			if Inclusion(at(d), uint64(other), d[i], in) == nil || Inclusion(at(d), uint64(i), d[other], in) == nil {
				rt.Fatal("a proof of one record proves another")
			}
		}
		for name, bad := range spoil(rt, in) {
			if Inclusion(at(d), uint64(i), d[i], bad) == nil {
				rt.Fatalf("inclusion: %s is taken", name)
			}
		}
		for name, bad := range spoil(rt, cons) {
			if Consistency(at(d[:m]), at(d), bad) == nil {
				rt.Fatalf("consistency: %s is taken", name)
			}
		}
		forked := slices.Clone(d[:m])
		forked[rapid.IntRange(0, m-1).Draw(rt, "forked")] = Hash{1}
		if Consistency(at(forked), at(d), cons) == nil || Consistency(at(forked), at(d), subproof(m, forked, true)) == nil {
			rt.Fatal("a fork is taken")
		}
	})
}

// spoil gives proofs that are no proofs any more.
func spoil(rt *rapid.T, proof []Hash) map[string][]Hash {
	out := map[string][]Hash{"one hash more": append(slices.Clone(proof), Hash{}), "one hash before": append([]Hash{{}}, proof...)}
	if len(proof) > 0 {
		out["one hash less"] = proof[1:]
		out["the last missing"] = proof[:len(proof)-1]
		flipped := slices.Clone(proof)
		flipped[rapid.IntRange(0, len(proof)-1).Draw(rt, "hash")][rapid.IntRange(0, 31).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		out["a flipped bit"] = flipped
	}
	if len(proof) > 1 && proof[0] != proof[1] {
		swapped := slices.Clone(proof)
		swapped[0], swapped[1] = swapped[1], swapped[0]
		out["two swapped"] = swapped
	}
	return out
}

func TestConsistencyOfWhatNeedsNoProof(t *testing.T) {
	d := leafHashes(5)
	other := Checkpoint{Origin: "o", Size: 5, Root: Hash{9}}
	foreign := at(d)
	foreign.Origin = "p"
	for name, c := range map[string]struct {
		older, newer Checkpoint
		proof        []Hash
		want         Kind
	}{
		"same":                {at(d), at(d), nil, ""},
		"same, with a proof":  {at(d), at(d), d[:1], BadProof},
		"empty before":        {at(nil), at(d), nil, ""},
		"empty, with a proof": {at(nil), at(d), d[:1], BadProof},
		"one size, two roots": {at(d), other, nil, Fork},
		"another log":         {foreign, at(d), nil, Fork},
		"the log shrank":      {at(d), at(d[:3]), nil, Truncated},
		"no proof":            {at(d[:3]), at(d), nil, BadProof},
	} {
		wantKind(t, name, Consistency(c.older, c.newer, c.proof), c.want)
	}
	wantKind(t, "index beyond the log", Inclusion(at(d), 5, d[0], nil), BadProof)
	wantKind(t, "record of an empty log", Inclusion(at(nil), 0, d[0], nil), BadProof)
}
