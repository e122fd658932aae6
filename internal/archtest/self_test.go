package archtest

import (
	"go/parser"
	"go/token"
	"testing"
)

// The checks are tested on violations made up for them: a check that cannot
// fail would be decoration.

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		path, pattern string
		want          bool
	}{
		{"dataplane", "dataplane/...", true},
		{"dataplane/store/local", "dataplane/...", true},
		{"dataplanes", "dataplane/...", false},
		{"dataplane/store", "dataplane", false},
		{"anything/at/all", "...", true},
	} {
		if got := within(c.path, c.pattern); got != c.want {
			t.Errorf("%s within %s: %v", c.path, c.pattern, got)
		}
	}
}

func TestRefuses(t *testing.T) {
	std, foreign := &pkg{Standard: true}, &pkg{}
	pure := importRule{Only: []string{"policy"}}
	for path, c := range map[string]struct {
		dep     *pkg
		refused bool
	}{
		"crypto/sha256":           {std, false},
		module + "policy":         {foreign, false},
		module + "api":            {foreign, true},
		"go.etcd.io/bbolt":        {foreign, true},
		module + "policy/testing": {foreign, true},
	} {
		if got := pure.refuses(c.dep, path) != ""; got != c.refused {
			t.Errorf("%s refused: %v", path, got)
		}
	}
	never := importRule{Never: []string{"dataplane/..."}}
	if never.refuses(foreign, module+"dataplane/record") == "" || never.refuses(foreign, "go.etcd.io/bbolt") != "" {
		t.Error("a tree that is never reached is not told apart")
	}
}

func TestChain(t *testing.T) {
	all := map[string]*pkg{"a": {Imports: []string{"b", "c"}}, "b": {Imports: []string{"a"}}, "c": {Imports: []string{"d"}}}
	if got := chain(all, "a", "d"); got != "a → c → d" {
		t.Error(got)
	}
	if got := chain(all, "b", "nowhere"); got != "?" {
		t.Error(got)
	}
}

func TestMentions(t *testing.T) {
	for text, want := range map[string]int{
		`package p; import "net"; var _ = net.Dial`:                                    1,
		`package p; import n "net"; var d n.Dialer; var _, _ = n.Dial, n.JoinHostPort`: 2,
		`package p; import . "net"`:                                                    1,
		`package p; import "net"; var _ = net.JoinHostPort`:                            0,
		`package p; var net struct{ Dial int }; var _ = net.Dial`:                      0,
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "p.go", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := (source{path: "p.go", file: f, fset: fset}).mentions("net", []string{"Dial", "Dialer"}); len(got) != want {
			t.Errorf("%s: found %q, want %d", text, got, want)
		}
	}
}
