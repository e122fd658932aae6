// Package screen is the only place that prints for people. Its rules:
//
//   - Calm: one thought per line, at most 100 columns, no blinking, no
//     exclamation marks. Colour repeats what a word or sign already says, so that
//     nothing is lost without it.
//   - Colour only on a terminal, and never when NO_COLOR is set to anything.
//   - Whatever came from a server is cleaned of control characters, so that a
//     caller's name cannot move the cursor of the person who reads it.
//   - ✓ is printed for what was checked, never for what was merely tried.
package screen

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"
)

// Width is the widest line that is printed, in columns.
const Width = 100

// Screen prints on one stream. It is not safe for concurrent use.
type Screen struct {
	w      io.Writer
	colour bool
	tty    bool
}

// New prints on w; colour is on when w is a terminal and NO_COLOR is not set.
func New(w io.Writer) *Screen {
	f, ok := w.(*os.File)
	tty := ok && term.IsTerminal(int(f.Fd()))
	return &Screen{w: w, tty: tty, colour: tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Terminal reports whether a person is looking, so that progress may be drawn.
func (s *Screen) Terminal() bool { return s.tty }

// Writer is the stream itself, for machine-readable output.
func (s *Screen) Writer() io.Writer { return s.w }

func (s *Screen) paint(text string, style lipgloss.Style) string {
	if !s.colour {
		return text
	}
	return style.Render(text)
}

var (
	bold  = lipgloss.NewStyle().Bold(true)
	faint = lipgloss.NewStyle().Faint(true)
	good  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	bad   = lipgloss.NewStyle().Foreground(lipgloss.Red)
	warn  = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	code  = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
)

// Bold, Faint, Good, Bad, Warn and Code paint a piece of a line.
func (s *Screen) Bold(t string) string  { return s.paint(t, bold) }
func (s *Screen) Faint(t string) string { return s.paint(t, faint) }
func (s *Screen) Good(t string) string  { return s.paint(t, good) }
func (s *Screen) Bad(t string) string   { return s.paint(t, bad) }
func (s *Screen) Warn(t string) string  { return s.paint(t, warn) }
func (s *Screen) Code(t string) string  { return s.paint(t, code) }

// Line prints one line.
func (s *Screen) Line(format string, args ...any) {
	_, _ = fmt.Fprintf(s.w, format+"\n", args...)
}

// Para prints text wrapped to Width, each line behind indent.
func (s *Screen) Para(indent, text string) {
	for _, line := range Wrap(text, Width-lipgloss.Width(indent)) {
		s.Line("%s%s", indent, line)
	}
}

// Step prints the heading of a numbered step.
func (s *Screen) Step(n int, title string) {
	s.Line("")
	s.Line("%s  %s", s.Faint(fmt.Sprintf("%2d", n)), s.Bold(title))
}

// Check prints what was checked and found so.
func (s *Screen) Check(format string, args ...any) {
	s.mark(s.Good("✓"), fmt.Sprintf(format, args...))
}

// Fail prints what was checked and found otherwise.
func (s *Screen) Fail(format string, args ...any) { s.mark(s.Bad("✗"), fmt.Sprintf(format, args...)) }

// Note prints what a reader should know and nobody checked.
func (s *Screen) Note(format string, args ...any) { s.mark(s.Warn("·"), fmt.Sprintf(format, args...)) }

func (s *Screen) mark(sign, text string) {
	for i, line := range Wrap(text, Width-6) {
		if i > 0 {
			sign = " "
		}
		s.Line("    %s %s", sign, line)
	}
}

// Command prints a command that the reader can copy.
func (s *Screen) Command(command string) { s.Line("    %s %s", s.Faint("$"), s.Code(command)) }

// Fields prints labelled values below each other; pairs with an empty value are left out.
func (s *Screen) Fields(pairs ...[2]string) {
	widest := 0
	for _, p := range pairs {
		if p[1] != "" {
			widest = max(widest, lipgloss.Width(p[0]))
		}
	}
	for _, p := range pairs {
		if p[1] != "" {
			s.Line("%s%s  %s", s.Faint(p[0]), strings.Repeat(" ", widest-lipgloss.Width(p[0])), Clean(p[1]))
		}
	}
}

// Table prints rows below a header, columns as wide as their widest cell.
func (s *Screen) Table(header []string, rows [][]string) {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(Clean(cell)))
		}
	}
	for n, row := range append([][]string{header}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			cell = Clean(cell)
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-lipgloss.Width(cell)+2))
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = s.Faint(text)
		}
		s.Line("%s", text)
	}
}

// Clean replaces control characters, line breaks and direction marks.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '�'
		}
		return r
	}, text)
}

// Wrap breaks text at spaces into lines of at most width columns; a longer word stands alone.
func Wrap(text string, width int) []string {
	var lines []string
	var line string
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case lipgloss.Width(line)+1+lipgloss.Width(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// Bytes prints a size for people.
func Bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
