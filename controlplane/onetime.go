package controlplane

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
)

const (
	bootstrapFile = "bootstrap-token" // in data_dir
	bootstrapLife = 24 * time.Hour
	oneTimePrefix = "db_"
)

// oneTime is this voter's file of the one-time token. The token is in no log,
// no argument and no environment: whoever may read the file may use it.
type oneTime struct {
	path       string
	generation uint64 // that the configuration asks for
	drawn      string // hex SHA-256 of the last token that this process drew or found
}

// draw makes a token and its file. A file that a crash left behind before its
// hash was in the state is used again.
func (o *oneTime) draw(generation uint64, now time.Time) (store.Bootstrap, error) {
	token, err := o.read()
	if errors.Is(err, fs.ErrNotExist) {
		var raw [32]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return store.Bootstrap{}, fmt.Errorf("draw the bootstrap token: %w", err)
		}
		token = oneTimePrefix + hex.EncodeToString(raw[:])
		err = o.write(token)
	}
	if err != nil {
		return store.Bootstrap{}, fmt.Errorf("bootstrap token: %w", err)
	}
	o.drawn = hashOf(token)
	return store.Bootstrap{SHA256: o.drawn, Generation: generation, ExpiresAt: now.Add(bootstrapLife)}, nil
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// read gives the token in the file; a file that others may read is refused.
func (o *oneTime) read() (string, error) {
	info, err := os.Lstat(o.path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
		return "", fmt.Errorf("%s has mode %v, want a file of mode 0600: remove it", o.path, info.Mode())
	}
	raw, err := os.ReadFile(o.path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if len(token) != len(oneTimePrefix)+64 || !strings.HasPrefix(token, oneTimePrefix) {
		return "", fmt.Errorf("%s is damaged: remove it", o.path)
	}
	return token, nil
}

// write makes the file, whole and synced, where none is: under another name
// first, so that a crash leaves no half of a token.
func (o *oneTime) write(token string) (err error) {
	next := o.path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(next, o.path) // unlike a rename, it replaces nothing
	}
	return errors.Join(err, os.Remove(next), o.sync())
}

// keepOnly removes the file when its token is not the one of the given hash.
func (o *oneTime) keepOnly(sha256Hex string) error {
	token, err := o.read()
	if err == nil && hashOf(token) == sha256Hex || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return o.remove()
}

// remove removes the file, if there is one.
func (o *oneTime) remove() error {
	err := os.Remove(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, o.sync())
}

func (o *oneTime) sync() error {
	dir, err := os.Open(filepath.Dir(o.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
