package layout

import (
	"crypto/ed25519"
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

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/policy"
)

// reissueBefore is how long a certificate must still be good to be kept.
const reissueBefore = 30 * 24 * time.Hour

// secrets are what an operator would keep offline; here they are files of mode 0600.
type secrets struct {
	token             string
	rootPublic        ed25519.PublicKey
	bundleKey         string // file
	bundleCertificate string // file
}

func openSecrets(dir, cluster string) (*secrets, error) {
	root, err := seed(filepath.Join(dir, "operator-root.key"))
	if err != nil {
		return nil, err
	}
	key, err := seed(filepath.Join(dir, "bundle.key"))
	if err != nil {
		return nil, err
	}
	token, err := seed(filepath.Join(dir, "operator-token"))
	if err != nil {
		return nil, err
	}
	rootKey := ed25519.NewKeyFromSeed(root)
	s := &secrets{token: hex.EncodeToString(token), rootPublic: rootKey.Public().(ed25519.PublicKey),
		bundleKey: filepath.Join(dir, "bundle.key"), bundleCertificate: filepath.Join(dir, "bundle.cert")}
	public := ed25519.NewKeyFromSeed(key).Public().(ed25519.PublicKey)
	certificate := hex.EncodeToString(bundle.CertifyKey(rootKey, cluster, public))
	return s, writeAtomic(s.bundleCertificate, []byte(certificate+"\n"), 0o644)
}

// seed loads 32 random bytes, hex in a file of mode 0600, or makes them.
func seed(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || len(raw) != ed25519.SeedSize {
			return nil, fmt.Errorf("%s does not hold %d bytes in hex", path, ed25519.SeedSize)
		}
		return raw, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	raw := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("draw a secret: %w", err)
	}
	return raw, writeAtomic(path, []byte(hex.EncodeToString(raw)+"\n"), 0o600)
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func newID(kind policy.IDKind) (string, error) { return policy.NewID(kind, rand.Reader) }

// writeAtomic replaces a file so that a reader sees the old or the new one, whole.
func writeAtomic(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, writeErr := f.Write(content)
	err = errors.Join(writeErr, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
