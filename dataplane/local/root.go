package local

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	rootFile        = "root.key"
	generationsFile = "generations"
)

// loadRoot reads the root key, or makes it when the folder holds no keyring
// yet. It never makes a new root beside old files: that would turn a lost root
// into silent loss of everything sealed under it.
func loadRoot(dir string, random io.Reader) ([32]byte, error) {
	path := filepath.Join(dir, rootFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, generationsFile)); err == nil {
			return [32]byte{}, fmt.Errorf("%s is missing but the keyring is not empty: put the root key back; without it the region's records cannot be opened", rootFile)
		}
		return makeRoot(dir, random)
	}
	if err != nil {
		return [32]byte{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return [32]byte{}, fmt.Errorf("%s may be read by others (mode %04o): chmod 600 it", rootFile, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return [32]byte{}, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != 32 {
		return [32]byte{}, fmt.Errorf("%s must hold 64 hex digits: restore it from its copy", rootFile)
	}
	return [32]byte(raw), nil
}

func makeRoot(dir string, random io.Reader) (key [32]byte, err error) {
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return key, fmt.Errorf("draw the root key: %w", err)
	}
	return key, writeWhole(filepath.Join(dir, rootFile), []byte(hex.EncodeToString(key[:])+"\n"))
}

// writeWhole makes a file appear with all of data or not at all, durably.
func writeWhole(path string, data []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes created and renamed entries of a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
