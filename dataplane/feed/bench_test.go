package feed

import (
	"fmt"
	"testing"

	"github.com/domicile-io/domicile/api/bundle"
)

// BenchmarkStateHashOfADelta is what each delta costs a node beside its rows,
// at 100,000 tenants: copy the state, replace a row, hash.
func BenchmarkStateHashOfADelta(b *testing.B) {
	const tenants = 100_000
	var s bundle.State
	body := make([]byte, 1500)
	for i := range tenants {
		s.Put(fmt.Sprintf("t/TN%032x", i*7919), body)
	}
	b.ResetTimer()
	for b.Loop() {
		next := s.Clone()
		next.Put("t/TN00000000000000000000000000000000", body)
		if next.Hash() == (bundle.Hash{}) {
			b.Fatal("no hash")
		}
	}
}
