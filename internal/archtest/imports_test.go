package archtest

import (
	"strings"
	"testing"
)

func TestImports(t *testing.T) {
	all := packages(t)
	for path, p := range ourPackages(t) {
		for _, rule := range imports {
			if !within(path, rule.From) {
				continue
			}
			for _, dep := range p.Deps {
				if bad := rule.refuses(all[dep], dep); bad != "" {
					t.Errorf("%s reaches %s: %s\n\tbecause: %s\n\tthrough: %s", path, dep, bad, rule.Reason, chain(all, p.ImportPath, dep))
				}
			}
		}
	}
}

func (r importRule) refuses(dep *pkg, path string) string {
	mine, isOurs := strings.CutPrefix(path, module)
	if isOurs && withinAny(mine, r.Never) {
		return "it never may"
	}
	if r.Only == nil || dep != nil && dep.Standard {
		return ""
	}
	if isOurs && withinAny(mine, r.Only) {
		return ""
	}
	return "it may only reach the standard library and " + strings.Join(append([]string{"these of ours:"}, r.Only...), " ")
}

// chain is one way from a package to another, for the reader of a failure.
func chain(all map[string]*pkg, from, to string) string {
	type step struct {
		path string
		back *step
	}
	seen, queue := map[string]bool{from: true}, []*step{{path: from}}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if s.path == to {
			var names []string
			for ; s != nil; s = s.back {
				names = append([]string{strings.TrimPrefix(s.path, module)}, names...)
			}
			return strings.Join(names, " → ")
		}
		if p := all[s.path]; p != nil {
			for _, next := range p.Imports {
				if !seen[next] {
					seen[next] = true
					queue = append(queue, &step{next, s})
				}
			}
		}
	}
	return "?"
}

func TestDoors(t *testing.T) {
	for path, p := range ourPackages(t) {
		for _, dep := range p.Imports {
			for _, d := range doors {
				if within(dep, d.Import) && !withinAny(path, d.Only) {
					t.Errorf("%s imports %s; only %s may, because: %s", path, dep, strings.Join(d.Only, ", "), d.Reason)
				}
			}
			if withinAny(dep, absentDoors) {
				t.Errorf("%s imports %s, which has no door yet; name one in doors with its reason", path, dep)
			}
		}
	}
}

// TestRulesAreAlive: a rule about a package that does not exist, or a door that
// nobody uses, protects nothing and hides a rename.
func TestRulesAreAlive(t *testing.T) {
	mine := ourPackages(t)
	exists := func(pattern string) bool {
		for path := range mine {
			if within(path, pattern) {
				return true
			}
		}
		return false
	}
	demand := func(rule string, patterns ...string) {
		t.Helper()
		for _, p := range patterns {
			if !exists(p) {
				t.Errorf("%s names %s, which does not exist; take it out or rename it", rule, p)
			}
		}
	}
	for _, r := range imports {
		demand("imports", append(append([]string{r.From}, r.Never...), r.Only...)...)
	}
	for _, d := range doors {
		demand("door "+d.Import, d.Only...)
		for _, user := range d.Only {
			if p := mine[user]; p != nil && !importsAny(p, d.Import) {
				t.Errorf("door %s lets %s in, which does not use it; take it out", d.Import, user)
			}
		}
	}
	for _, c := range calls {
		demand("calls", append([]string{c.Within}, c.Only...)...)
	}
	for _, r := range doors {
		if r.Reason == "" {
			t.Errorf("door %s gives no reason", r.Import)
		}
	}
}

func importsAny(p *pkg, pattern string) bool {
	for _, dep := range p.Imports {
		if within(dep, pattern) {
			return true
		}
	}
	return false
}
