package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Every relative link and anchor of every page leads somewhere, and every page
// can be reached from README.md.
func TestLinksLeadSomewhere(t *testing.T) {
	tree := os.DirFS(repo)
	pages := map[string]string{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" || d.Name() == "node_modules" || name == "bin") {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ".md") {
			raw, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			pages[name] = string(raw)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 100 {
		t.Errorf("only %d pages", len(pages))
	}
	for _, fault := range linkFaults(tree, pages) {
		t.Error(fault)
	}
}

var (
	span     = regexp.MustCompile("`[^`\n]*`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)(?: "[^"]*")?\)`)
	source   = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	heading  = regexp.MustCompile(`^#{1,6} +(.*?)(?: +#+)?$`)
	identity = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
	inLink   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	external = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// free are pages that nothing has to lead to: what tools and hosts look for.
var free = []string{"README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "ARCHITECTURE.md"}

// linkFaults are the links of pages that lead nowhere, and the pages that
// nobody reaches.
func linkFaults(tree fs.FS, pages map[string]string) []string {
	var faults []string
	anchors := map[string]map[string]bool{}
	for name, text := range pages {
		anchors[name] = anchorsOf(text)
	}
	reached := map[string]bool{}
	next := []string{"README.md"}
	leads := map[string][]string{}
	for _, name := range sorted(pages) {
		prose, _ := split(pages[name])
		for i, line := range prose {
			line = span.ReplaceAllString(line, "")
			for _, m := range slices.Concat(link.FindAllStringSubmatch(line, -1), source.FindAllStringSubmatch(line, -1)) {
				target := m[1]
				if external.MatchString(target) {
					continue
				}
				file, anchor, _ := strings.Cut(target, "#")
				to := name
				if file != "" {
					to = path.Join(path.Dir(name), file)
				}
				info, err := fs.Stat(tree, to)
				if err != nil {
					faults = append(faults, fmt.Sprintf("%s:%d: %s is not there", name, i+1, target))
					continue
				}
				if info.IsDir() {
					for other := range pages {
						if path.Dir(other) == to {
							leads[name] = append(leads[name], other)
						}
					}
				}
				leads[name] = append(leads[name], to)
				if anchor != "" && strings.HasSuffix(to, ".md") && !anchors[to][anchor] {
					faults = append(faults, fmt.Sprintf("%s:%d: %s has no heading for #%s", name, i+1, to, anchor))
				}
			}
		}
	}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		if !reached[name] {
			reached[name] = true
			next = append(next, leads[name]...)
		}
	}
	for _, name := range sorted(pages) {
		if !reached[name] && (strings.HasPrefix(name, "docs/") || strings.HasPrefix(name, "terraform/")) && !slices.Contains(free, name) {
			faults = append(faults, name+": no page leads here from README.md")
		}
	}
	return faults
}

// anchorsOf are the anchors of a page, as GitHub makes them; of equal headings
// the second has -1 behind it.
func anchorsOf(text string) map[string]bool {
	out, seen := map[string]bool{}, map[string]int{}
	prose, _ := split(text)
	for _, line := range prose {
		for _, m := range identity.FindAllStringSubmatch(line, -1) {
			out[m[1]] = true
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			s := slug(strings.ReplaceAll(inLink.ReplaceAllString(m[1], "$1"), "`", ""))
			if n := seen[s]; n > 0 {
				out[fmt.Sprintf("%s-%d", s, n)] = true
			} else {
				out[s] = true
			}
			seen[s]++
		}
	}
	return out
}

// Each of these pages has one fault, which is found.
func TestFaultsOfLinksAreFound(t *testing.T) {
	sound := map[string]string{
		"README.md":      "# Top\n[a](docs/a.md#second-part-1) [top](#top) [web](https://example.net/x)\n```\n[no](link)\n```\n`[nor](this)`\n[folder](docs/more)\n",
		"docs/a.md":      "## Second, part\n## Second part\n[up](../README.md)\n",
		"docs/more/b.md": "# B\n",
	}
	for what, change := range map[string]func(map[string]string){
		"":                            func(map[string]string) {},
		"is not there":                func(p map[string]string) { p["docs/a.md"] += "[x](gone.md)\n" },
		"no heading for #third":       func(p map[string]string) { p["docs/a.md"] += "[x](#third)\n" },
		"has no heading for #top-1":   func(p map[string]string) { p["docs/a.md"] += "[x](../README.md#top-1)\n" },
		"docs/lost.md: no page leads": func(p map[string]string) { p["docs/lost.md"] = "# Lost\n" },
	} {
		pages, tree := map[string]string{}, fstest.MapFS{}
		for k, v := range sound {
			pages[k] = v
		}
		change(pages)
		for k, v := range pages {
			tree[k] = &fstest.MapFile{Data: []byte(v)}
		}
		got := strings.Join(linkFaults(tree, pages), "\n")
		if what == "" && got != "" || what != "" && (!strings.Contains(got, what) || strings.Contains(got, "\n")) {
			t.Errorf("want %q, found %q", what, got)
		}
	}
}
