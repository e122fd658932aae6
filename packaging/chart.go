package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// buildChart writes the Helm chart with this release's version: what `helm package`
// does, but for the time in it.
func (r *Release) buildChart(context.Context) error {
	dir := filepath.Join(r.Source, "deploy", "helm", "domicile")
	var entries []entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path) // a link into docs is followed: one copy in git, a whole file in the chart
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if name == "Chart.yaml" {
			content = r.versioned(content)
		}
		entries = append(entries, entry{"domicile/" + filepath.ToSlash(name), content, 0o644})
		return err
	})
	if err != nil {
		return err
	}
	return r.tarGzip(filepath.Join(r.Out, "domicile-"+r.Version+".tgz"), entries)
}

// versioned puts the release's version in the place of the source's.
func (r *Release) versioned(chart []byte) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(chart)) {
		switch {
		case strings.HasPrefix(line, "version:"):
			line = "version: " + r.Version + "\n"
		case strings.HasPrefix(line, "appVersion:"):
			line = "appVersion: \"" + r.Version + "\"\n"
		}
		out.WriteString(line)
	}
	return out.Bytes()
}
