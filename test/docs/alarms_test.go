package docs

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every alarm of the rules, with its runbook. That the runbooks' anchors exist is
// the link checker's to say, and that each sounds is tested by promtool in
// internal/dev.
func TestReferenceOfAlarms(t *testing.T) {
	raw, err := os.ReadFile(repo + "docs/operations/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	n := 0
	for _, g := range file.Groups {
		var rows [][]string
		for _, r := range g.Rules {
			book := r.Annotations["runbook"]
			if book == "" {
				t.Errorf("%s has no runbook", r.Alert)
			}
			rows = append(rows, []string{"[" + r.Alert + "](../operations/" + book + ")", r.Labels["severity"], cmp.Or(r.For, "at once"), r.Annotations["summary"], code(r.Expr)})
			n++
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n", g.Name, table([]string{"alarm and runbook", "severity", "after", "says", "expression"}, rows))
	}
	if n < 20 {
		t.Errorf("only %d alarms", n)
	}
	page(t, "alarms.md", "Alarms", "The rules of [alerts.yaml](../operations/alerts.yaml), for Prometheus. `page` is for now, `ticket` for office hours.", b.String())
}
