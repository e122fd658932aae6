package docs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/domicile-io/domicile/internal/cli"
)

// Every command of domicile, with every flag and example, from the tree that
// runs.
func TestReferenceOfTheCommandLine(t *testing.T) {
	root := cli.Tree()
	var index, b strings.Builder
	n := 0
	walk(root, func(c *cobra.Command) {
		if c.Short == "" || !c.HasSubCommands() && c.RunE == nil {
			t.Errorf("%s says not what it does", c.CommandPath())
		}
		if !c.HasSubCommands() && c != root {
			fmt.Fprintf(&index, "| [`%s`](#%s) | %s |\n", c.CommandPath(), slug(c.CommandPath()), c.Short)
			command(&b, c)
			n++
		}
	})
	if n < 80 {
		t.Errorf("only %d commands", n)
	}
	body := "## Everywhere\n\n" + flags(root.PersistentFlags()) + "\n## Commands\n\n| command | does |\n| --- | --- |\n" + index.String() + "\n" + b.String()
	page(t, "cli.md", "domicile", paragraphs(root.Long), body)
}

// walk visits commands that people see, parents first, in their order of --help.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() && child.Name() != "completion" && child.Name() != "help" {
			walk(child, visit)
		}
	}
}

func command(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "## %s\n\n", c.CommandPath())
	if c.Long == "" {
		fmt.Fprintf(b, "%s.\n\n", strings.TrimSuffix(c.Short, "."))
	} else {
		fmt.Fprintf(b, "%s.\n\n%s\n\n", strings.TrimSuffix(c.Short, "."), paragraphs(c.Long))
	}
	fmt.Fprintf(b, "```text\n%s\n```\n\n", c.UseLine())
	if c.HasExample() {
		var lines []string
		for _, l := range strings.Split(strings.Trim(c.Example, "\n"), "\n") {
			lines = append(lines, strings.TrimPrefix(l, "  "))
		}
		fmt.Fprintf(b, "```text\n%s\n```\n\n", strings.Join(lines, "\n"))
	}
	if c.HasAvailableLocalFlags() {
		b.WriteString(flags(c.LocalNonPersistentFlags()) + "\n")
	}
}

// flags is a table of flags, by name; --help is everywhere and not listed.
func flags(fs *pflag.FlagSet) string {
	var rows [][]string
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		def := f.DefValue
		if slices.Contains([]string{"", "[]", "false", "0", "0s"}, def) {
			def = ""
		}
		rows = append(rows, []string{code(name), cmp.Or(kind, "–"), code(def), escape(usage)})
	})
	if len(rows) == 0 {
		return ""
	}
	return table([]string{"flag", "value", "default", "meaning"}, rows)
}

// paragraphs keeps a help text's paragraphs, and its indented lines as they are.
func paragraphs(long string) string {
	var out []string
	for _, p := range strings.Split(strings.Trim(long, "\n"), "\n\n") {
		if strings.HasPrefix(p, "  ") {
			p = "```text\n" + p + "\n```"
		}
		out = append(out, escape(p))
	}
	return strings.Join(out, "\n\n")
}

// escape keeps what Markdown would take for a tag.
func escape(p string) string {
	if strings.HasPrefix(p, "```") {
		return p
	}
	return strings.ReplaceAll(p, "<", "&lt;")
}
