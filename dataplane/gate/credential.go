package gate

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/domicile-io/domicile/policy"
)

// Credential is what a request showed. It prints as [redacted].
type Credential struct {
	User string // of HTTP Basic; "" for a bearer token
	Key  string // sk_<region>_<32 hex>_<64 hex>, or the same with Z for _
}

// Format implements fmt.Formatter: a credential never reaches a log.
func (Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue implements slog.LogValuer.
func (Credential) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// maxHeader bounds the Authorization header that is looked at; a key is 103 characters.
const maxHeader = 512

// FromHeader reads an Authorization header, Bearer or Basic (RFC 6750, RFC
// 7617). Anything else, and "", is the zero Credential, which Authenticate refuses.
func FromHeader(authorization string) Credential {
	scheme, rest, ok := strings.Cut(authorization, " ")
	rest = strings.TrimSpace(rest)
	if !ok || len(authorization) > maxHeader {
		return Credential{}
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return Credential{Key: rest}
	case strings.EqualFold(scheme, "Basic"):
		raw, err := base64.StdEncoding.DecodeString(rest)
		user, password, ok := strings.Cut(string(raw), ":")
		if err != nil || !ok || user == "" {
			return Credential{}
		}
		return Credential{User: user, Key: password}
	}
	return Credential{}
}

var keyPattern = regexp.MustCompile(`^sk(_|Z)([a-z]{2}[0-9]{1,2})(_|Z)([0-9a-f]{32})(_|Z)([0-9a-f]{64})$`)

// shown is a credential taken apart. Its secret never leaves this package.
type shown struct {
	region policy.RegionID
	key    policy.KeyID
	secret string // 64 hex characters
}

// parse takes a key apart; false when it has not the form of one.
func (c Credential) parse() (shown, bool) {
	m := keyPattern.FindStringSubmatch(c.Key)
	if m == nil || m[1] != m[3] || m[1] != m[5] {
		return shown{}, false
	}
	return shown{region: policy.RegionID(m[2]), key: policy.KeyID("SK" + m[4]), secret: m[6]}, true
}

// KeyID is the key that a credential names, whether or not there is such a key
// here; "" when it has not the form of one.
func (c Credential) KeyID() policy.KeyID {
	s, _ := c.parse()
	return s.key
}
