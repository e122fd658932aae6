package server

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/controlplane/store"
)

// What is written by hand is what the expressions say.
func TestFormsAreTheirExpressions(t *testing.T) {
	etag := regexp.MustCompile(`^[0-9a-f]{1,64}$`)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	request := regexp.MustCompile(`^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
	forms := rapid.OneOf(rapid.StringMatching(`[0-9a-f]{8}(-[0-9a-g]{4}){3}-[0-9a-f]{12}\n?`), rapid.StringMatching(`[0-9a-f]{31,33}`),
		rapid.StringMatching(`[0-9a-fA-F]{0,66}[\n-]?`), rapid.StringMatching(`[0-9a-f-]{36}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		s := forms.Draw(t, "text")
		if isETag(s) != etag.MatchString(s) || store.IsUUID(s) != uuid.MatchString(s) || isRequestID(s) != request.MatchString(s) {
			t.Fatalf("%q: %v, %v, %v by hand", s, isETag(s), store.IsUUID(s), isRequestID(s))
		}
	})
}
