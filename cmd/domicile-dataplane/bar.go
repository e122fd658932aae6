package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/domicile-io/domicile/dataplane/backup"
)

// bar shows progress: on a terminal as one line that fills, elsewhere as a line
// for each tenth.
type bar struct {
	w     io.Writer
	tty   bool
	step  string
	tenth int
	open  bool // a line that has no end yet
}

func newBar(w io.Writer) *bar {
	b := &bar{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		b.tty = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

func (b *bar) show(s backup.Step) {
	if s.Of == 0 {
		return
	}
	percent := int(min(100, 100*s.Done/s.Of))
	if b.tty {
		if s.Name != b.step {
			b.end()
		}
		b.step, b.open = s.Name, true
		fill := percent * 40 / 100
		fmt.Fprintf(b.w, "\r%-8s %s%s %3d %%  %s of %s ", s.Name, strings.Repeat("█", fill), strings.Repeat("░", 40-fill), percent, size(s.Done), size(s.Of))
		return
	}
	if s.Name != b.step || percent/10 > b.tenth {
		b.step, b.tenth = s.Name, percent/10
		fmt.Fprintf(b.w, "%s %3d %%, %s of %s\n", s.Name, percent, size(s.Done), size(s.Of))
	}
}

// end ends the line.
func (b *bar) end() {
	if b.open {
		fmt.Fprintln(b.w)
		b.open = false
	}
}

// size writes bytes for people.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
