package audit

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// RootOf is the root over leaf hashes that the caller has at hand; the hashes
// are used up.
func RootOf(leaves []Hash) Hash {
	if len(leaves) == 0 {
		root, _ := Root(0, nil) // reads nothing
		return root
	}
	// Level by level from the left. A last one without a neighbour goes up as it is,
	// which is what RFC 6962's split at a power of two comes to.
	for len(leaves) > 1 {
		half := leaves[:0]
		for i := 0; i+1 < len(leaves); i += 2 {
			half = append(half, nodeHash(leaves[i], leaves[i+1]))
		}
		if len(leaves)%2 == 1 {
			half = append(half, leaves[len(leaves)-1])
		}
		leaves = half
	}
	return leaves[0]
}

// PathOf proves that leaf hash number index is under RootOf; the hashes are used up.
func PathOf(index int, leaves []Hash) ([]Hash, error) {
	if index < 0 || index >= len(leaves) {
		return nil, fmt.Errorf("prove leaf %d: there are %d", index, len(leaves))
	}
	path := make([]Hash, 0, bits.Len(uint(len(leaves))))
	for len(leaves) > 1 {
		if next := index ^ 1; next < len(leaves) {
			path = append(path, leaves[next])
		}
		half := leaves[:0]
		for i := 0; i+1 < len(leaves); i += 2 {
			half = append(half, nodeHash(leaves[i], leaves[i+1]))
		}
		if len(leaves)%2 == 1 {
			half = append(half, leaves[len(leaves)-1])
		}
		leaves, index = half, index/2
	}
	return path, nil
}

func nodeHash(left, right Hash) Hash { return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right))) }
