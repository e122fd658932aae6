// Package logintest is an issuer that signs whatever a test asks for, which no
// real one would, and a list of tokens that nobody may take. It is for tests only.
package logintest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What good tokens of an Issuer are for.
const (
	Audience = "https://control.example"
	Client   = "domicile-cli"
)

// Issuer serves its key set and discovery over real TLS.
type Issuer struct {
	*httptest.Server
	Key   *rsa.PrivateKey // named "k1"
	Asked atomic.Int64    // how often for its keys
	Down  atomic.Bool
	Now   time.Time // of the tokens that it makes
	keys  atomic.Pointer[jose.JSONWebKeySet]
}

// New starts an issuer that ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	e := &Issuer{Now: time.Now().Truncate(time.Second)}
	var err error
	if e.Key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	e.Publish(jose.JSONWebKey{Key: e.Key.Public(), KeyID: "k1", Use: "sig"})
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e.Down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": e.URL, "jwks_uri": e.URL + "/keys", "authorization_endpoint": e.URL, "token_endpoint": e.URL})
			return
		}
		e.Asked.Add(1)
		_ = json.NewEncoder(w).Encode(e.keys.Load())
	}))
	t.Cleanup(e.Close)
	return e
}

// Roots trust the issuer's own certificate.
func (e *Issuer) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(e.Certificate())
	return pool
}

// Publish replaces the key set.
func (e *Issuer) Publish(keys ...jose.JSONWebKey) { e.keys.Store(&jose.JSONWebKeySet{Keys: keys}) }

// Claims are those of a good token, edited; edit may be nil.
func (e *Issuer) Claims(edit func(map[string]any)) map[string]any {
	c := map[string]any{"iss": e.URL, "sub": "ann", "aud": Audience, "client_id": Client, "iat": e.Now.Unix(), "exp": e.Now.Add(time.Hour).Unix()}
	if edit != nil {
		edit(c)
	}
	return c
}

// Sign makes a token with the issuer's own key; header adds to or replaces names.
func (e *Issuer) Sign(header map[string]any, payload string) string {
	h := map[string]any{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
	maps.Copy(h, header)
	raw, _ := json.Marshal(h)
	return e.signRaw(string(raw), payload)
}

func (e *Issuer) signRaw(header, payload string) string {
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, e.Key, 5, sum[:]) // 5: crypto.SHA256
	if err != nil {
		panic(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// Token is a good token, but for what edit changes.
func (e *Issuer) Token(edit func(map[string]any)) string {
	raw, _ := json.Marshal(e.Claims(edit))
	return e.Sign(nil, string(raw))
}

// Set replaces one claim.
func Set(name string, value any) func(map[string]any) {
	return func(c map[string]any) { c[name] = value }
}
