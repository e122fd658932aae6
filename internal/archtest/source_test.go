package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// source is one of our files that is not a test.
type source struct {
	pkg       string // path without the module
	path      string // file, without the module
	file      *ast.File
	fset      *token.FileSet
	generated bool
}

var parsed = struct {
	sync.Once
	files []source
	err   error
}{}

func sources(t *testing.T) []source {
	t.Helper()
	mine := ourPackages(t)
	parsed.Do(func() {
		fset := token.NewFileSet()
		for path, p := range mine {
			for _, name := range p.GoFiles {
				f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
				if err != nil {
					parsed.err = err
					return
				}
				parsed.files = append(parsed.files, source{path, path + "/" + name, f, fset, ast.IsGenerated(f)})
			}
		}
	})
	if parsed.err != nil {
		t.Fatal(parsed.err)
	}
	return parsed.files
}

// local is the name by which a file knows an import; "" when it has it not.
func (s source) local(importPath string) string {
	for _, i := range s.file.Imports {
		if path, _ := strconv.Unquote(i.Path.Value); path == importPath {
			if i.Name != nil {
				return i.Name.Name
			}
			return importPath[strings.LastIndex(importPath, "/")+1:]
		}
	}
	return ""
}

func TestCalls(t *testing.T) {
	for _, c := range calls {
		path := c.Package
		if ourPackages(t)[path] != nil {
			path = module + path
		}
		for _, s := range sources(t) {
			if !within(s.pkg, c.Within) || withinAny(s.pkg, c.Only) {
				continue
			}
			for _, where := range s.mentions(path, c.Names) {
				t.Errorf("%s; in %s only %q may, because: %s", where, c.Within, c.Only, c.Reason)
			}
		}
	}
}

// mentions finds pkg.Name in a file. A dot import hides names, so it counts as
// a mention itself; so does any import when the only name is "*".
func (s source) mentions(importPath string, names []string) (found []string) {
	local := s.local(importPath)
	if local == "" {
		return nil
	}
	if local == "." || names[0] == "*" {
		return []string{fmt.Sprintf("%s imports %s", s.path, importPath)}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && slices.Contains(names, sel.Sel.Name) {
				found = append(found, fmt.Sprintf("%s:%d mentions %s.%s", s.path, s.fset.Position(n.Pos()).Line, importPath, sel.Sel.Name))
			}
		}
		return true
	})
	return found
}

func TestPackageNamesAndComments(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.file.Doc != nil && strings.TrimSpace(s.file.Doc.Text()) != "" {
			documented[s.pkg] = true
		}
	}
	for path, p := range ourPackages(t) {
		for _, part := range append(strings.Split(path, "/"), p.Name) {
			if slices.Contains(forbiddenNames, part) {
				t.Errorf("%s: %q says nothing about what is inside; name it after its job", path, part)
			}
		}
		generated := strings.HasPrefix(path, "api/") && strings.HasSuffix(path, "/v1")
		if len(p.GoFiles) > 0 && !documented[path] && !generated {
			t.Errorf("%s has no package comment; say what it is for, in its doc.go or main file", path)
		}
	}
}

func TestSizes(t *testing.T) {
	files, functions := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		if n := s.fset.File(s.file.Pos()).LineCount(); n > maxFileLines {
			files[s.path] = true
			if longFiles[s.path] == "" {
				t.Errorf("%s has %d lines; split it by noun, or give a reason in longFiles and ARCHITECTURE.md", s.path, n)
			}
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
			name := s.pkg + "." + receiver(f) + f.Name.Name
			if n > maxFunctionLines {
				functions[name] = true
				if longFunctions[name] == "" {
					t.Errorf("%s: %s has %d lines; name its parts, or give a reason in longFunctions", s.path, name, n)
				}
			}
		}
	}
	for name := range longFiles {
		if !files[name] {
			t.Errorf("longFiles excuses %s, which needs no excuse any more", name)
		}
	}
	for name := range longFunctions {
		if !functions[name] {
			t.Errorf("longFunctions excuses %s, which needs no excuse any more", name)
		}
	}
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return "?."
		}
	}
}
