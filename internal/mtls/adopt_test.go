package mtls

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// An authority that was alone in its folder becomes the first of a PKI, at
// whatever moment the process ended before; what it signed is still trusted.
func TestAnAuthorityIsTakenOver(t *testing.T) {
	for what, undo := range map[string][]string{ // files that were not written yet, as if the process had died there
		"at once":                     nil,
		"before the step was written": {pkiFile},
		"before its key was copied":   {pkiFile, "authority-1.key"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			old, err := OpenAuthority(dir)
			check(t, err)
			check(t, KeepPKI(dir, cluster))
			check(t, writeKey(filepath.Join(dir, authorityKey), old.key)) // it is removed last
			for _, name := range undo {
				check(t, os.Remove(filepath.Join(dir, name)))
			}
			check(t, KeepPKI(dir, cluster))
			if _, err := os.Lstat(filepath.Join(dir, authorityKey)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its key is there twice: %v", err)
			}
			again, err := OpenAuthority(dir)
			check(t, err)
			if !again.cert.Equal(old.cert) {
				t.Error("another authority signs")
			}
			if err := KeepPKI(dir, "CL000000000000000000000000000000bb"); err == nil {
				t.Error("another cluster takes the folder over")
			}
		})
	}
}
