package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the runbooks of the worst days say to type is a command that exists,
// with flags that it takes.
func TestRunbooksSayCommandsThatExist(t *testing.T) {
	comment := regexp.MustCompile(`\s+(#|>|\|).*$`)
	substituted := regexp.MustCompile(`\$\([^)]*\)`)
	for _, page := range []string{"backup.md", "lost-quorum.md"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations", page))
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, line := range strings.Split(substituted.ReplaceAllString(strings.ReplaceAll(string(raw), "\\\n", " "), "X"), "\n") {
			command, ok := strings.CutPrefix(strings.TrimSpace(comment.ReplaceAllString(line, "")), "domicile ")
			if !ok { // in a block or an indented line: prose begins with no command
				continue
			}
			seen++
			if err := parses("domicile " + command); err != nil {
				t.Errorf("%s says to type %q: %v", page, line, err)
			}
		}
		if seen < 4 {
			t.Errorf("only %d commands of %s were found", seen, page)
		}
	}
}
