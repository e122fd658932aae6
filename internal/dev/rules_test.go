package dev

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// promtool runs Prometheus' own checker. Without it the test is skipped by name,
// unless DOMICILE_NEED_PROMTOOL is set, as .ci/run does.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("DOMICILE_NEED_PROMTOOL") != "" {
			t.Fatal("promtool is missing, and DOMICILE_NEED_PROMTOOL is set")
		}
		t.Skipf("SKIPPED, NOT TESTED: %s needs promtool (Debian: apt-get install prometheus)", t.Name())
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = operations
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPrometheusTakesTheAlarms(t *testing.T) {
	if out, err := promtool(t, "check", "rules", "--lint-fatal", "alerts.yaml"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Every alarm is made to sound, and to be silent beside it, by the unit tests of
// alerts_test.yaml in Prometheus' own evaluator.
func TestEveryAlarmSounds(t *testing.T) {
	out, err := promtool(t, "test", "rules", "alerts_test.yaml")
	if err != nil || !strings.Contains(out, "SUCCESS") {
		t.Errorf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(operations + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	if err := yaml.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	sounding, silent := tried(t)
	for _, g := range r.Groups {
		for _, a := range g.Rules {
			if !slices.Contains(sounding, a.Alert) || !slices.Contains(silent, a.Alert) {
				t.Errorf("alerts_test.yaml does not show %s both sounding and silent", a.Alert)
			}
		}
	}
}

// tried lists the alarms that the unit tests expect to sound, and not to.
func tried(t *testing.T) (sounding, silent []string) {
	t.Helper()
	raw, err := os.ReadFile(operations + "alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tests struct {
		Tests []struct {
			Rules []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(raw, &tests); err != nil {
		t.Fatal(err)
	}
	for _, one := range tests.Tests {
		for _, a := range one.Rules {
			if len(a.Expected) > 0 {
				sounding = append(sounding, a.Name)
			} else {
				silent = append(silent, a.Name)
			}
		}
	}
	return sounding, silent
}

// TestPromtoolFindsAMistake shows that the checks above could fail.
func TestPromtoolFindsAMistake(t *testing.T) {
	raw, err := os.ReadFile(operations + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	broken := regexp.MustCompile(`sum\(domicile_control_leader\)`).ReplaceAll(raw, []byte("sum(domicile_control_leader))"))
	path := filepath.Join(t.TempDir(), "alerts.yaml")
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "check", "rules", path); err == nil {
		t.Errorf("a rule that does not parse was taken: %s", out)
	}
}
