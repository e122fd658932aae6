package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// diagram is one Mermaid block.
type diagram struct {
	Page string `json:"page"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// diagrams are those of every page.
func diagrams(t *testing.T) []diagram {
	t.Helper()
	var all []diagram
	err := filepath.WalkDir(repo, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != repo && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".md") {
			return nil
		}
		of, err := diagramsOf(t, path)
		all = append(all, of...)
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d diagrams: %v", len(all), err)
	}
	return all
}

// diagramsOf one page, of which no block is left open.
func diagramsOf(t *testing.T, path string) ([]diagram, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []diagram
	_, blocks := split(string(raw))
	for _, b := range blocks {
		switch b.info {
		case "mermaid":
			all = append(all, diagram{strings.TrimPrefix(path, repo), b.line, b.body})
		case "unclosed":
			t.Errorf("%s:%d: the block does not end", path, b.line)
		}
	}
	return all, nil
}

// Mermaid itself parses every diagram.
func TestDiagramsParse(t *testing.T) {
	planted := []diagram{{"planted.md", 1, "flowchart LR\n  a[one --> b\n"}, {"planted.md", 9, "sequenceDiagram\n  A->>B: hello\n"}, {"planted.md", 15, "flowchart LR\n  a -->|b\n"}}
	found := map[string]bool{}
	for _, fault := range mermaidFaults(t, append(diagrams(t), planted...)) {
		where, _, _ := strings.Cut(fault, ": ")
		if found[where] = true; !strings.HasPrefix(fault, "planted.md") {
			t.Error(fault)
		}
	}
	if !found["planted.md:1"] || found["planted.md:9"] || !found["planted.md:15"] {
		t.Errorf("of the planted mistakes it found %v", sorted(found))
	}
}

// mermaid is the folder in which make mermaid installed it. Without it the test
// is skipped by name, unless DOMICILE_NEED_MERMAID is set, as .ci/run does.
func mermaid(t *testing.T) string {
	t.Helper()
	installed := must(filepath.Abs(repo + ".build/mermaid"))(t)
	if _, err := os.Stat(filepath.Join(installed, "node_modules", "mermaid")); err != nil {
		if os.Getenv("DOMICILE_NEED_MERMAID") != "" {
			t.Fatal("Mermaid is missing, and DOMICILE_NEED_MERMAID is set: make mermaid")
		}
		t.Skip("SKIPPED, NOT TESTED: Mermaid is not installed: make mermaid (needs node and npm)")
	}
	return installed
}

// must is a result, or the end of the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// mermaidFaults are what Mermaid's parser says.
func mermaidFaults(t *testing.T, all []diagram) []string {
	t.Helper()
	cmd := exec.Command("node", filepath.Join(mermaid(t), "parse.mjs"))
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(must(json.Marshal(all))(t))), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the parser of Mermaid did not run: %v", err)
	}
	var faults []string
	if err := json.Unmarshal(out, &faults); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return faults
}
