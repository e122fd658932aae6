package cli

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// A word that is no command is told where it stands, or that it is not built.
func TestWordsThatAreNoCommandsAreToldWhere(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{
		"verify":  "did you mean audit verify, backup verify, receipts verify, trust verify?",
		"restore": "did you mean backup restore?",
		"moves":   "moving a tenant to another home is not built yet",
		"access":  "staff access grants are not built yet",
		"list":    "see domicile --help", // a verb of most commands says nothing
	} {
		var out bytes.Buffer
		code := Run(context.Background(), []string{word}, Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		if code != 2 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: code %d, %s, want %q", word, code, out.String(), want)
		}
	}
	_, notYet, _ := strings.Cut(string(readme), "## Not yet")
	for word, why := range unbuilt {
		what, _, _ := strings.Cut(why, " is not built")
		what, _, _ = strings.Cut(what, " are not built")
		if !strings.Contains(notYet, what) {
			t.Errorf("%s waits for %q, which the README's \"Not yet\" does not name", word, what)
		}
	}
}
