package screen_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/screen"
)

func TestNothingButATerminalGetsColour(t *testing.T) {
	var b bytes.Buffer
	s := screen.New(&b)
	s.Check("held")
	s.Fail("not so")
	s.Step(1, "title")
	s.Fields([2]string{"label", "value"}, [2]string{"left out", ""})
	if strings.Contains(b.String(), "\x1b") {
		t.Fatalf("escape sequences in a file: %q", b.String())
	}
	if strings.Contains(b.String(), "left out") || !strings.Contains(b.String(), "label  value") {
		t.Fatalf("fields: %q", b.String())
	}
}

func TestWhatAServerSentCannotDriveTheTerminal(t *testing.T) {
	var b bytes.Buffer
	screen.New(&b).Table([]string{"NAME"}, [][]string{{"Eve\x1b[2J\u202eevil\nrow\x07"}})
	if strings.ContainsAny(strings.TrimRight(b.String(), "\n"), "\x1b\x07\u202e") || strings.Count(b.String(), "\n") != 2 {
		t.Fatalf("control characters came through: %q", b.String())
	}
}

func TestTablesAlignWideText(t *testing.T) {
	var b bytes.Buffer
	screen.New(&b).Table([]string{"A", "B"}, [][]string{{"é", "1"}, {"日本", "2"}, {"plain", "3"}})
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if lines[1] != "é      1" || lines[2] != "日本   2" || lines[3] != "plain  3" {
		t.Fatalf("columns differ:\n%s", b.String())
	}
}

func TestWrapKeepsWithinTheWidth(t *testing.T) {
	for _, line := range screen.Wrap(strings.Repeat("word ", 60), 40) {
		if len(line) > 40 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
	if got := screen.Wrap("", 40); len(got) != 1 || got[0] != "" {
		t.Errorf("nothing wraps to %q", got)
	}
}
