package dev

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const operations = "../../docs/operations/"

// rules is the file format of Prometheus: unknown keys are mistakes.
type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

var (
	alertName  = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	metricName = regexp.MustCompile(`domicile_[a-z_]+`)
	labelled   = regexp.MustCompile(`(domicile_[a-z_]+)\{[^}]*?([a-z]+="[^"]+")`)
	ofPart     = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// TestEveryAlarmHasARunbookAndAMetric reads alerts.yaml as Prometheus would, and
// looks for each metric in a running voter and node. A counter by label shows
// itself only once it has counted; for those the sources must make it.
func TestEveryAlarmHasARunbookAndAMetric(t *testing.T) {
	f, err := os.Open(operations + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r rules
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		t.Fatalf("alerts.yaml is no file of rules: %v", err)
	}
	runbooks, err := os.ReadFile(operations + "alarms.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, made := metricsOfARunningSystem(t), sources(t)
	n := map[string]bool{}
	for _, g := range r.Groups {
		for _, a := range g.Rules {
			if n[a.Alert] || !alertName.MatchString(a.Alert) || a.Expr == "" || a.Annotations["summary"] == "" {
				t.Errorf("alarm %q: twice, or without name, expression or summary", a.Alert)
			}
			n[a.Alert] = true
			if a.For != "" {
				if _, err := time.ParseDuration(a.For); err != nil {
					t.Errorf("%s: for: %v", a.Alert, err)
				}
			}
			if s := a.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", a.Alert, s)
			}
			if strings.Count(a.Expr, "(") != strings.Count(a.Expr, ")") || strings.Count(a.Expr, "{") != strings.Count(a.Expr, "}") {
				t.Errorf("%s: %s does not close its brackets", a.Alert, a.Expr)
			}
			if a.Annotations["runbook"] != "alarms.md#"+strings.ToLower(a.Alert) || !strings.Contains(string(runbooks), "\n## "+a.Alert+"\n") {
				t.Errorf("%s has no section in alarms.md", a.Alert)
			}
			for _, name := range metricName.FindAllString(a.Expr, -1) {
				name = ofPart.ReplaceAllString(name, "")
				if !strings.Contains(shown, "\n"+name) && !strings.Contains(made, `"`+name+`"`) {
					t.Errorf("%s: nothing has a metric %s", a.Alert, name)
				}
			}
			// A rate begins at a counter's second value: a failure that is the first of its
			// kind is seen only when the counter stood at zero before.
			for _, m := range labelled.FindAllStringSubmatch(a.Expr, -1) {
				if !regexp.MustCompile(`\n` + m[1] + `\{[^}]*` + regexp.QuoteMeta(m[2])).MatchString(shown) {
					t.Errorf("%s: a process that has just begun does not show %s{%s}", a.Alert, m[1], m[2])
				}
			}
			if !metricName.MatchString(a.Expr) && !strings.HasPrefix(a.Expr, "up{") {
				t.Errorf("%s looks at nothing of ours: %s", a.Alert, a.Expr)
			}
		}
	}
	if len(n) < 15 {
		t.Errorf("only %d alarms", len(n))
	}
	for _, section := range regexp.MustCompile(`(?m)^## ([A-Za-z]+)$`).FindAllStringSubmatch(string(runbooks), -1) {
		if !n[section[1]] {
			t.Errorf("alarms.md has a section for %s, which is no alarm", section[1])
		}
	}
}

func metricsOfARunningSystem(t *testing.T) string {
	t.Helper()
	e, err := Start(context.Background(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	var out strings.Builder
	for _, name := range []string{e.Voters()[0], e.Regions()[0]} {
		resp, err := http.Get(e.OpsURL(name) + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("metrics of %s: %d %v", name, resp.StatusCode, err)
		}
		out.WriteString("\n" + string(raw))
	}
	return out.String()
}

// sources are the programs' own, without tests.
func sources(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, root := range []string{"../../controlplane", "../../dataplane"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			out.Write(raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}
