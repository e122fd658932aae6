package cli

import (
	"bytes"
	"strings"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
)

// Whoever revokes a key reads what a node that hears nothing goes on to let it do, for how
// long, and how to find such nodes: no word is about every node.
func TestADeletedKeyIsSaidAsFarAsItHasCome(t *testing.T) {
	const day = "at most 24 h after it last heard"
	for role, c := range map[string]struct{ says, not string }{
		"ingest":    {"takes records from it until it hears again", day},
		"reader":    {day, "bring in"},
		"admin":     {"bring in, delete and do what else it may until it hears again", "everywhere"},
		"recipient": {"what the recipient received for " + day + ", or until it hears again", "bring in"},
		"new one":   {"bring in, delete and do what else it may until it hears again", "everywhere"},
	} {
		var out, hints bytes.Buffer
		(&app{out: screen.New(&out), err: screen.New(&hints)}).showRevoked(&controlv1.Key{Id: "SK00000000000000000000000000000077", Region: "us1", Role: role})
		if out.String() != "key SK00000000000000000000000000000077 is revoked\n" {
			t.Errorf("%s: it said %q", role, out.String())
		}
		for _, w := range []string{c.says, "connected nodes of us1 refuse it within seconds; one that is cut off", "domicile nodes list --region us1"} {
			if !strings.Contains(hints.String(), w) {
				t.Errorf("%s: %q is not said in:\n%s", role, w, hints.String())
			}
		}
		if strings.Contains(hints.String(), c.not) {
			t.Errorf("%s: %q is said in:\n%s", role, c.not, hints.String())
		}
	}
}
