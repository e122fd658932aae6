package modules_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// variable is a variable or an output as the page of its module shows it.
type variable struct {
	name, kind, what, def string
	hasDefault            bool
}

// The sources are formatted by terraform fmt, which another test demands: a block
// begins and ends in the first column, and its arguments are indented by two.
var (
	blockForm    = regexp.MustCompile(`(?ms)^(variable|output) "([a-z_0-9]+)" \{\n(.*?)^\}`)
	argumentForm = regexp.MustCompile(`(?m)^  (type|description|default) +=\s(.*)$`)
)

func blocks(t *testing.T, folder, file, kind string) (all []variable) {
	t.Helper()
	for _, m := range blockForm.FindAllStringSubmatch(read(t, filepath.Join("..", folder, file)), -1) {
		if m[1] != kind {
			continue
		}
		v := variable{name: m[2]}
		for _, a := range argumentForm.FindAllStringSubmatch(m[3], -1) {
			switch a[1] {
			case "type":
				v.kind = a[2]
			case "description":
				v.what = strings.Trim(a[2], `"`)
			case "default":
				v.def, v.hasDefault = a[2], true
			}
		}
		if v.what == "" {
			t.Errorf("%s: %s %s has no description in one line", folder, kind, v.name)
		}
		all = append(all, v)
	}
	return all
}

func variablesOf(t *testing.T, folder string) []variable {
	return blocks(t, folder, "variables.tf", "variable")
}

const generated = "<!-- Made of the module's variables, outputs and README: go test ./terraform/modules -run Pages -rewrite -->\n\n"

// The pages are made of the modules, and of nothing else.
func TestPagesAreWhatTheModulesSay(t *testing.T) {
	const dir = "../../docs/terraform/modules"
	pages := map[string]string{}
	for _, folder := range folders(t) {
		if strings.HasPrefix(folder, "modules/") {
			pages[filepath.Base(folder)+".md"] = page(t, folder)
		}
	}
	for name, text := range pages {
		path := filepath.Join(dir, name)
		if *rewrite {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != text {
			t.Errorf("%s is not what the module says (%v): go test ./terraform/modules -run Pages -rewrite", path, err)
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil || len(there) != len(pages) {
		t.Errorf("%d pages for %d modules: %v", len(there), len(pages), err)
	}
}

func page(t *testing.T, folder string) string {
	var b strings.Builder
	// A README begins with its module's name.
	readme := read(t, filepath.Join("..", folder, "README.md"))
	if !strings.HasPrefix(readme, "# "+filepath.Base(folder)+"\n") {
		t.Errorf("%s/README.md does not begin with its name", folder)
	}
	// The page lies elsewhere than the README does.
	readme = strings.ReplaceAll(readme, "](../../../docs/", "](../../")
	fmt.Fprintf(&b, "%s%s\n\nThe module is [terraform/%s](../../../terraform/%s/README.md).\n", generated, strings.TrimSpace(readme), folder, folder)
	b.WriteString("\n## Variables\n\n| name | type | | what it is |\n| --- | --- | --- | --- |\n")
	variables := variablesOf(t, folder)
	slices.SortStableFunc(variables, func(x, y variable) int { return cmp.Compare(rank(x), rank(y)) })
	for _, v := range variables {
		need := "**required**"
		if v.hasDefault {
			need = "default `" + v.def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", v.name, v.kind, need, v.what)
	}
	b.WriteString("\n## Outputs\n\n| name | what it is |\n| --- | --- |\n")
	for _, o := range blocks(t, folder, "outputs.tf", "output") {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.name, o.what)
	}
	return b.String()
}

func rank(v variable) int {
	if v.hasDefault {
		return 1
	}
	return 0
}
