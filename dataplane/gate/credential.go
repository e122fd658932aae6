package gate

import (
	"fmt"
	"log/slog"

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

// FromHeader reads an Authorization header, Bearer or Basic. Anything else,
// and "", is the zero Credential, which Authenticate refuses.
func FromHeader(authorization string) Credential { return Credential{} }

// Authenticate says who shows c. The order of checks is the contract's (§4):
// prefix of another known region WRONG_REGION (also before the first bundle),
// of an unknown one UNAUTHENTICATED; no bundle yet UNAVAILABLE; unknown, expired
// or wrong key UNAUTHENTICATED; key of a moved tenant WRONG_REGION at the old
// home, CREDENTIAL_SUPERSEDED at the new one. It reads nothing but c, so it can
// run before the body. The host is checked before it, by the listener.
func (g *Gate) Authenticate(c Credential) (Principal, error) { return Principal{}, errNotReady }

var _ = policy.Unauthenticated
