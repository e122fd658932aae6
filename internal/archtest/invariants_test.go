package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// invariants is how many the contract has.
const invariants = 42

// unbuilt are the invariants of what is not built yet, with what that is: the
// README says so too. One that gets a test leaves this list.
var unbuilt = map[int]string{
	18: "staff access grants",
	19: "staff access grants",
	23: "consent records",
	37: "moving a tenant to another home",
}

var namedAfter = regexp.MustCompile(`(?m)^func Test((?:INV[0-9]{2}_?)+)`)

// An invariant without a test that can fail is not met, and a test that does not
// carry its number is not found.
func TestEachInvariantHasATest(t *testing.T) {
	has := map[int][]string{}
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		raw, err := os.ReadFile(path)
		for _, m := range namedAfter.FindAllSubmatch(raw, -1) {
			for _, id := range regexp.MustCompile(`[0-9]+`).FindAllString(string(m[1]), -1) {
				n, _ := strconv.Atoi(id)
				has[n] = append(has[n], path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, notYet, _ := strings.Cut(string(readme), "## Not yet")
	for n := 1; n <= invariants; n++ {
		what, later := unbuilt[n]
		switch {
		case later && len(has[n]) > 0:
			t.Errorf("invariant %d has a test in %v: it leaves the list of what is not built", n, has[n])
		case later && !strings.Contains(notYet, what):
			t.Errorf("invariant %d waits for %q, which the README's \"Not yet\" does not name", n, what)
		case !later && len(has[n]) == 0:
			t.Errorf("invariant %d has no test whose name begins with TestINV%02d_", n, n)
		}
		delete(has, n)
	}
	for n, where := range has {
		t.Errorf("there is no invariant %d, and %v are named after it", n, slices.Compact(where))
	}
}
