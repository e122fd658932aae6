package docs

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var keepDrawings = flag.String("drawings", "", "also save what a browser drew of the diagrams, as a picture, under this name")

// drawing is what a browser made of a diagram; sizes are in CSS pixels.
type drawing struct {
	Page     string   `json:"page"`
	Line     int      `json:"line"`
	Width    float64  `json:"width"`
	Height   float64  `json:"height"`
	Labels   int      `json:"labels"`   // characters of its labels
	Outgrown []string `json:"outgrown"` // labels larger than their place
	Fault    string   `json:"fault"`
}

// A browser draws every diagram: each has a size and words, and no label is
// larger than what it stands in. A parser alone would not see a diagram that
// cannot be laid out.
func TestDiagramsAreDrawn(t *testing.T) {
	all := diagrams(t)
	planted := []diagram{
		{"a mistake", 1, "flowchart LR\n  a[one --> b\n"},
		{"a label that is larger than its place", 1, "flowchart LR\n  a[\"<span style='padding:40px'>word</span>\"]\n"},
		{"no label", 1, "flowchart LR\n  a[\" \"] --> b[\" \"]\n"},
		{"nothing", 1, "flowchart LR\n"},
	}
	drawn := draw(t, append(all, planted...))
	if len(drawn) != len(all)+len(planted) {
		t.Fatalf("%d drawings of %d diagrams", len(drawn), len(all)+len(planted))
	}
	for i, d := range drawn {
		badly := d.Fault != "" || len(d.Outgrown) > 0 || d.Width < 50 || d.Height < 50 || d.Labels == 0
		if badly != (i >= len(all)) {
			t.Errorf("%s:%d: drawn badly is %v: %+v", d.Page, d.Line, badly, d)
		}
	}
}

// drawings stands in the page after the last diagram was drawn.
var drawings = regexp.MustCompile(`(?s)<script id="drawings" type="application/json">(.*?)</script>`)

// draw lets headless Chromium draw the diagrams, with Mermaid as readers'
// browsers have it. It opens files only: no network.
func draw(t *testing.T, all []diagram) []drawing {
	t.Helper()
	browser, page := chromium(t), drawingPage(t, all)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	args := []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir=" + t.TempDir(),
		"--window-size=1240,3600", "--virtual-time-budget=60000"}
	if *keepDrawings != "" {
		args = append(args, "--screenshot="+*keepDrawings)
	}
	cmd := exec.CommandContext(ctx, browser, append(args, "--dump-dom", "file://"+page)...)
	var said strings.Builder
	cmd.Stderr = &said
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("the browser did not end well: %v\n%s", err, said.String())
	}
	found := drawings.FindSubmatch(dom)
	if found == nil {
		t.Fatalf("the browser drew nothing:\n%s", said.String())
	}
	var drawn []drawing
	if err := json.Unmarshal(found[1], &drawn); err != nil {
		t.Fatal(err)
	}
	return drawn
}

// drawingPage lays the page, Mermaid and the diagrams into a folder.
func drawingPage(t *testing.T, all []diagram) string {
	t.Helper()
	dir, raw := t.TempDir(), must(json.Marshal(all))(t)
	page := must(os.ReadFile("mermaid/draw.html"))(t)
	for name, content := range map[string]string{"draw.html": string(page), "diagrams.js": fmt.Sprintf("const diagrams = %s;\n", raw)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(mermaid(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "draw.html")
}

// chromium is the browser's program. Without it the test is skipped by name,
// unless DOMICILE_NEED_CHROMIUM is set, as .ci/run does.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("DOMICILE_NEED_CHROMIUM") != "" {
		t.Fatal("Chromium is missing, and DOMICILE_NEED_CHROMIUM is set: install it (apt-get install chromium)")
	}
	t.Skip("SKIPPED, NOT TESTED: Chromium is not installed (apt-get install chromium)")
	return ""
}
