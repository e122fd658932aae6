package login

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	audience = "https://control.example"
	client   = "domicile-cli"
)

// evil is an issuer that signs whatever a test asks for: what a real one never
// would. Its key set and discovery are served over real TLS.
type evil struct {
	*httptest.Server
	key   *rsa.PrivateKey
	keys  atomic.Pointer[jose.JSONWebKeySet]
	asked atomic.Int64
	down  atomic.Bool
	now   time.Time
	v     *Verifier
}

func newEvil(t *testing.T) *evil {
	t.Helper()
	e := &evil{now: time.Now().Truncate(time.Second)}
	var err error
	if e.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	e.publish(jose.JSONWebKey{Key: e.key.Public(), KeyID: "k1", Use: "sig"})
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": e.URL, "jwks_uri": e.URL + "/keys", "authorization_endpoint": e.URL, "token_endpoint": e.URL})
			return
		}
		e.asked.Add(1)
		_ = json.NewEncoder(w).Encode(e.keys.Load())
	}))
	t.Cleanup(e.Close)
	pool := x509.NewCertPool()
	pool.AddCert(e.Certificate())
	if e.v, err = New(Options{Issuers: []Issuer{{URL: e.URL, ClientID: client, Audience: audience, CA: pool}},
		PrincipalKey: make([]byte, 32), Now: func() time.Time { return e.now }}); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *evil) publish(keys ...jose.JSONWebKey) { e.keys.Store(&jose.JSONWebKeySet{Keys: keys}) }

func (e *evil) claims(edit func(map[string]any)) map[string]any {
	c := map[string]any{"iss": e.URL, "sub": "ann", "aud": audience, "client_id": client, "iat": e.now.Unix(), "exp": e.now.Add(time.Hour).Unix()}
	if edit != nil {
		edit(c)
	}
	return c
}

// sign makes a token with the issuer's own key; header adds to or replaces names.
func (e *evil) sign(header map[string]any, payload string) string {
	h := map[string]any{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
	maps.Copy(h, header)
	raw, _ := json.Marshal(h)
	return e.signRaw(string(raw), payload)
}

func (e *evil) signRaw(header, payload string) string {
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, e.key, 5, sum[:]) // 5: crypto.SHA256
	if err != nil {
		panic(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func (e *evil) token(edit func(map[string]any)) string {
	raw, _ := json.Marshal(e.claims(edit))
	return e.sign(nil, string(raw))
}

func set(name string, value any) func(map[string]any) {
	return func(c map[string]any) { c[name] = value }
}

// TestTokenAttacks signs each bad token with the issuer's real key wherever that
// is possible, so that what refuses it is the check in question and not the
// signature.
func TestTokenAttacks(t *testing.T) {
	e := newEvil(t)
	good, _ := json.Marshal(e.claims(nil))
	public, _ := x509.MarshalPKIXPublicKey(e.key.Public())
	hs := func(alg string) string {
		input := b64(`{"alg":"`+alg+`","kid":"k1","typ":"at+jwt"}`) + "." + b64(string(good))
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	jwk, _ := json.Marshal(jose.JSONWebKey{Key: e.key.Public(), KeyID: "k1"})
	twice := func(name, value string) string {
		return strings.TrimSuffix(string(good), "}") + `,"` + name + `":` + value + `}`
	}
	whole := e.token(nil)
	parts := strings.Split(whole, ".")
	cases := map[string]string{
		"alg none":                     b64(`{"alg":"none","kid":"k1"}`) + "." + b64(string(good)) + ".",
		"alg None":                     b64(`{"alg":"None","kid":"k1"}`) + "." + b64(string(good)) + ".",
		"HS256 under the public key":   hs("HS256"),
		"another asymmetric algorithm": e.sign(map[string]any{"alg": "RS512"}, string(good)),
		"ES256 with an RSA key":        e.sign(map[string]any{"alg": "ES256"}, string(good)),
		"no kid":                       e.signRaw(`{"alg":"RS256","typ":"at+jwt"}`, string(good)),
		"kid of a path":                e.sign(map[string]any{"kid": "../../dev/null"}, string(good)),
		"kid of an injection":          e.sign(map[string]any{"kid": "k1' OR '1'='1"}, string(good)),
		"jku":                          e.sign(map[string]any{"jku": e.URL + "/keys"}, string(good)),
		"x5u":                          e.sign(map[string]any{"x5u": e.URL + "/keys"}, string(good)),
		"its own jwk":                  e.sign(map[string]any{"jwk": json.RawMessage(jwk)}, string(good)),
		"crit":                         e.sign(map[string]any{"crit": []string{"exp"}}, string(good)),
		"b64 false":                    e.sign(map[string]any{"b64": false}, string(good)),
		"an ID token's audience":       e.token(set("aud", client)),
		"another audience":             e.token(set("aud", "https://other.example")),
		"no audience":                  e.token(func(c map[string]any) { delete(c, "aud") }),
		"audience that begins alike":   e.token(set("aud", audience+".evil.example")),
		"another issuer":               e.token(set("iss", "https://evil.example")),
		"issuer with a slash more":     e.token(set("iss", e.URL+"/")),
		"another client":               e.token(set("client_id", "somebody-elses")),
		"no client":                    e.token(func(c map[string]any) { delete(c, "client_id") }),
		"expired":                      e.token(set("exp", e.now.Unix())),
		"no expiry":                    e.token(func(c map[string]any) { delete(c, "exp") }),
		"expiry of null":               e.token(set("exp", nil)),
		"expiry of text":               e.token(set("exp", "tomorrow")),
		"a year long":                  e.token(set("exp", e.now.Add(365*24*time.Hour).Unix())),
		"issued in the future":         e.token(set("iat", e.now.Add(2*time.Minute).Unix())),
		"not valid yet":                e.token(set("nbf", e.now.Add(2*time.Minute).Unix())),
		"no subject":                   e.token(func(c map[string]any) { delete(c, "sub") }),
		"subject with NUL":             e.token(set("sub", "ann\x00")),
		"subject of 1 KB":              e.token(set("sub", strings.Repeat("a", 1024))),
		"a logout token":               e.sign(map[string]any{"typ": "logout+jwt"}, string(good)),
		"sub twice":                    e.sign(nil, twice("sub", `"eve"`)),
		"sub twice, spelt otherwise":   e.sign(nil, twice("SUB", `"eve"`)),
		"aud twice":                    e.sign(nil, twice("aud", `"x"`)),
		"exp spelt otherwise alone":    e.sign(nil, strings.Replace(string(good), `"exp"`, `"Exp"`, 1)),
		"alg twice":                    e.signRaw(`{"alg":"none","alg":"RS256","kid":"k1"}`, string(good)),
		"two values":                   e.sign(nil, string(good)+"{}"),
		"a list":                       e.sign(nil, "[]"),
		"longer than 8 KiB":            e.token(set("pad", strings.Repeat("a", 9<<10))),
		"signature cut":                parts[0] + "." + parts[1] + "." + parts[2][:20],
		"signature of another payload": parts[0] + "." + b64(strings.Replace(string(good), "ann", "eve", 1)) + "." + parts[2],
		"padding":                      parts[0] + "=." + parts[1] + "." + parts[2],
		"five parts":                   whole + ".x.y",
		"empty parts":                  "..",
	}
	for name, token := range cases {
		l, err := e.v.Verify(context.Background(), token)
		if err == nil {
			t.Errorf("%s: taken as %s", name, l.Principal)
		} else if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if _, known := e.v.Known(token); known {
			t.Errorf("%s: remembered", name)
		}
		if err != nil && (strings.Contains(err.Error(), "ann") || strings.Contains(err.Error(), "eve")) {
			t.Errorf("%s: the error names a person: %v", name, err)
		}
	}
	if _, err := e.v.Verify(context.Background(), whole); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	if n := e.asked.Load(); n > fetchAtOnce+1 {
		t.Errorf("the issuer was asked %d times by tokens of nobody", n)
	}
}

func TestExpiredTokenIsNotServedFromMemory(t *testing.T) {
	e := newEvil(t)
	token := e.token(nil)
	if _, err := e.v.Verify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	e.now = e.now.Add(time.Hour - time.Second)
	if _, known := e.v.Known(token); !known {
		t.Error("a good token was forgotten")
	}
	e.now = e.now.Add(time.Second)
	if _, known := e.v.Known(token); known {
		t.Error("an expired token is known")
	}
}

func TestIssuerThatIsAway(t *testing.T) {
	e := newEvil(t)
	first := e.token(nil)
	if _, err := e.v.Verify(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	e.down.Store(true)
	e.now = e.now.Add(30 * time.Minute)
	if _, known := e.v.Known(first); !known {
		t.Error("a checked token ended with the issuer")
	}
	if _, err := e.v.Verify(context.Background(), e.token(set("sub", "bob"))); err != nil {
		t.Errorf("a new token under a known key: %v", err)
	}
	raw, _ := json.Marshal(e.claims(nil))
	if _, err := e.v.Verify(context.Background(), e.sign(map[string]any{"kid": "k2"}, string(raw))); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a token under an unknown key: %v", err)
	}
	e.now = e.now.Add(keysLast)
	if _, err := e.v.Verify(context.Background(), e.token(nil)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("keys of more than a day are believed: %v", err)
	}
}

func TestWithdrawnAndUnfitKeys(t *testing.T) {
	e := newEvil(t)
	token := e.token(nil)
	if _, err := e.v.Verify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e.publish(jose.JSONWebKey{Key: curve.Public(), KeyID: "k2", Use: "sig"}, jose.JSONWebKey{Key: e.key.Public(), KeyID: "enc", Use: "enc"},
		jose.JSONWebKey{Key: e.key.Public(), KeyID: "twice"}, jose.JSONWebKey{Key: curve.Public(), KeyID: "twice"})
	raw, _ := json.Marshal(e.claims(nil))
	for _, kid := range []string{"enc", "twice", "k2"} {
		if _, err := e.v.Verify(context.Background(), e.sign(map[string]any{"kid": kid}, string(raw))); err == nil {
			t.Errorf("a token under key %s was taken", kid)
		}
	}
	if _, known := e.v.Known(token); known {
		t.Error("a token of a withdrawn key is known")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: curve, KeyID: "k2"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.v.Verify(context.Background(), whole); err != nil {
		t.Errorf("a good ES256 token: %v", err)
	}
}

func TestPrincipalsSayNothingAndDiffer(t *testing.T) {
	e := newEvil(t)
	seen := map[string]string{}
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"a", "b"}} {
		id := e.v.principal(pair[0], pair[1])
		if was, twice := seen[id]; twice {
			t.Errorf("%v and %s are one principal", pair, was)
		}
		seen[id] = fmt.Sprint(pair)
	}
	other, err := New(Options{PrincipalKey: []byte(strings.Repeat("k", 32))})
	if err != nil {
		t.Fatal(err)
	}
	if other.principal("a", "b") == e.v.principal("a", "b") {
		t.Error("the principal does not depend on the key")
	}
}
