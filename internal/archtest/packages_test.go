package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// pkg is what we use of go list's answer.
type pkg struct {
	Dir, ImportPath, Name string
	Standard              bool
	GoFiles               []string
	Imports               []string
	Deps                  []string
}

// ours is the path without the module; "" for others.
func (p *pkg) ours() string {
	if p.ImportPath == strings.TrimSuffix(module, "/") {
		return "."
	}
	path, ok := strings.CutPrefix(p.ImportPath, module)
	if !ok {
		return ""
	}
	return path
}

// list reads the whole import graph once.
var list = sync.OnceValues(func() (map[string]*pkg, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Dir,ImportPath,Name,Standard,GoFiles,Imports,Deps", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	all := map[string]*pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := &pkg{}
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	all, err := list()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	return all
}

// ourPackages are those of this module, by path without the module.
func ourPackages(t *testing.T) map[string]*pkg {
	t.Helper()
	mine := map[string]*pkg{}
	for _, p := range packages(t) {
		if path := p.ours(); path != "" {
			mine[path] = p
		}
	}
	return mine
}

// within reports whether path is pattern, or below it when it ends in /...
func within(path, pattern string) bool {
	tree, ok := strings.CutSuffix(pattern, "...")
	if !ok {
		return path == pattern
	}
	return strings.HasPrefix(path, tree) || path == strings.TrimSuffix(tree, "/")
}

func withinAny(path string, patterns []string) bool {
	for _, p := range patterns {
		if within(path, p) {
			return true
		}
	}
	return false
}
