package client

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/domicile-io/domicile/policy"
)

// Secret is an API key made by its owner: the control plane learns only
// SHA256, so nothing on the way or in its log can use the key.
type Secret struct {
	KeyID  string // SK and 32 hex digits
	SHA256 string // hex, of the secret's 64 hex characters
	Key    string // the whole key; show it once
}

// NewSecret draws a key for a region from 48 bytes of r.
func NewSecret(region string, r io.Reader) (Secret, error) {
	at, err := policy.ParseRegionID(region)
	if err != nil {
		return Secret{}, err
	}
	id, err := policy.NewID(policy.KindKey, r)
	if err != nil {
		return Secret{}, err
	}
	var raw [32]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return Secret{}, fmt.Errorf("draw a secret: %w", err)
	}
	secret := hex.EncodeToString(raw[:])
	return Secret{KeyID: id, SHA256: policy.HashSecret(secret), Key: policy.KeyString(at, policy.KeyID(id), secret)}, nil
}

// String hides the key from logs and messages.
func (s Secret) String() string { return "[redacted]" }

// Format hides the key from every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }
