package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every decision stands in the index, once, in order of numbers and under its own title.
func TestDecisionsAreListed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repo, "docs/adr/[0-9]*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d decisions, %v", len(files), err)
	}
	var want []string
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		first, _, _ := strings.Cut(string(raw), "\n")
		title, ok := strings.CutPrefix(first, "# "+name[:4]+": ")
		if !ok {
			t.Errorf("%s begins with %q, not with its number and title", name, first)
		}
		want = append(want, "| ["+name[:4]+"]("+name+") | "+title+" |")
	}
	raw, err := os.ReadFile(filepath.Join(repo, "docs/adr/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(string(raw), "| --- | --- |\n")
	if rows := strings.Join(want, "\n") + "\n"; got != rows {
		t.Errorf("docs/adr/README.md lists\n%s\nwant\n%s", got, rows)
	}
}
