package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// Lengths of the parts of an API key string, in characters.
const (
	keyIDLen     = 32
	keySecretLen = 64
)

// errKeyString never repeats the string: it may be a secret.
var errKeyString = errors.New("API key must be sk_<region>_<32 hex digits>_<64 hex digits>, lower case (or Z in place of every _)")

// KeyString makes the whole key that a client presents: sk_<region>_<32 hex
// id>_<64 hex secret> (contract §1). It is shown once and never stored. The
// arguments must be well formed; ParseKeyString of the result gives them back.
func KeyString(region RegionID, id KeyID, secret string) string {
	return "sk_" + string(region) + "_" + strings.TrimPrefix(string(id), string(KindKey)) + "_" + secret
}

// ParseKeyString splits a key into its parts; whether it exists, and whether
// the region does, is for others to say. Clients that allow only letters and
// digits write Z for every _. The error never repeats any part of s.
func ParseKeyString(s string) (region RegionID, id KeyID, secret string, err error) {
	if len(s) < 4 || len(s) > 128 || s[:2] != "sk" || (s[2] != '_' && s[2] != 'Z') {
		return "", "", "", errKeyString
	}
	separator := s[2:3]
	name, rest, ok := strings.Cut(s[3:], separator)
	if !ok || !regionPattern.MatchString(name) {
		return "", "", "", errKeyString
	}
	hexID, secret, ok := strings.Cut(rest, separator)
	if !ok || len(hexID) != keyIDLen || len(secret) != keySecretLen || !lowerHex(hexID) || !lowerHex(secret) {
		return "", "", "", errKeyString
	}
	return RegionID(name), KeyID(string(KindKey) + hexID), secret, nil
}

// HashSecret is what is stored of a key: lower-case hex SHA-256 of the 64 hex
// characters of its secret, as text.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
