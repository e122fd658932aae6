package login

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/domicile-io/domicile/controlplane/login/logintest"
)

// evil is an issuer of logintest with a verifier that believes it, whose clock it
// sets.
type evil struct {
	*logintest.Issuer
	v     *Verifier
	clock atomic.Pointer[time.Time] // as Now; the verifier's background reads it too
}

// pass lets time pass.
func (e *evil) pass(d time.Duration) {
	e.Now = e.Now.Add(d)
	now := e.Now
	e.clock.Store(&now)
}

func newEvil(t *testing.T) *evil {
	t.Helper()
	e := &evil{Issuer: logintest.New(t)}
	e.pass(0)
	var err error
	if e.v, err = New(Options{Issuers: []Issuer{{URL: e.URL, ClientID: logintest.Client, Audience: logintest.Audience, CA: e.Roots()}},
		PrincipalKey: make([]byte, 32), Now: func() time.Time { return *e.clock.Load() }}); err != nil {
		t.Fatal(err)
	}
	return e
}

// The same tokens are tried over gRPC and REST of a voter:
// TestINV12_TokenAttacksOverTheWire.
func TestTokenAttacks(t *testing.T) {
	e := newEvil(t)
	whole := e.Token(nil)
	for name, token := range e.Attacks() {
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
	if n := e.Asked.Load(); n > fetchAtOnce+1 {
		t.Errorf("the issuer was asked %d times by tokens of nobody", n)
	}
}

// What is nested costs its square, before anybody is believed.
func TestNestedTokensAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		open, shut string
		depth      int
		taken      bool
	}{
		"objects": {`{"a":`, `}`, maxNested, true}, "too many objects": {`{"a":`, `}`, maxNested + 1, false}, "a thousand objects": {`{"a":`, `}`, 1000, false},
		"lists": {`[`, `]`, maxNested, true}, "too many lists": {`[`, `]`, maxNested + 1, false},
	} {
		raw := `{"x":` + strings.Repeat(c.open, c.depth-1) + `1` + strings.Repeat(c.shut, c.depth-1) + `}`
		var into map[string]any
		if _, err := strict(base64.RawURLEncoding.EncodeToString([]byte(raw)), &into); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpiredTokenIsNotServedFromMemory(t *testing.T) {
	e := newEvil(t)
	token := e.Token(nil)
	if _, err := e.v.Verify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	e.pass(time.Hour - time.Second)
	if _, known := e.v.Known(token); !known {
		t.Error("a good token was forgotten")
	}
	e.pass(time.Second)
	if _, known := e.v.Known(token); known {
		t.Error("an expired token is known")
	}
}

func TestIssuerThatIsAway(t *testing.T) {
	e := newEvil(t)
	first := e.Token(nil)
	if _, err := e.v.Verify(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	e.Down.Store(true)
	e.pass(30 * time.Minute)
	if _, known := e.v.Known(first); !known {
		t.Error("a checked token ended with the issuer")
	}
	if _, err := e.v.Verify(context.Background(), e.Token(logintest.Set("sub", "bob"))); err != nil {
		t.Errorf("a new token under a known key: %v", err)
	}
	raw, _ := json.Marshal(e.Claims(nil))
	if _, err := e.v.Verify(context.Background(), e.Sign(map[string]any{"kid": "k2"}, string(raw))); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a token under an unknown key: %v", err)
	}
	e.pass(keysLast)
	if _, err := e.v.Verify(context.Background(), e.Token(nil)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("keys of more than a day are believed: %v", err)
	}
}

func TestWithdrawnAndUnfitKeys(t *testing.T) {
	e := newEvil(t)
	token := e.Token(nil)
	if _, err := e.v.Verify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e.Publish(jose.JSONWebKey{Key: curve.Public(), KeyID: "k2", Use: "sig"}, jose.JSONWebKey{Key: e.Key.Public(), KeyID: "enc", Use: "enc"},
		jose.JSONWebKey{Key: e.Key.Public(), KeyID: "twice"}, jose.JSONWebKey{Key: curve.Public(), KeyID: "twice"})
	raw, _ := json.Marshal(e.Claims(nil))
	for _, kid := range []string{"enc", "twice", "k2"} {
		if _, err := e.v.Verify(context.Background(), e.Sign(map[string]any{"kid": kid}, string(raw))); err == nil {
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
