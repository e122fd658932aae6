package mtls

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// KeepPKI sees that dir holds a cluster's authorities, as `domicile pki` keeps
// them: it makes the first one, or takes over the one that [OpenAuthority] made
// there before. What is there already stays. It may be repeated after a crash.
func KeepPKI(dir, cluster string) error {
	old := filepath.Join(dir, authorityKey)
	if _, err := os.Lstat(filepath.Join(dir, pkiFile)); !errors.Is(err, fs.ErrNotExist) {
		p, err := OpenPKI(dir)
		if err != nil {
			return err
		}
		if p.Cluster() != cluster {
			return fmt.Errorf("%s is of cluster %s, not of %s; choose another folder", dir, p.Cluster(), cluster)
		}
		return forget(old)
	}
	if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
		_, err := InitPKI(dir, cluster)
		return err
	}
	p := &PKI{dir: dir, state: pkiState{Cluster: cluster, Active: 1}}
	a, err := loadAuthority(p.Bundle(), old)
	if err != nil {
		return err
	}
	if err := errors.Join(replace(p.certPath(1), a.bundle, 0o644), writeKey(p.keyPath(1), a.key)); err != nil {
		return err
	}
	if err := p.save(); err != nil {
		return err
	}
	return forget(old)
}

// forget takes the key away that another file now holds.
func forget(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the key that was taken over: %w", err)
	}
	return nil
}
