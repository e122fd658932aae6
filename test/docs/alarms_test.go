package docs

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
)

// Every alarm of the rules, with its runbook. That the runbooks' anchors exist is
// the link checker's to say, and that each sounds is tested by promtool in
// internal/dev.
func TestReferenceOfAlarms(t *testing.T) {
	var b strings.Builder
	all := alarms(t)
	for i := 0; i < len(all); {
		var rows [][]string
		group := all[i].group
		for ; i < len(all) && all[i].group == group; i++ {
			r := all[i]
			book := r.Annotations["runbook"]
			if book == "" {
				t.Errorf("%s has no runbook", r.Alert)
			}
			rows = append(rows, []string{"[" + r.Alert + "](../operations/" + book + ")", r.Labels["severity"], cmp.Or(r.For, "at once"), r.Annotations["summary"], code(r.Expr)})
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n", group, table([]string{"alarm and runbook", "severity", "after", "says", "expression"}, rows))
	}
	if n := len(all); n < 20 {
		t.Errorf("only %d alarms", n)
	}
	page(t, "alarms.md", "Alarms", "The rules of [alerts.yaml](../operations/alerts.yaml), for Prometheus. `page` is for now, `ticket` for office hours.", b.String())
}
