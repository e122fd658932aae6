package main

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Help texts are plain, and what renders pages takes them for Markdown: without this
// DOMICILE_CA, DOMICILE_URL would lose two underscores and gain a slope, and commands
// that stand indented under each other would flow into one line.

var marks = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `_`, `\_`, `<`, `\<`, `>`, `\>`, `[`, `\[`, `]`, `\]`, `#`, `\#`)

// asMarkdown makes a plain text mean itself.
func asMarkdown(plain string) string {
	var out strings.Builder
	indented := false
	for _, line := range strings.Split(plain, "\n") {
		if in := strings.HasPrefix(line, "  "); in != indented && line != "" {
			indented = in
			out.WriteString("\n") // a block of its own begins or ends
		}
		switch {
		case line == "":
		case indented:
			line = "  " + line
		default:
			line = strings.ReplaceAll(marks.Replace(line), "`", "\\`")
		}
		out.WriteString(line + "\n")
	}
	return strings.TrimRight(out.String(), "\n")
}

// plainly does so for a tree of commands. Backquotes of flags stay: they name values.
func plainly(root *cobra.Command) {
	done := map[*pflag.Flag]bool{}
	flag := func(f *pflag.Flag) {
		if !done[f] {
			done[f], f.Usage = true, marks.Replace(f.Usage)
		}
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.Long = asMarkdown(c.Long)
		c.LocalFlags().VisitAll(flag)
		c.PersistentFlags().VisitAll(flag)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

var (
	month  = regexp.MustCompile(`(?m)^(\.TH "[^"]*" "[18]") "[A-Z][a-z]{2} [0-9]{4}"`)
	option = regexp.MustCompile(`(?m)(?:\n\.PP)?\n(\\fB-.*)\n\t(.*)`)
)

// tidy writes the date as mandoc reads it, and options as a list whose texts hang.
func tidy(page []byte, date time.Time) []byte {
	page = month.ReplaceAll(page, []byte(`$1 "`+date.UTC().Format(time.DateOnly)+`"`))
	page = option.ReplaceAll(page, []byte("\n.TP\n$1\n$2"))
	return append(bytes.TrimRight(page, "\n"), '\n')
}
