package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/domicile-io/domicile/"

// sources parses the Go files of a folder of the repository, tests excepted, by
// name.
func sources(t *testing.T, dir string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repo, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*ast.File
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no source", dir)
	}
	return out
}

// each visits every node of a folder's sources of one kind.
func each[N ast.Node](files []*ast.File, visit func(*ast.File, N)) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if found, ok := n.(N); ok {
				visit(f, found)
			}
			return true
		})
	}
}

// text is the value of string literals joined by +; "" when it is something else.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			return unquote(e.Value)
		}
	case *ast.BinaryExpr:
		if a, b := text(e.X), text(e.Y); a != "" && b != "" {
			return a + b
		}
	}
	return ""
}

func unquote(s string) string {
	return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
}

// words joins the groups of a comment to one line.
func words(groups ...*ast.CommentGroup) string {
	var out []string
	for _, g := range groups {
		out = append(out, strings.Fields(g.Text())...)
	}
	return strings.Join(out, " ")
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
