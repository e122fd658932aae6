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

// Mermaid itself parses every diagram. It is installed by make mermaid; without
// it the test is skipped by name, unless DOMICILE_NEED_MERMAID is set, as
// .ci/run does.
func TestDiagramsParse(t *testing.T) {
	var all []diagram
	err := filepath.WalkDir(repo, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != repo && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".md") {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			_, blocks := split(string(raw))
			for _, b := range blocks {
				if b.info == "mermaid" {
					all = append(all, diagram{strings.TrimPrefix(path, repo), b.line, b.body})
				}
				if b.info == "unclosed" {
					t.Errorf("%s:%d: the block does not end", path, b.line)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 1 {
		t.Errorf("only %d diagrams", len(all))
	}
	planted := []diagram{{"planted.md", 1, "flowchart LR\n  a[one --> b\n"}, {"planted.md", 9, "sequenceDiagram\n  A->>B: hello\n"}, {"planted.md", 15, "flowchart LR\n  a -->|b\n"}}
	found := map[string]bool{}
	for _, fault := range mermaidFaults(t, append(all, planted...)) {
		where, _, _ := strings.Cut(fault, ": ")
		if found[where] = true; !strings.HasPrefix(fault, "planted.md") {
			t.Error(fault)
		}
	}
	if !found["planted.md:1"] || found["planted.md:9"] || !found["planted.md:15"] {
		t.Errorf("of the planted mistakes it found %v", sorted(found))
	}
}

// mermaidFaults are what Mermaid's parser says.
func mermaidFaults(t *testing.T, all []diagram) []string {
	t.Helper()
	installed, err := filepath.Abs(repo + ".build/mermaid")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(installed, "node_modules", "mermaid")); err != nil {
		if os.Getenv("DOMICILE_NEED_MERMAID") != "" {
			t.Fatal("Mermaid is missing, and DOMICILE_NEED_MERMAID is set: make mermaid")
		}
		t.Skip("SKIPPED, NOT TESTED: Mermaid is not installed: make mermaid (needs node and npm)")
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join(installed, "parse.mjs"))
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(raw)), os.Stderr
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
