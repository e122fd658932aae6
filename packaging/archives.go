package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is one file of an archive.
type entry struct {
	name    string // with slashes
	content []byte
	mode    int64
}

func (r *Release) buildArchives(context.Context) error {
	for _, p := range r.desks() {
		if err := r.commandLineArchive(p); err != nil {
			return err
		}
		if err := r.providerArchive(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *Release) commandLineArchive(p platform) error {
	dir := "domicile_" + r.Version + "_" + p.String()
	names := []string{commandLine}
	if p.os == "linux" {
		names = append(names, controlPlane, dataPlane)
	}
	var entries []entry
	for _, name := range names {
		path := r.program(name, p)
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		entries = append(entries, entry{dir + "/" + filepath.Base(path), content, 0o755})
		if list, err := os.ReadFile(bill(path)); err == nil {
			entries = append(entries, entry{dir + "/sbom/" + name + ".cdx.json", list, 0o644})
		}
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		content, err := os.ReadFile(filepath.Join(r.Source, name))
		if err != nil {
			return err
		}
		entries = append(entries, entry{dir + "/" + name, content, 0o644})
	}
	if p.os == "windows" {
		return r.zip(filepath.Join(r.Out, dir+".zip"), entries)
	}
	return r.tarGzip(filepath.Join(r.Out, dir+".tar.gz"), entries)
}

// providerName is what the mirror of the control plane looks for
// (controlplane/mirror), and Terraform in a filesystem mirror.
func (r *Release) providerName(p platform) string {
	return fmt.Sprintf("%s_%s_%s.zip", provider, r.Version, p)
}

func (r *Release) providerArchive(p platform) error {
	path := r.program(provider, p)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name := provider + "_v" + r.Version + filepath.Ext(path)
	if filepath.Ext(path) != ".exe" {
		name = provider + "_v" + r.Version
	}
	return r.zip(filepath.Join(r.Out, r.providerName(p)), []entry{{name, content, 0o755}})
}

func sorted(entries []entry) []entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return strings.Compare(a.name, b.name) })
}

// tarOf writes entries in the order of their names, all of nobody and of one time.
func tarOf(w io.Writer, date time.Time, entries []entry) error {
	t := tar.NewWriter(w)
	for _, e := range sorted(entries) {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: date, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(e.content); err != nil {
			return err
		}
	}
	return t.Close()
}

func (r *Release) tarGzip(path string, entries []entry) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, r.level())
	if err != nil {
		return err
	}
	if err := tarOf(z, r.Date, entries); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

func (r *Release) zip(path string, entries []entry) error {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, r.level()) })
	for _, e := range sorted(entries) {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: r.Date}
		h.SetMode(os.FileMode(e.mode))
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := w.Write(e.content); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

// level of compression: tests are in a hurry.
func (r *Release) level() int {
	if r.Short {
		return flate.BestSpeed
	}
	return flate.BestCompression
}
