// Package docs tests what people read: that the pages of docs/reference say what
// the code says (-rewrite writes them anew), that every link and diagram is
// sound, and that a newcomer who pastes each command of README.md and
// docs/quickstart.md, in order, gets what the page promises.
package docs

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the pages of docs/reference anew instead of comparing")

const (
	repo      = "../../"
	reference = repo + "docs/reference/"
)

// programs are the programs as make build makes them, in bin of the checkout: the
// pages say to make them there.
var programs = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("make", "-C", repo, "build").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return filepath.Abs(repo + "bin")
})

// page holds one generated page against the file that is committed.
func page(t *testing.T, name, title, about, body string) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Generated from the code by `make docs`; a test fails when it differs. Do not edit. -->\n# %s\n\n%s\n\n%s", title, about, strings.TrimRight(body, "\n")+"\n")
	if err := keep(reference+name, b.Bytes(), *rewrite); err != nil {
		t.Error(err)
	}
}

// keep compares a file with what it should be, or writes it.
func keep(path string, want []byte, write bool) error {
	if write {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, want, 0o644)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if bytes.Equal(got, want) {
		return nil
	}
	is, should := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range should {
		if i >= len(is) || !bytes.Equal(is[i], should[i]) {
			had := "nothing"
			if i < len(is) {
				had = string(is[i])
			}
			return fmt.Errorf("%s is not what the code says: run make docs and review the difference\nline %d is:     %s\nand should be: %s", path, i+1, had, should[i])
		}
	}
	return fmt.Errorf("%s is longer than what the code says: run make docs and review the difference", path)
}

// A page that differs in one character is found, and one that is missing.
func TestAPageThatDriftedIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if keep(path, []byte("a\nb\n"), false) == nil {
		t.Error("a page that is not there was taken")
	}
	if err := keep(path, []byte("a\nb\n"), true); err != nil {
		t.Fatal(err)
	}
	if err := keep(path, []byte("a\nb\n"), false); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"a\nc\n", "a\n", "a\nb\nc\n", ""} {
		if keep(path, []byte(other), false) == nil {
			t.Errorf("a page that should be %q was taken", other)
		}
	}
}

// table is a table of Markdown.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + strings.ReplaceAll(strings.Join(strings.Fields(c), " "), "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	b.WriteString(strings.Repeat("| --- ", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// code is a word of a program, in a cell or text.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
