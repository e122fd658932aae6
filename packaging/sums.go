package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sums is the file that is signed and compared: `sha256sum --check SHA256SUMS`.
const sums = "SHA256SUMS"

func (r *Release) buildSums(context.Context) error {
	var b bytes.Buffer
	err := filepath.WalkDir(r.Out, func(path string, d fs.DirEntry, err error) error { // in lexical order
		if err != nil || d.IsDir() || d.Name() == sums {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(r.Out, path)
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(content), filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(r.Out, sums), b.Bytes())
}
