package store

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// What is checked by hand is what the expression says.
func TestFormsByHandAreThoseOfTheExpressions(t *testing.T) {
	forms := []struct {
		form   *regexp.Regexp
		byHand func(string) bool
	}{
		{regexp.MustCompile(`^(PR[0-9a-f]{32}|ND[0-9a-f]{32}|bootstrap)$`), isActor},
		{regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`), IsUUID},
		{regexp.MustCompile(`^[0-9a-f]{64}$`), func(s string) bool { return IsHex(s, 64) }},
	}
	rapid.Check(t, func(rt *rapid.T) {
		for _, f := range forms {
			s := rapid.StringMatching(f.form.String()).Draw(rt, "text")
			if !f.byHand(s) {
				rt.Fatalf("%q is refused, and %s takes it", s, f.form)
			}
			b := []byte(s)
			at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
			switch rapid.IntRange(0, 3).Draw(rt, "change") {
			case 0:
				b[at] = rapid.Byte().Draw(rt, "byte")
			case 1:
				b = append(b[:at], b[at+1:]...)
			case 2:
				b = append(b, '\n')
			case 3:
				b[at] = rapid.SampledFrom([]byte("gG-/:`Ff0")).Draw(rt, "near")
			}
			if f.byHand(string(b)) != f.form.Match(b) {
				rt.Fatalf("%q: by hand %v, and %s says %v", b, f.byHand(string(b)), f.form, f.form.Match(b))
			}
		}
	})
}
