package policy

import (
	"iter"
	"math/bits"
)

// ascending goes through the keys of maps in order, each once, so that errors and
// changes come in a stable order. It allocates nothing: a policy has some thirty
// keys, and every voter goes through them several times for each change.
func ascending[K ~uint8, V any](maps ...map[K]V) iter.Seq[K] {
	var has [256 / 64]uint64
	for _, m := range maps {
		for k := range m {
			has[k/64] |= 1 << (k % 64)
		}
	}
	return func(yield func(K) bool) {
		for i, word := range has {
			for ; word != 0; word &= word - 1 {
				if !yield(K(i*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}
