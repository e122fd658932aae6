package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/domicile-io/domicile/policy"
)

// certificateFile is what `trust certify` and `trust rotate` write and
// `trust enrol` brings to the control plane. Nothing in it is secret.
type certificateFile struct {
	Cluster string            `json:"cluster"`
	Tenant  policy.TenantID   `json:"tenant"`
	Key     policy.SigningKey `json:"key"`
}

// writeNew writes a file that must not be there yet, and syncs it.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is already there; nothing is overwritten: choose another --out", path)
	}
	if err != nil {
		return fmt.Errorf("write: %w; correct --out", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readSecretKey reads a key file: 64 hex digits, mode 0600 or tighter.
func readSecretKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usagef("the key file cannot be read: %v", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others; `chmod 600 %s`, and make another key if anybody else has an account here", path, path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("the key file cannot be read: %v", err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, usagef("%s is no key file of `domicile trust init`: want %d hex digits", path, 2*ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func keyID(k ed25519.PrivateKey) string { return policy.KeyIDOf(k.Public().(ed25519.PublicKey)) }

func readPublicKey(path string) (ed25519.PublicKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("the public key cannot be read: %v", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, usagef("%s is no public key (.pub) of `domicile trust init`", path)
	}
	return key, nil
}

func (c certificateFile) write(path string) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the certificate: %w", err)
	}
	return writeNew(path, append(raw, '\n'), 0o644)
}

func readCertificate(path string) (c certificateFile, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, usagef("the certificate cannot be read: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || c.Key.Check() != nil {
		return c, usagef("%s is no certificate of `domicile trust certify`", path)
	}
	return c, nil
}

// makeKeyPair writes NAME.key and NAME.pub.
func makeKeyPair(name string) (public string, err error) {
	key, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("draw a key: %w", err)
	}
	public = hex.EncodeToString(key)
	if err := writeNew(name+".key", []byte(hex.EncodeToString(private.Seed())+"\n"), 0o600); err != nil {
		return "", err
	}
	return public, writeNew(name+".pub", []byte(public+"\n"), 0o644)
}
