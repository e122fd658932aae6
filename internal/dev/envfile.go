package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeEnvFile writes KEY=value lines that a shell can source. It appears
// whole or not at all, and is readable by its owner only: it holds the token.
func writeEnvFile(path string, vars [][2]string) error {
	var b strings.Builder
	for _, v := range vars {
		value := v[1]
		if strings.ContainsAny(value, " \t'\"$`\\&;|<>()*?[]#~!") {
			value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		}
		fmt.Fprintf(&b, "%s=%s\n", v[0], value)
	}
	return writeAtomically(path, []byte(b.String()))
}

// writeAtomically replaces path with synced contents, mode 0600.
func writeAtomically(path string, contents []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(contents)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
