package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Release is one release in the making.
type Release struct {
	Source, Out string    // folders
	Version     string    // semantic, without v
	Commit      string    // revision of git
	Date        time.Time // of that revision, UTC: every file of the release has it
	Arches      []string  // of servers, packages and images
	Short       bool      // for tests: see the flag
	CycloneDX   string    // program
}

var semantic = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9a-z.]+)?$`)

// identify asks git for what was not given.
func (r *Release) identify(ctx context.Context, date string) (err error) {
	if r.Commit == "" {
		if r.Commit, err = r.git(ctx, "rev-parse", "HEAD"); err != nil {
			return errors.Join(err, errors.New("without git, give --version, --commit and --date"))
		}
		if err = r.unchanged(ctx); err != nil {
			return err
		}
	}
	if date == "" {
		if date, err = r.git(ctx, "show", "-s", "--format=%cI", r.Commit); err != nil {
			return err
		}
	}
	if r.Date, err = time.Parse(time.RFC3339, date); err != nil {
		return fmt.Errorf("the date of the revision: %w", err)
	}
	r.Date = r.Date.UTC()
	if r.Version == "" {
		r.Version = r.versionOf(ctx)
	}
	if !semantic.MatchString(r.Version) {
		return fmt.Errorf("the version %q is not semantic: name tags v1.2.3 or v1.2.3-rc.1", r.Version)
	}
	return nil
}

// unchanged refuses to put a revision's name on what is not that revision: programs
// say of themselves which one they are. The short form is for tests and is not
// given to anybody.
func (r *Release) unchanged(ctx context.Context) error {
	if r.Short {
		return nil
	}
	changed, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	if first, _, _ := strings.Cut(changed, "\n"); first != "" {
		return fmt.Errorf("a release is made of a revision, and the source differs from it (%s): commit first, or build from a clone", strings.TrimSpace(first))
	}
	return nil
}

// versionOf is the tag of the revision; without one, a pre-release of 0.0.0 that
// sorts by the revision's time, so that packages of later revisions are upgrades.
func (r *Release) versionOf(ctx context.Context) string {
	if tag, err := r.git(ctx, "describe", "--tags", "--exact-match", "--match", "v[0-9]*", r.Commit); err == nil {
		return strings.TrimPrefix(tag, "v")
	}
	return fmt.Sprintf("0.0.0-dev.%s.g%s", r.Date.Format("20060102150405"), r.Commit[:min(len(r.Commit), 9)])
}

func (r *Release) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.Source
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// files is a folder of what packages hold beside programs.
func (r *Release) files(path ...string) string {
	return filepath.Join(append([]string{r.Source, "packaging", "files"}, path...)...)
}

// writeFile writes what a release consists of.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
