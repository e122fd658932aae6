package login

import (
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// FuzzParse: a token that passes names a key shortly, an algorithm of ours and
// none of what would let it choose its own key. Nothing is believed here.
func FuzzParse(f *testing.F) {
	part := base64.RawURLEncoding.EncodeToString
	for _, head := range []string{`{"alg":"ES256","kid":"a","typ":"at+jwt"}`, `{"alg":"none","kid":"a","typ":"at+jwt"}`, `{"alg":"ES256","kid":"a","typ":"at+jwt","jku":"x"}`, `{"ALG":"ES256"}`} {
		for _, body := range []string{`{"iss":"i","sub":"s","aud":"a","exp":2,"iat":1}`, `{"iss":"i","iss":"j"}`, `{"exp":1e999}`, `[]`} {
			f.Add(part([]byte(head)) + "." + part([]byte(body)) + ".AA")
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		h, c, err := parse(token)
		if err != nil {
			return
		}
		if h.KeyID == "" || len(h.KeyID) > 128 || !slices.Contains(algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
			t.Fatalf("%q passed: %+v", token, h)
		}
		if c.Expiry != nil && c.expires().Before(time.Unix(0, 0)) {
			t.Fatalf("a time before all: %v", c.expires())
		}
	})
}

// FuzzKeySet: whatever an issuer serves, only valid public keys with ids are used.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","kid":"a","k":"AAAA"},{"kty":"RSA","kid":"b","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		k := &keySet{now: func() time.Time { return time.Unix(1, 0) }}
		got, err := k.parse(body)
		if err != nil {
			return
		}
		for id, key := range got.byID {
			if id == "" || !key.IsPublic() || !key.Valid() {
				t.Fatalf("key %q of %s is used", id, body)
			}
		}
	})
}
