package login

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"
)

// How an issuer's keys are read.
const (
	keysFresh    = 10 * time.Minute // after that they are read again, while the old ones go on
	keysLast     = 24 * time.Hour   // after that they are not believed any more
	fetchEvery   = 5 * time.Second
	fetchAtOnce  = 4
	fetchTimeout = 5 * time.Second
	maxDocument  = 256 << 10 // bytes of a discovery document or a key set
	maxKeys      = 64
	minRSA       = 2048 // bits
)

// signingKey is one key of an issuer.
type signingKey struct {
	jose.JSONWebKey
	thumbprint string
}

// keySet is what is known of an issuer's keys.
type keySet struct {
	issuer Issuer
	http   *http.Client
	now    func() time.Time
	limit  *rate.Limiter // of fetches

	fetching   sync.Mutex // held by the one who fetches
	refreshing atomic.Bool
	current    atomic.Pointer[fetched]
}

// fetched is one reading; immutable.
type fetched struct {
	at     time.Time
	byID   map[string]signingKey
	prints map[string]bool
}

func newKeySet(i Issuer, now func() time.Time) *keySet {
	return &keySet{issuer: i, now: now, limit: rate.NewLimiter(rate.Every(fetchEvery), fetchAtOnce),
		http: &http.Client{Timeout: fetchTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: bounded{&http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: fetchTimeout, IdleConnTimeout: 30 * time.Second,
				TLSClientConfig: &tls.Config{RootCAs: i.CA, MinVersion: tls.VersionTLS12}}}}}
}

// bounded cuts answers that are too long.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxDocument), resp.Body}
	}
	return resp, err
}

// has reports whether a key is still one of the issuer's.
func (k *keySet) has(thumbprint string) bool {
	now := k.current.Load()
	if now == nil || k.now().Sub(now.at) >= keysLast {
		return false
	}
	k.refreshLater(now)
	return now.prints[thumbprint]
}

// find gives the key that a header names, if it may sign so.
func (k *keySet) find(ctx context.Context, h header) (signingKey, error) {
	now := k.current.Load()
	if now != nil && k.now().Sub(now.at) < keysLast {
		if key, ok := now.byID[h.KeyID]; ok {
			k.refreshLater(now)
			return key, key.fits(h)
		}
	}
	next, err := k.fetch(ctx, now)
	if err != nil {
		return signingKey{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	key, ok := next.byID[h.KeyID]
	if !ok {
		return signingKey{}, refuse("its issuer has no such key")
	}
	return key, key.fits(h)
}

// fits: the key is of the kind that the algorithm demands, and for signatures.
func (s signingKey) fits(h header) error {
	if s.Algorithm != "" && s.Algorithm != h.Algorithm {
		return refuse("its key is for another algorithm")
	}
	ok := false
	switch key := s.Key.(type) {
	case *rsa.PublicKey:
		ok = (h.Algorithm == string(jose.RS256) || h.Algorithm == string(jose.PS256)) && key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		ok = h.Algorithm == string(jose.ES256) && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		ok = h.Algorithm == string(jose.EdDSA)
	}
	if !ok {
		return refuse("its key is of another kind than its algorithm")
	}
	return nil
}

// refreshLater reads the keys again in the background when they are not fresh.
func (k *keySet) refreshLater(seen *fetched) {
	if k.now().Sub(seen.at) < keysFresh || !k.refreshing.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer k.refreshing.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		_, _ = k.fetch(ctx, seen) // the keys that are known go on
	}()
}

// fetch reads the keys, unless somebody else did since seen was read.
func (k *keySet) fetch(ctx context.Context, seen *fetched) (*fetched, error) {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if now := k.current.Load(); now != seen {
		return now, nil
	}
	if !k.limit.Allow() {
		return nil, errors.New("they were asked for a moment ago")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	next, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	k.current.Store(next)
	return next, nil
}

// read asks the issuer where its keys are, and for them.
func (k *keySet) read(ctx context.Context) (*fetched, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.http), k.issuer.URL)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer: %w", err)
	}
	var doc struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&doc); err != nil || !strings.HasPrefix(doc.JWKS, "https://") {
		return nil, errors.New("the issuer names no https place of its keys")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, doc.JWKS, nil)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the issuer's keys: status %d: %w", resp.StatusCode, err)
	}
	return k.parse(body)
}

// parse reads a key set. Keys that cannot sign for us are passed over, as are
// two of one id: nobody could say which is meant.
func (k *keySet) parse(body []byte) (*fetched, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the issuer's key set is no JSON of at most %d keys", maxKeys)
	}
	out := &fetched{at: k.now(), byID: map[string]signingKey{}, prints: map[string]bool{}}
	twice := map[string]bool{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || !key.IsPublic() || !key.Valid() || key.KeyID == "" || (key.Use != "" && key.Use != "sig") {
			continue
		}
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		if _, have := out.byID[key.KeyID]; have || twice[key.KeyID] {
			delete(out.byID, key.KeyID)
			twice[key.KeyID] = true
			continue
		}
		out.byID[key.KeyID] = signingKey{JSONWebKey: key, thumbprint: base64.RawURLEncoding.EncodeToString(sum)}
	}
	for _, key := range out.byID {
		out.prints[key.thumbprint] = true
	}
	return out, nil
}

type signerKey struct{}

// withKey hands the key that was found to VerifySignature.
func withKey(ctx context.Context, s signingKey) context.Context {
	return context.WithValue(ctx, signerKey{}, s)
}

// VerifySignature implements oidc.KeySet: with the one key that was found, and
// no other.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	key, ok := ctx.Value(signerKey{}).(signingKey)
	if !ok {
		return nil, errors.New("no key was chosen")
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	return jws.Verify(key.JSONWebKey)
}
