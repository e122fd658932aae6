package policy

import (
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What is matched by hand is what the expression says that people read.
func TestPatternsAreTheirExpressions(t *testing.T) {
	for _, p := range []*pattern{purposePattern, profilePattern, basisPattern, entityPattern, reasonPattern, boundaryPattern} {
		t.Run(p.String(), func(t *testing.T) {
			say := regexp.MustCompile(p.String())
			text := rapid.OneOf(rapid.StringMatching(p.String()), rapid.StringMatching(`[a-zA-Z0-9_-]{0,66}`), rapid.StringMatching(`[a-z]{1,9}`), rapid.String())
			rapid.Check(t, func(t *rapid.T) {
				s := text.Draw(t, "text")
				if cut := rapid.IntRange(0, 1).Draw(t, "one more"); cut == 1 {
					s += rapid.SampledFrom([]string{"\n", "-", "_", "a", "A", "0", "é"}).Draw(t, "character")
				}
				if p.MatchString(s) != say.MatchString(s) {
					t.Errorf("%q: by hand %t", s, p.MatchString(s))
				}
			})
			for c := range 256 { // each byte, first and later
				for _, s := range []string{string([]byte{byte(c)}), "aa" + string([]byte{byte(c)}), "AA" + string([]byte{byte(c)}), string([]byte{byte(c), 'a'}), string([]byte{byte(c), 'A'})} {
					if p.MatchString(s) != say.MatchString(s) {
						t.Errorf("%q: by hand %t", s, p.MatchString(s))
					}
				}
			}
		})
	}
}

func TestKeysAscendAndStandOnce(t *testing.T) {
	a := map[DataClass]int{255: 1, 0: 1, 64: 1, CallRecord: 1}
	b := map[DataClass]int{CallRecord: 1, 63: 1, Consent: 1}
	if got := slices.Collect(ascending(a, b)); !slices.Equal(got, []DataClass{0, CallRecord, Consent, 63, 64, 255}) {
		t.Error(got)
	}
	for k := range ascending(b) {
		if k != CallRecord {
			t.Error(k)
		}
		break
	}
	if allocations := testing.AllocsPerRun(10, func() {
		for range ascending(a, b) {
		}
	}); allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
}
