package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// farthest is how many letters may be wrong in a word that is still recognised.
const farthest = 2

// unknownCommand says which command could have been meant.
func unknownCommand(cmd *cobra.Command, word string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if why := unbuilt[word]; why != "" && !cmd.HasParent() {
		return fmt.Errorf("unknown command %s for %s: %s (README, \"Not yet\")", quote(word), quote(cmd.CommandPath()), why)
	}
	near := nearest(word, known)
	if near == "" {
		near = synonym(word, known)
	}
	if near == "" {
		near = deeper(cmd, word)
	}
	if near != "" {
		return fmt.Errorf("unknown command %s for %s: did you mean %s?", quote(word), quote(cmd.CommandPath()), near)
	}
	return fmt.Errorf("unknown command %s for %s: see %s --help", quote(word), quote(cmd.CommandPath()), cmd.CommandPath())
}

// unbuilt are commands that there will be, and what for.
var unbuilt = map[string]string{
	"moves":  "moving a tenant to another home is not built yet",
	"access": "staff access grants are not built yet",
}

// mostDeeper is how many commands are named that have a word further down.
const mostDeeper = 4

// deeper names the commands that have the word one step further down.
func deeper(cmd *cobra.Command, word string) string {
	var found []string
	for _, c := range cmd.Commands() {
		if slices.ContainsFunc(c.Commands(), func(x *cobra.Command) bool { return x.Name() == word && x.IsAvailableCommand() }) {
			found = append(found, c.Name()+" "+word)
		}
	}
	if len(found) > mostDeeper {
		return "" // a verb of most of them
	}
	return strings.Join(found, ", ")
}

// sameAs are words of other programs for what is one of a few verbs here.
var sameAs = [][]string{
	{"get", "show", "describe", "inspect", "info"},
	{"delete", "revoke", "remove", "rm", "del", "destroy"},
	{"create", "add", "new", "put", "issue", "invite"},
	{"put", "set", "update", "edit", "apply"},
	{"list", "ls", "all"},
}

// synonym is the known word that says the same as word, "" when there is none.
func synonym(word string, known []string) string {
	for _, same := range sameAs {
		if !slices.Contains(same, word) {
			continue
		}
		for _, w := range same {
			if slices.Contains(known, w) {
				return w
			}
		}
	}
	return ""
}

// unknownFlag adds the flag that could have been meant to what the parser says.
func unknownFlag(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	var known []string
	if errors.As(err, &missing) && missing.GetSpecifiedShortnames() == "" {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		if near := nearest(missing.GetSpecifiedName(), known); near != "" {
			return fmt.Errorf("%w: did you mean --%s?", err, near)
		}
	}
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) && wrong.GetFlag().Value.Type() == "duration" {
		return fmt.Errorf("--%s: %s is no length of time: give it in hours, minutes or seconds, such as 1h30m; a day is 24h",
			wrong.GetFlag().Name, quote(wrong.GetValue()))
	}
	return fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())
}

// nearest is the known word that was probably meant, "" when none is like it.
func nearest(word string, known []string) (near string) {
	least := farthest + 1
	for _, k := range known {
		if d := distance(word, k); d < least && 2*d <= len(word) { // of a short word more than half would be wrong
			near, least = k, d
		}
	}
	for _, k := range known { // the beginning of a word is more than two letters away from it
		if near == "" && len(word) > 1 && strings.HasPrefix(k, word) {
			near = k
		}
	}
	return near
}

// explained makes every command below c say how it is used when it is given the
// wrong number of arguments, and which flag could have been meant.
func explained(c *cobra.Command) {
	for _, child := range c.Commands() {
		explained(child)
	}
	check := c.Args
	if check == nil || c.HasSubCommands() {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		words := arguments(cmd.Use)
		switch {
		case len(args) < len(words):
			return fmt.Errorf("%s is missing: %s %s", words[len(args)], cmd.Parent().CommandPath(), cmd.Use)
		case len(words) == 0:
			return fmt.Errorf("%s takes no arguments, and %s is one: see %s --help", cmd.CommandPath(), quote(args[0]), cmd.CommandPath())
		}
		return fmt.Errorf("%s is one argument too many: %s %s", quote(args[len(words)]), cmd.Parent().CommandPath(), cmd.Use)
	}
}

// distance is how many letters must be put in, taken out or replaced (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
