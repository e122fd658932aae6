package provider

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/policy"
)

// secret is a key of which only id and hash are passed on. It prints as nothing.
type secret struct{ KeyID, SHA256 string }

// String hides what could be compared with a guess.
func (s secret) String() string { return "[redacted]" }

// Format hides it from every verb.
func (s secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// secret takes the key that was given, or draws one into the file that was named.
// No message repeats any of it.
func (m apiKeyModel) secret(given string) (secret, error) {
	if given == "" {
		file := m.KeyFile.ValueString()
		if file == "" {
			return secret{}, errors.New("give secret_wo, from an ephemeral domicile_api_key_secret, or key_file")
		}
		var err error
		if given, err = keyInFile(file, m.Region.ValueString()); err != nil {
			return secret{}, err
		}
	}
	region, id, hex, err := policy.ParseKeyString(given)
	if err != nil {
		return secret{}, errors.New("the secret is not a whole key, sk_<region>_<id>_<secret>")
	}
	if string(region) != m.Region.ValueString() {
		return secret{}, fmt.Errorf("the secret is that of a key for %s, and the key is for %s", region, m.Region.ValueString())
	}
	return secret{KeyID: string(id), SHA256: policy.HashSecret(hex)}, nil
}

// keyInFile draws a key into a new file, or reads the one that an interrupted run
// has drawn. The file is synced before the control plane hears of the key.
func keyInFile(file, region string) (string, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return readSecret(file)
	}
	if err != nil {
		return "", fmt.Errorf("make the key's file: %w", err)
	}
	s, err := client.NewSecret(region, rand.Reader)
	if err == nil {
		_, err = io.WriteString(f, s.Key+"\n")
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write the key's file: %w", err), os.Remove(file))
	}
	return strings.TrimSpace(s.Key), nil
}
