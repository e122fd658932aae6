package cli

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/domicile-io/domicile/api/client"
)

// Whoever presses TAB waits for the answer, and must not see an error: a control
// plane that does not answer in time, or refuses, completes nothing.
const (
	completeWithin = 1500 * time.Millisecond
	maxCompletions = 200
)

// completions lists the names of one kind, each with what people know about it.
type completions func(ctx context.Context, cp *client.Control) ([]cobra.Completion, error)

// sources are what words of a usage line ("get TENANT") and flags of a name
// ("--region") stand for.
var sources = map[string]completions{
	"TENANT": func(ctx context.Context, cp *client.Control) (all []cobra.Completion, err error) {
		ts, err := cp.Tenants(ctx, "", "")
		for _, t := range ts {
			all = append(all, cobra.CompletionWithDesc(t.GetSlug(), "at home in "+t.GetHomeRegion()))
		}
		return all, err
	},
	"REGION": func(ctx context.Context, cp *client.Control) (all []cobra.Completion, err error) {
		rs, err := cp.Regions(ctx)
		for _, r := range rs {
			all = append(all, cobra.CompletionWithDesc(r.GetId(), r.GetCountry()+", "+r.GetLifecycle()))
		}
		return all, err
	},
	"NODE": func(ctx context.Context, cp *client.Control) (all []cobra.Completion, err error) {
		ns, err := cp.Nodes(ctx, "", "", "")
		for _, n := range ns {
			all = append(all, cobra.CompletionWithDesc(n.GetId(), n.GetRegion()+", "+nodeState(n)))
		}
		return all, err
	},
}

// completing gives every command below c its completions: of arguments by the
// words of its usage line, of flags by their names and by the values that their
// help lists.
func (a *app) completing(c *cobra.Command) {
	for _, child := range c.Commands() {
		a.completing(child)
	}
	c.Flags().VisitAll(func(f *pflag.Flag) { // its own: those of its parents are not merged yet
		if complete := a.completeFlag(f); complete != nil {
			_ = c.RegisterFlagCompletionFunc(f.Name, complete) // an error means that the command has its own
		}
	})
	if words := arguments(c.Use); c.ValidArgsFunction == nil && c.RunE != nil && !c.HasSubCommands() {
		c.ValidArgsFunction = func(_ *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(given) >= len(words) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.complete(words[len(given)], begun)
		}
	}
}

// arguments are the words of a usage line that stand for arguments, up to its first flag.
func arguments(use string) (words []string) {
	for _, w := range strings.Fields(use)[1:] {
		if strings.HasPrefix(w, "-") || strings.HasPrefix(w, "[-") {
			break
		}
		words = append(words, strings.Trim(w, "[]….|"))
	}
	return words
}

// listed finds the values in a flag's help: "`role`: ingest, reader or admin".
var listed = regexp.MustCompile("`[a-z]+`:? (?:of [^:]*: |in one [^:]*: )?([A-Za-z_-]+(?:, [A-Za-z_-]+)* or [A-Za-z_-]+)")

func (a *app) completeFlag(f *pflag.Flag) cobra.CompletionFunc {
	if word := strings.ToUpper(f.Name); sources[word] != nil {
		return func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.complete(word, begun)
		}
	}
	m := listed.FindStringSubmatch(f.Usage)
	if m == nil {
		return nil
	}
	values := strings.Split(strings.ReplaceAll(m[1], " or ", ", "), ", ")
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// complete answers for one word of a usage line. Files are the shell's own business.
func (a *app) complete(word, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ask := sources[word]
	if ask == nil {
		if strings.Contains(word, "FILE") || strings.Contains(word, "FOLDER") || strings.Contains(word, "PATH") || strings.Contains(word, "SPOOL") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	cp, err := a.control()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cp.Patience = 0
	all, _ := ask(ctx, cp)
	all = slices.DeleteFunc(all, func(c cobra.Completion) bool { return !strings.HasPrefix(c, begun) })
	return all[:min(len(all), maxCompletions)], cobra.ShellCompDirectiveNoFileComp
}
