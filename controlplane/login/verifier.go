package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/domicile-io/domicile/policy"
)

// Limits.
const (
	MaxToken    = 8 << 10          // bytes of a token
	maxSubject  = 255              // bytes (OpenID Connect Core §2)
	maxLifetime = 24 * time.Hour   // from iat to exp; a longer token would outlive its withdrawal
	leeway      = 60 * time.Second // for nbf and iat, when the issuer's clock is ahead; exp has none
	maxKnown    = 4096             // verified tokens that are remembered
)

// algorithms that a signature may have: asymmetric ones only, so that no public
// key can serve as a secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

var (
	// ErrRefused is in the chain of every error of a token that is not good.
	ErrRefused = errors.New("the token is refused")
	// ErrUnavailable is in the chain when the issuer's keys cannot be read, so that
	// nobody can say whether the token is good.
	ErrUnavailable = errors.New("the issuer's keys cannot be read")
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Issuer is an OpenID issuer whose people may log in.
type Issuer struct {
	URL      string         // https, exactly as the issuer's tokens name it
	ClientID string         // of the command line, a public client
	Audience string         // that access tokens must name
	CA       *x509.CertPool // of its certificate; nil: the system's
}

// Options of a verifier.
type Options struct {
	Issuers      []Issuer
	PrincipalKey []byte           // 32 bytes, shared by the voters, never in the replicated state
	Now          func() time.Time // nil: time.Now
}

// Verifier checks logins. Its methods may be called concurrently.
type Verifier struct {
	key     []byte
	now     func() time.Time
	issuers map[string]*issuer
	known   *lru.Cache[[sha256.Size]byte, remembered]
}

// Login is a person as the control plane knows them.
type Login struct {
	Principal string // PR…: HMAC-SHA256 of issuer and subject, its first 128 bits
	ExpiresAt time.Time
}

// remembered is a token that was found good, under a key of its issuer.
type remembered struct {
	Login
	from *issuer
	key  string // thumbprint
}

// issuer is one issuer and what we know of it.
type issuer struct {
	Issuer
	keys   *keySet
	verify *oidc.IDTokenVerifier
}

// New makes a verifier. It asks no issuer anything yet, so that voters start
// while one is away.
func New(o Options) (*Verifier, error) {
	if len(o.PrincipalKey) != sha256.Size {
		return nil, fmt.Errorf("the principal key has %d bytes, want %d", len(o.PrincipalKey), sha256.Size)
	}
	v := &Verifier{key: o.PrincipalKey, now: o.Now, issuers: map[string]*issuer{}}
	if v.now == nil {
		v.now = time.Now
	}
	var err error
	if v.known, err = lru.New[[sha256.Size]byte, remembered](maxKnown); err != nil {
		return nil, err
	}
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	for _, i := range o.Issuers {
		keys := newKeySet(i, v.now)
		v.issuers[i.URL] = &issuer{Issuer: i, keys: keys,
			verify: oidc.NewVerifier(i.URL, keys, &oidc.Config{ClientID: i.Audience, SupportedSigningAlgs: names, Now: v.now})}
	}
	return v, nil
}

// Shaped reports whether a bearer token has the form of a login's: three parts
// with dots between.
func Shaped(token string) bool { return strings.Count(token, ".") == 2 }

// Known finds a token that was found good before, is not over, and whose key
// the issuer has not taken back.
func (v *Verifier) Known(token string) (Login, bool) {
	sum := sha256.Sum256([]byte(token))
	r, ok := v.known.Get(sum)
	if !ok {
		return Login{}, false
	}
	if !v.now().Before(r.ExpiresAt) || !r.from.keys.has(r.key) {
		v.known.Remove(sum)
		return Login{}, false
	}
	return r.Login, true
}

// Verify checks a token and remembers a good one. The error has [ErrRefused] or
// [ErrUnavailable] in its chain; it never holds anything of the token.
func (v *Verifier) Verify(ctx context.Context, token string) (Login, error) {
	if len(token) > MaxToken {
		return Login{}, refuse("it is longer than %d bytes", MaxToken)
	}
	h, c, err := parse(token)
	if err != nil {
		return Login{}, err
	}
	from, ok := v.issuers[c.Issuer]
	if !ok {
		return Login{}, refuse("its issuer is none of ours")
	}
	signer, err := from.keys.find(ctx, h)
	if err != nil {
		return Login{}, err
	}
	if _, err := from.verify.Verify(withKey(ctx, signer), token); err != nil {
		return Login{}, refuse("signature, issuer, audience or expiry do not hold")
	}
	if err := v.judge(from, c); err != nil {
		return Login{}, err
	}
	l := Login{Principal: v.principal(c.Issuer, c.Subject), ExpiresAt: c.expires()}
	v.known.Add(sha256.Sum256([]byte(token)), remembered{Login: l, from: from, key: signer.thumbprint})
	return l, nil
}

// judge looks at what the library does not, or not as strictly.
func (v *Verifier) judge(from *issuer, c claims) error {
	now := v.now()
	client := c.ClientID
	if client == "" {
		client = c.AuthorizedParty
	}
	switch {
	case c.Expiry == nil || c.IssuedAt == nil:
		return refuse("it lacks exp or iat")
	case !now.Before(c.expires()):
		return refuse("it has expired")
	case c.issued().After(now.Add(leeway)):
		return refuse("it is issued in the future")
	case c.NotBefore != nil && seconds(*c.NotBefore).After(now.Add(leeway)):
		return refuse("it is not valid yet")
	case c.expires().Sub(c.issued()) > maxLifetime:
		return refuse("it lasts longer than %s", maxLifetime)
	case client != from.ClientID:
		return refuse("it was given to another client")
	case c.Subject == "" || len(c.Subject) > maxSubject || strings.ContainsFunc(c.Subject, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return refuse("its subject is missing or malformed")
	}
	return nil
}

// principal makes the id of a person. Issuer and subject hold no NUL, so that
// no two pairs are joined to the same bytes.
func (v *Verifier) principal(issuer, subject string) string {
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(issuer))
	mac.Write([]byte{0})
	mac.Write([]byte(subject))
	return string(policy.KindPrincipal) + hex.EncodeToString(mac.Sum(nil)[:16])
}
