package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// writeManual makes the manual pages (internal/man) in a folder, compressed as both
// kinds of packages want them: without a name and a time.
func (r *Release) writeManual(ctx context.Context, dir string) error {
	plain := filepath.Join(dir, "plain")
	cmd := exec.CommandContext(ctx, "go", "run", "-trimpath", "-buildvcs=false", "./internal/man",
		"--out", plain, "--version", r.Version, "--date", r.Date.Format(time.RFC3339))
	cmd.Dir = r.Source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("manual pages: %w\n%s", err, text)
	}
	pages, err := filepath.Glob(filepath.Join(plain, "*.[18]"))
	if err != nil || len(pages) == 0 {
		return fmt.Errorf("there are no manual pages: %v", err)
	}
	for _, p := range pages {
		content, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, r.level())
		if err != nil {
			return err
		}
		if _, err := z.Write(content); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, filepath.Base(p)+".gz"), b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// manual is where each page is installed, by where it is.
func manual(dir string) (pages [][2]string, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "*.gz"))
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	for _, p := range all {
		section := p[len(p)-len("1.gz") : len(p)-len(".gz")]
		pages = append(pages, [2]string{p, "/usr/share/man/man" + section + "/" + filepath.Base(p)})
	}
	return pages, nil
}
