package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alarm is a rule of alerts.yaml, and its group.
type alarm struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
	group               string
}

// alarms are the rules of alerts.yaml, in order.
func alarms(t *testing.T) (out []alarm) {
	t.Helper()
	raw, err := os.ReadFile(repo + "docs/operations/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alarm `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			r.group = g.Name
			out = append(out, r)
		}
	}
	return out
}

// Somebody who was woken up finds the same parts in the same order under each
// alarm: what it means, what still works, where to look, what to do, when it is
// over, and what would make it worse.
func TestEveryAlarmHasItsRunbook(t *testing.T) {
	page := readPage(t, "docs/operations/alarms.md")
	metrics := readPage(t, "docs/reference/metrics.md")
	known := func(name string) bool {
		return strings.Contains(metrics, "`domicile_"+strings.TrimSuffix(name, "_sum"))
	}
	for _, fault := range runbookFaults(page, alarms(t), known) {
		t.Error(fault)
	}
}

// What the runbooks look for in a log is what the programs say there.
func TestRunbooksLookForWhatIsLogged(t *testing.T) {
	var said strings.Builder
	for _, root := range []string{"controlplane", "dataplane", "internal", "cmd"} {
		for _, dir := range folders(t, root) {
			files, err := filepath.Glob(repo + dir + "/*.go")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if !strings.HasSuffix(file, "_test.go") {
					said.WriteString(readPage(t, strings.TrimPrefix(file, repo)))
				}
			}
		}
	}
	foreign := []string{`"level":"ERROR"`, "election", "heartbeat"} // of slog and Raft
	seen := 0
	for _, m := range regexp.MustCompile(`journalctl -u [a-z-]+ -g (?:'([^']+)'|"([^"]+)"|([a-z]+))`).FindAllStringSubmatch(readPage(t, "docs/operations/alarms.md"), -1) {
		for _, words := range strings.Split(m[1]+m[2]+m[3], "|") {
			seen++
			if !slices.Contains(foreign, words) && !strings.Contains(said.String(), words) {
				t.Errorf("nothing logs %q", words)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d were found", seen)
	}
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(repo + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var (
	parts      = []string{"Means", "Still works", "Look", "Do", "Over when", "Do not"}
	part       = regexp.MustCompile(`(?m)^\* \*\*([A-Z][a-z ]+):\*\* (.*)$`)
	asksMetric = regexp.MustCompile("`(?:metric|counts) ([a-z0-9_]+)")
)

// runbookFaults are the sections of a page that are no runbooks of their alarms.
// known says whether a metric begins with a name.
func runbookFaults(page string, all []alarm, known func(string) bool) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	sections := map[string]string{}
	var order, want []string
	for _, s := range strings.Split(page, "\n## ")[1:] {
		name, text, _ := strings.Cut(s, "\n")
		order = append(order, name)
		sections[name] = text
	}
	for _, a := range all {
		want = append(want, a.Alert)
		text, ok := sections[a.Alert]
		if !ok {
			fault("%s has no section", a.Alert)
			continue
		}
		if severity := strings.ToLower(strings.TrimSuffix(strings.SplitN(text, "\n", 2)[0], ".")); severity != a.Labels["severity"] {
			fault("%s: the page says %q, the rule %q", a.Alert, severity, a.Labels["severity"])
		}
		var has []string
		for _, m := range part.FindAllStringSubmatch(text, -1) {
			has = append(has, m[1])
			if (m[1] == "Look" || m[1] == "Over when") && !strings.Contains(m[2], "`") && !strings.Contains(m[2], "](#") {
				fault("%s: %q names nothing to type", a.Alert, m[1])
			}
		}
		if !slices.Equal(has, parts) {
			fault("%s has the parts %q, want %q", a.Alert, has, parts)
		}
		for _, m := range asksMetric.FindAllStringSubmatch(text, -1) {
			if !known(m[1]) {
				fault("%s asks for domicile_%s, which no process has", a.Alert, m[1])
			}
		}
	}
	if len(faults) == 0 && !slices.Equal(order, want) {
		fault("the sections are %q, the rules %q", order, want)
	}
	return faults
}

// Each of these sections lacks one thing, which is found.
func TestARunbookThatLacksAPartIsFound(t *testing.T) {
	all := []alarm{{Alert: "DiskFull", Labels: map[string]string{"severity": "page"}}}
	const sound = "# Alarms\n\n## DiskFull\nPage.\n* **Means:** full.\n* **Still works:** reading.\n* **Look:** `df -h`.\n* **Do:** make room.\n* **Over when:** `metric disk_full` is 0.\n* **Do not:** delete.\n"
	for what, change := range map[string]func(string) string{
		"":                       func(s string) string { return s },
		`want ["Means"`:          func(s string) string { return strings.Replace(s, "* **Do not:** delete.\n", "", 1) },
		`has the parts ["Still`:  func(s string) string { return strings.Replace(s, "* **Means:** full.\n", "", 1) },
		`"Look" names nothing`:   func(s string) string { return strings.Replace(s, "`df -h`", "the disk", 1) },
		`"Over when" names`:      func(s string) string { return strings.Replace(s, "`metric disk_full` is 0", "all is well", 1) },
		"which no process has":   func(s string) string { return strings.Replace(s, "metric disk_full", "metric disc_full", 1) },
		`the page says "ticket"`: func(s string) string { return strings.Replace(s, "Page.", "Ticket.", 1) },
		"has no section":         func(s string) string { return strings.Replace(s, "## DiskFull", "## DiskFul", 1) },
		"the sections are":       func(s string) string { return s + "\n## Gone\nPage.\n" },
	} {
		got := strings.Join(runbookFaults(change(sound), all, func(name string) bool { return strings.HasPrefix("disk_full", name) }), "\n")
		if what == "" && got != "" || what != "" && (!strings.Contains(got, what) || strings.Contains(got, "\n")) {
			t.Errorf("want %q, found %q", what, got)
		}
	}
}
