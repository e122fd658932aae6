package server

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the table of roles in docs/operations/identity.md anew")

const identityDoc = "../../docs/operations/identity.md"

// rolesTable is what people read of the list of roles.
func rolesTable() string {
	var b strings.Builder
	b.WriteString("| role | for | confined to | a token lasts at most | gives and takes away |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range roles {
		confined := map[binding]string{toCluster: "–", toRegion: "one region", toTenant: "one tenant"}[r.bound]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %d days | %s |\n", r.role, r.about, confined, int(r.longest/day), gifts(r.role))
	}
	fmt.Fprintf(&b, "| the one-time token | the first credential of a cluster | – | – | %s, once |\n", gifts(bootstrapper))
	return b.String()
}

// gifts words what a role may give: by the exceptions where that is shorter.
func gifts(r role) string {
	var may, mayNot []string
	for _, other := range roleNames() {
		if r.gives(other) {
			may = append(may, "`"+string(other)+"`")
		} else {
			mayNot = append(mayNot, "`"+string(other)+"`")
		}
	}
	switch {
	case len(may) == 0:
		return "nothing"
	case len(mayNot) == 0:
		return "every role"
	case len(mayNot) < len(may):
		return "every role but " + strings.Join(mayNot, " and ")
	}
	return strings.Join(may, " or ")
}

// The table of identity.md is the list of roles, and nobody keeps it by hand.
func TestTheTableOfRolesIsTheList(t *testing.T) {
	const begin, end = "<!-- from the list of roles: go test ./controlplane/server -run TheTableOfRoles -rewrite -->\n", "<!-- end -->\n"
	raw, err := os.ReadFile(identityDoc)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), begin)
	old, tail, closed := strings.Cut(rest, end)
	table := rolesTable()
	switch {
	case !ok || !closed:
		t.Fatalf("%s does not hold the marks of the table", identityDoc)
	case *rewrite:
		if err := os.WriteFile(identityDoc, []byte(head+begin+table+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != table:
		t.Errorf("%s holds another table of roles than the program: run this test with -rewrite and review the difference", identityDoc)
	}
	if want := fmt.Sprintf("A token lasts %d day unless `--lifetime` says otherwise, a binding %d days.", defaultLifetime/day, defaultBinding/day); !strings.Contains(string(raw), want) {
		t.Errorf("%s does not say: %s", identityDoc, want)
	}
}
