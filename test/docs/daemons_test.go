package docs

import (
	"fmt"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The two daemons: their package comments, which give usage and exit codes, and
// what each form of them answers to --help.
func TestReferenceOfTheDaemons(t *testing.T) {
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"domicile-controlplane", "domicile-dataplane"} {
		about, forms := usage(t, program)
		var b strings.Builder
		seen := map[string]bool{}
		for _, form := range forms {
			out, _ := exec.Command(filepath.Join(bin, program), append(strings.Fields(form), "--help")...).CombinedOutput()
			help := once(strings.TrimRight(string(out), "\n"))
			if seen[help] {
				continue
			}
			if !strings.Contains(help, "-config") || strings.Contains(help, "flag provided but not defined") {
				t.Errorf("%s %s --help says only: %s", program, form, help)
			}
			seen[help] = true
			title, _, _ := strings.Cut(form, " ")
			fmt.Fprintf(&b, "## %s\n\n```text\n%s\n```\n\n", strings.TrimSpace(program+" "+title), strings.ReplaceAll(help, "\t", "    "))
		}
		page(t, program+".md", program, about, b.String())
	}
}

// once drops a help that is printed twice.
func once(help string) string {
	if half := len(help) / 2; len(help)%2 == 1 && help[:half] == help[half+1:] {
		return help[:half]
	}
	return help
}

// usage reads a program's package comment: its text as Markdown, and the forms
// of its command line, alternatives written out.
func usage(t *testing.T, program string) (about string, forms []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), repo+"cmd/"+program+"/main.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(f.Doc.Text())
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, "\t") || words[0] != program {
			continue
		}
		form := ""
		for _, w := range words[1:] {
			if strings.HasPrefix(w, "-") {
				break
			}
			first, _, _ := strings.Cut(w, "|")
			form = strings.TrimSpace(form + " " + first)
		}
		forms = append(forms, form)
	}
	if len(forms) < 2 {
		t.Fatalf("the package comment of %s gives only the forms %q", program, forms)
	}
	text = strings.TrimPrefix(text, "Command ")
	var out []string
	for _, p := range strings.Split(text, "\n\n") {
		if strings.HasPrefix(p, "\t") {
			p = "```text\n" + strings.ReplaceAll(p, "\t", "") + "\n```"
		} else {
			p = escape(p)
		}
		out = append(out, p)
	}
	return strings.Join(out, "\n\n"), forms
}
