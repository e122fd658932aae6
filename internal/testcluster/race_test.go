package testcluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Under -race a race of a process fails whoever ends the process, also when it is
// killed, which no exit code tells.
func TestARaceInAProcessIsAnError(t *testing.T) {
	if !raced {
		t.Skip("run it by: go test -race ./internal/testcluster")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "racy")
	if err := build(t.Context(), "-o", program, "./internal/testcluster/testdata/racy"); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*Process) error{"killed": (*Process).Kill, "stopped": (*Process).Stop} {
		t.Run(name, func(t *testing.T) {
			p := &Process{name: name, program: program, log: filepath.Join(dir, "logs", name)}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, p.log, "raced")
			if err := end(p); err == nil || !strings.Contains(err.Error(), raceReport) || !strings.Contains(err.Error(), "racy/main.go") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// waitFor waits until a process's log says something.
func waitFor(t *testing.T, log, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if raw, err := os.ReadFile(log); err == nil && bytes.Contains(raw, []byte(what)) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not say %q", log, what)
		case <-tick.C:
		}
	}
}
