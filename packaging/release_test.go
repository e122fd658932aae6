package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// revision makes a repository with one commit.
func revision(t *testing.T) *Release {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "a"}, {"-c", "user.name=t", "-c", "user.email=t@t.example", "commit", "-qm", "a", "--date", "2026-11-28T13:01:34Z"}} {
		c := exec.Command("git", args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-11-28T15:01:34+02:00")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	return &Release{Source: dir}
}

func TestAReleaseIsARevision(t *testing.T) {
	r := revision(t)
	if err := r.identify(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if !r.Date.Equal(time.Date(2026, 11, 28, 13, 1, 34, 0, time.UTC)) || !strings.HasPrefix(r.Version, "0.0.0-dev.20261128130134.g") {
		t.Errorf("it is %s of %s", r.Version, r.Date)
	}
	if err := os.WriteFile(filepath.Join(r.Source, "b"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	again := &Release{Source: r.Source}
	if err := again.identify(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "commit first") {
		t.Errorf("a source that nobody can get again is called %s: %v", again.Version, err)
	}
	short := &Release{Source: r.Source, Short: true}
	if err := short.identify(t.Context(), ""); err != nil {
		t.Error(err)
	}
}
