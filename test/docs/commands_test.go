package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/cli"
)

var (
	inSpan  = regexp.MustCompile("`([^`\n]+)`")
	ours    = regexp.MustCompile(`(?:^|[\s(|])((?:bin/|\./bin/)?domicile|go run \./cmd/domicile) ([a-z][^|)>#]*)`)
	daemons = regexp.MustCompile(`^\s*(?:sudo -u [a-z-]+ )?(domicile-(?:control|data)plane) ([a-z][a-z-]*(?: [a-z][a-z-]*)*)`)
	quoted  = regexp.MustCompile(`"[^"]*"|'[^']*'|<[^>]*>`)
)

// What the pages say to type is a command that exists, with flags that it takes,
// in blocks and in the text. Decisions and the past of the project are not
// instructions: docs/adr and CHANGELOG.md may name what there is no more.
func TestPagesSayCommandsThatExist(t *testing.T) {
	seen := 0
	forms := map[string][]string{}
	for _, daemon := range []string{"domicile-controlplane", "domicile-dataplane"} {
		about, _ := usage(t, daemon)
		forms[daemon] = formsIn(about, daemon)
	}
	check := func(name string, raw []byte) {
		prose, blocks := split(string(raw))
		var texts []string
		for _, b := range blocks {
			if b.info != "mermaid" && b.info != "yaml" && b.info != "hcl" {
				texts = append(texts, strings.Split(strings.ReplaceAll(b.body, "\\\n", " "), "\n")...)
			}
		}
		for _, line := range prose {
			if strings.HasPrefix(line, "    ") {
				texts = append(texts, line)
			}
			for _, m := range inSpan.FindAllStringSubmatch(line, -1) {
				texts = append(texts, m[1])
			}
		}
		for _, text := range texts {
			if strings.HasSuffix(text, " key v1") {
				continue // what a signature is over, not a command
			}
			for _, m := range ours.FindAllStringSubmatch(quoted.ReplaceAllString(text, "X"), -1) {
				seen++
				if fault := unknown(m[2]); fault != "" {
					t.Errorf("%s says to type %q: %s", name, strings.TrimSpace(m[0]), fault)
				}
			}
			for _, m := range daemons.FindAllStringSubmatch(text, -1) {
				if seen++; !begins(forms[m[1]], m[2]) {
					t.Errorf("%s says to type %q, and %s has no such command", name, m[0], m[1])
				}
			}
		}
	}
	for _, root := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "terraform"} {
		err := filepath.WalkDir(repo+root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".md") || strings.Contains(path, "/adr/") || strings.Contains(path, "/reference/") || strings.HasSuffix(path, "robustness.md") {
				return err
			}
			raw, err := os.ReadFile(path)
			if err == nil {
				check(strings.TrimPrefix(path, repo), raw)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("only %d commands were found", seen)
	}
	if f := forms["domicile-dataplane"]; !begins(f, "keys status") || !begins(f, "region migrate-store") || begins(f, "keys burn") || begins(f, "key") {
		t.Error("commands of daemons that do not exist are not found")
	}
}

// formsIn are the commands that a daemon's package comment gives, with each of
// their alternatives written out.
func formsIn(about, daemon string) (forms []string) {
	for _, m := range regexp.MustCompile(`(?m)^`+daemon+` ([a-z][a-z |-]*?)(?: --.*)?$`).FindAllStringSubmatch(about, -1) {
		begun, alternatives := "", m[1]
		if i := strings.LastIndex(m[1], " "); i >= 0 {
			begun, alternatives = m[1][:i+1], m[1][i+1:]
		}
		for _, a := range strings.Split(alternatives, "|") {
			forms = append(forms, begun+a)
		}
	}
	return forms
}

// begins reports whether words are a command of a daemon, or its beginning.
func begins(forms []string, words string) bool {
	return slices.ContainsFunc(forms, func(form string) bool { return strings.HasPrefix(form+" ", words+" ") })
}

// unknown says what of a command line is not ours; "" when it is.
func unknown(line string) string {
	words := strings.Fields(line)
	c, rest, err := cli.Tree().Find(words)
	if err != nil {
		return err.Error()
	}
	if c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && rest[0] != "…" && !strings.Contains(rest[0], "|") {
		return c.CommandPath() + " has no " + rest[0]
	}
	for _, w := range rest {
		if w == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.Trim(w, "[](),;:."), "=")
		if !strings.HasPrefix(name, "--") || known(c, strings.TrimPrefix(name, "--")) {
			continue
		}
		return c.CommandPath() + " has no flag " + name
	}
	return ""
}

func known(c *cobra.Command, flag string) bool {
	return flag == "help" || c.Flags().Lookup(flag) != nil || c.InheritedFlags().Lookup(flag) != nil
}

func TestCommandsThatDoNotExistAreFound(t *testing.T) {
	for line, ok := range map[string]bool{
		"tenants create clinic --region ie1 --country IE": true,
		"status -o json": true, "backup create --out=FILE": true, "tenants": true,
		"tenants burn clinic": false, "tenant create clinic": false, "tenants create clinic --regoin ie1": false, "status --loud": false,
	} {
		if fault := unknown(line); (fault == "") != ok {
			t.Errorf("%q: %q", line, fault)
		}
	}
}
