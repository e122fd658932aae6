package sealed

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
)

// setBatch is a batch that only remembers what was set, in order.
type setBatch struct {
	Batch
	keys, values [][]byte
}

func (b *setBatch) Set(key, value []byte) error {
	b.keys, b.values = append(b.keys, bytes.Clone(key)), append(b.values, bytes.Clone(value))
	return nil
}

// Rows leave their buffer in the order of their whole keys, also of keys of which one
// begins with the other, and of two with one key the later one comes last.
func TestRowsGoInKeyOrder(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(1, 2))
	tenant := tenantRaw{3, 0xff, 0, 7}
	var b rowBuffer
	newest := map[string]byte{}
	for i := range 4000 {
		key := keyOf(nil, []kind{kindTime, kindFold, kindPosting, kindSubject, 'F'}[rnd.IntN(5)], tenant)
		for range rnd.IntN(12) {
			key = append(key, byte(rnd.IntN(2)*255)) // many alike
		}
		newest[string(key)] = byte(i)
		b.set(key, []byte{byte(i)})
	}
	var got setBatch
	if err := b.moveTo(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.keys) != 4000 || !slices.IsSortedFunc(got.keys, bytes.Compare) {
		t.Fatalf("%d rows, in order: %t", len(got.keys), slices.IsSortedFunc(got.keys, bytes.Compare))
	}
	for i, key := range got.keys {
		if last := i+1 == len(got.keys) || !bytes.Equal(key, got.keys[i+1]); last && got.values[i][0] != newest[string(key)] {
			t.Fatalf("of %x %d stays, the last was %d", key, got.values[i][0], newest[string(key)])
		}
	}
}

// Each party that is new gets an id that nobody else has, also behind the ids that
// were drawn at once.
func TestSubjectsGetIDsOfTheirOwn(t *testing.T) {
	for _, records := range []int{1, 3, 100} {
		g := &group{t: &tenant{s: &Store{rand: rand.Reader}}, jobs: []*job{{recs: make([]record.Record, records)}}}
		seen := map[[16]byte]bool{{}: true}
		for range 300 {
			id, err := g.drawID()
			if err != nil {
				t.Fatal(err)
			}
			if seen[id] {
				t.Fatalf("of %d records: one id was given twice, or is zero", records)
			}
			seen[id] = true
		}
	}
}
