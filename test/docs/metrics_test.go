package docs

import (
	"cmp"
	"context"
	"go/ast"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/dev"
)

// metric is one family of ours.
type metric struct {
	name, kind, help string
	labels           []string
	voter, node      bool
}

// Every metric that the sources make. A running system must show none that is
// not among them, and each that it shows with the same help, type and labels.
func TestReferenceOfMetrics(t *testing.T) {
	all := map[string]*metric{}
	for _, part := range []string{"controlplane", "dataplane", "internal"} { // internal: what both show
		for _, dir := range folders(t, part) {
			for _, f := range sources(t, dir) {
				for _, m := range made(f) {
					known := all[m.name]
					if known == nil {
						known = &m
						all[m.name] = known
					}
					if m.help != known.help || m.kind != known.kind {
						t.Errorf("%s is made twice, and differently", m.name)
					}
					known.voter, known.node = known.voter || part != "dataplane", known.node || part != "controlplane"
				}
			}
		}
	}
	shown := running(t)
	for name, s := range shown {
		m := all[name]
		if m == nil {
			t.Errorf("a running system shows %s, which was not found in the sources", name)
			continue
		}
		if m.help != s.help || s.voter && !m.voter || s.node && !m.node {
			t.Errorf("%s: the sources say %+v, a running system %+v", name, *m, *s)
		}
		m.kind = s.kind
		if len(m.labels) == 0 {
			m.labels = s.labels // a label that is constant for a process
		}
	}
	if len(all) < 90 || len(shown) < 60 {
		t.Errorf("only %d metrics, of which a running system shows %d", len(all), len(shown))
	}
	var rows [][]string
	for _, name := range sorted(all) {
		m := all[name]
		if m.help == "" {
			t.Errorf("%s has no help", name)
		}
		where := map[[2]bool]string{{true, false}: "voter", {false, true}: "node", {true, true}: "both"}[[2]bool{m.voter, m.node}]
		labels := make([]string, len(m.labels))
		for i, l := range m.labels {
			labels[i] = code(l)
		}
		rows = append(rows, []string{code(name), m.kind, strings.Join(labels, ", "), where, m.help})
	}
	page(t, "metrics.md", "Metrics",
		"What voters and nodes show at `/metrics` of their operations port (`ops_address`), beside the Go runtime's and the process's own. Labels take words of closed lists only; none names a tenant, a person or an address. A counter by label appears when it has counted, and what belongs to a database, a bucket or a backup where there is one. [telemetry.md](../operations/telemetry.md) has the dashboards, [alarms.md](alarms.md) the alarms.",
		table([]string{"metric", "type", "labels", "of", "help"}, rows))
}

func folders(t *testing.T, root string) []string {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(repo+root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "test/") {
			rel, _ := filepath.Rel(repo, filepath.Dir(path))
			found[rel] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sorted(found)
}

// maker is a small function of one file that makes metrics of a kind, with a
// prefix before the name that it is given.
type maker struct{ prefix, kind string }

// made are the metrics of one file.
func made(f *ast.File) []metric {
	var out []metric
	makers := map[string]maker{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if len(n.Lhs) == 1 && len(n.Rhs) == 1 {
				id, isName := n.Lhs[0].(*ast.Ident)
				lit, isFunc := n.Rhs[0].(*ast.FuncLit)
				if isName && isFunc {
					note(makers, id.Name, lit.Body)
				}
			}
		case *ast.FuncDecl:
			if n.Body != nil && n.Recv == nil {
				note(makers, n.Name.Name, n.Body)
			}
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := cmp.Or(selected(call.Fun), ident(call.Fun))
		if m, ok := makers[name]; ok && len(call.Args) >= 2 && text(call.Args[0]) != "" && !strings.HasPrefix(name, "New") {
			if full := m.prefix + text(call.Args[0]); strings.HasPrefix(full, "domicile_") {
				out = append(out, metric{name: full, kind: cmp.Or(m.kind, byName(full)), help: text(call.Args[1]), labels: strs(call.Args[2:])})
			}
			return true
		}
		if name == "NewDesc" && strings.HasPrefix(text(call.Args[0]), "domicile_") {
			out = append(out, metric{name: text(call.Args[0]), kind: byName(text(call.Args[0])), help: text(call.Args[1]), labels: listed(call.Args[2])})
			return true
		}
		if kind := kindOf(name); kind != "" && len(call.Args) > 0 {
			if n, help, labels := opts(call.Args[0]); strings.HasPrefix(n, "domicile_") {
				if len(call.Args) > 1 && len(labels) == 0 {
					labels = listed(call.Args[1])
				}
				out = append(out, metric{name: n, kind: kind, help: help, labels: labels})
			}
		}
		return true
	})
	return out
}

// note finds out whether a function makes metrics from a name that it is given.
func note(makers map[string]maker, name string, body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		made := selected(call.Fun)
		var given ast.Expr
		if made == "NewDesc" {
			given = call.Args[0]
		} else if kindOf(made) != "" {
			if lit, ok := call.Args[0].(*ast.CompositeLit); ok {
				given = field(lit, "Name")
			}
		}
		switch e := given.(type) {
		case *ast.Ident:
			makers[name] = maker{kind: kindOf(made)}
		case *ast.BinaryExpr:
			if _, ok := e.Y.(*ast.Ident); ok {
				makers[name] = maker{prefix: text(e.X), kind: kindOf(made)}
			}
		}
		return true
	})
}

func kindOf(constructor string) string {
	for _, k := range []string{"Counter", "Gauge", "Histogram", "Summary"} {
		if strings.HasPrefix(constructor, "New"+k) {
			return strings.ToLower(k)
		}
	}
	return ""
}

// byName is the type of a metric by its name, where only a running system says.
func byName(name string) string {
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}

func ident(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func field(lit *ast.CompositeLit, name string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok && ident(kv.Key) == name {
			return kv.Value
		}
	}
	return nil
}

func opts(e ast.Expr) (name, help string, labels []string) {
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return "", "", nil
	}
	return text(field(lit, "Name")), text(field(lit, "Help")), nil
}

func listed(e ast.Expr) []string {
	if lit, ok := e.(*ast.CompositeLit); ok {
		return strs(lit.Elts)
	}
	return nil
}

func strs(list []ast.Expr) []string {
	var out []string
	for _, e := range list {
		if s := text(e); s != "" {
			out = append(out, s)
		}
	}
	return out
}

var (
	ofType = regexp.MustCompile(`(?m)^# TYPE (domicile_[a-z_]+) ([a-z]+)$`)
	ofHelp = regexp.MustCompile(`(?m)^# HELP (domicile_[a-z_]+) (.*)$`)
	ofRow  = regexp.MustCompile(`(?m)^(domicile_[a-z_]+?)(?:_bucket|_sum|_count)?\{([^}]*)\}`)
	ofName = regexp.MustCompile(`([a-z_]+)="`)
)

// running asks every voter and node of a running system.
func running(t *testing.T) map[string]*metric {
	t.Helper()
	e, err := dev.Start(context.Background(), dev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	out := map[string]*metric{}
	for _, name := range slices.Concat(e.Voters()[:1], e.Regions()[:1]) {
		resp, err := http.Get(e.OpsURL(name) + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("metrics of %s: %d %v", name, resp.StatusCode, err)
		}
		for _, m := range ofType.FindAllSubmatch(raw, -1) {
			family := out[string(m[1])]
			if family == nil {
				family = &metric{name: string(m[1]), kind: string(m[2])}
				out[family.name] = family
			}
			family.voter, family.node = family.voter || name == e.Voters()[0], family.node || name == e.Regions()[0]
		}
		for _, m := range ofHelp.FindAllSubmatch(raw, -1) {
			out[string(m[1])].help = strings.ReplaceAll(string(m[2]), `\\`, `\`)
		}
		for _, m := range ofRow.FindAllSubmatch(raw, -1) {
			if family := out[string(m[1])]; family != nil && len(family.labels) == 0 {
				for _, l := range ofName.FindAllSubmatch(m[2], -1) {
					if string(l[1]) != "le" {
						family.labels = append(family.labels, string(l[1]))
					}
				}
			}
		}
	}
	return out
}
