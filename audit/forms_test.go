package audit

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// What is written by hand is what the expression says.
func TestFormsAreTheirExpressions(t *testing.T) {
	action := regexp.MustCompile(`^[a-z_]{1,20}\.[a-z_]{1,20}$`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a-z_]{0,22}[.A0\n]?[a-z_]{0,22}[.\n]?`).Draw(t, "action")
		if isAction(s) != action.MatchString(s) {
			t.Fatalf("%q: %v by hand", s, isAction(s))
		}
	})
}
