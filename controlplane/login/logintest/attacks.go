package logintest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Attacks are tokens that nobody may take, by name. Each is signed with the
// issuer's real key wherever that is possible, so that what refuses it is the
// check in question and not the signature.
func (e *Issuer) Attacks() map[string]string {
	good, _ := json.Marshal(e.Claims(nil))
	public, _ := x509.MarshalPKIXPublicKey(e.Key.Public())
	hs := func(alg string) string {
		input := b64(`{"alg":"`+alg+`","kid":"k1","typ":"at+jwt"}`) + "." + b64(string(good))
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	jwk, _ := json.Marshal(jose.JSONWebKey{Key: e.Key.Public(), KeyID: "k1"})
	twice := func(name, value string) string {
		return strings.TrimSuffix(string(good), "}") + `,"` + name + `":` + value + `}`
	}
	whole := e.Token(nil)
	parts := strings.Split(whole, ".")
	return map[string]string{
		"alg none":                     b64(`{"alg":"none","kid":"k1"}`) + "." + b64(string(good)) + ".",
		"alg None":                     b64(`{"alg":"None","kid":"k1"}`) + "." + b64(string(good)) + ".",
		"HS256 under the public key":   hs("HS256"),
		"another asymmetric algorithm": e.Sign(map[string]any{"alg": "RS512"}, string(good)),
		"ES256 with an RSA key":        e.Sign(map[string]any{"alg": "ES256"}, string(good)),
		"no kid":                       e.signRaw(`{"alg":"RS256","typ":"at+jwt"}`, string(good)),
		"kid of a path":                e.Sign(map[string]any{"kid": "../../dev/null"}, string(good)),
		"kid of an injection":          e.Sign(map[string]any{"kid": "k1' OR '1'='1"}, string(good)),
		"jku":                          e.Sign(map[string]any{"jku": e.URL + "/keys"}, string(good)),
		"x5u":                          e.Sign(map[string]any{"x5u": e.URL + "/keys"}, string(good)),
		"its own jwk":                  e.Sign(map[string]any{"jwk": json.RawMessage(jwk)}, string(good)),
		"crit":                         e.Sign(map[string]any{"crit": []string{"exp"}}, string(good)),
		"b64 false":                    e.Sign(map[string]any{"b64": false}, string(good)),
		"an ID token's audience":       e.Token(Set("aud", Client)),
		"another audience":             e.Token(Set("aud", "https://other.example")),
		"no audience":                  e.Token(func(c map[string]any) { delete(c, "aud") }),
		"audience that begins alike":   e.Token(Set("aud", Audience+".evil.example")),
		"another issuer":               e.Token(Set("iss", "https://evil.example")),
		"issuer with a slash more":     e.Token(Set("iss", e.URL+"/")),
		"another client":               e.Token(Set("client_id", "somebody-elses")),
		"no client":                    e.Token(func(c map[string]any) { delete(c, "client_id") }),
		"expired":                      e.Token(Set("exp", e.Now.Unix())),
		"no expiry":                    e.Token(func(c map[string]any) { delete(c, "exp") }),
		"expiry of null":               e.Token(Set("exp", nil)),
		"expiry of text":               e.Token(Set("exp", "tomorrow")),
		"a year long":                  e.Token(Set("exp", e.Now.Add(365*24*time.Hour).Unix())),
		"issued in the future":         e.Token(Set("iat", e.Now.Add(time.Hour).Unix())),
		"not valid yet":                e.Token(Set("nbf", e.Now.Add(time.Hour).Unix())),
		"no subject":                   e.Token(func(c map[string]any) { delete(c, "sub") }),
		"subject with NUL":             e.Token(Set("sub", "ann\x00")),
		"subject of 1 KB":              e.Token(Set("sub", strings.Repeat("a", 1024))),
		"a logout token":               e.Sign(map[string]any{"typ": "logout+jwt"}, string(good)),
		"sub twice":                    e.Sign(nil, twice("sub", `"eve"`)),
		"sub twice, spelt otherwise":   e.Sign(nil, twice("SUB", `"eve"`)),
		"aud twice":                    e.Sign(nil, twice("aud", `"x"`)),
		"exp spelt otherwise alone":    e.Sign(nil, strings.Replace(string(good), `"exp"`, `"Exp"`, 1)),
		"alg twice":                    e.signRaw(`{"alg":"none","alg":"RS256","kid":"k1"}`, string(good)),
		"two values":                   e.Sign(nil, string(good)+"{}"),
		"a list":                       e.Sign(nil, "[]"),
		"longer than 8 KiB":            e.Token(Set("pad", strings.Repeat("a", 9<<10))),
		"signature cut":                parts[0] + "." + parts[1] + "." + parts[2][:20],
		"signature of another payload": parts[0] + "." + b64(strings.Replace(string(good), "ann", "eve", 1)) + "." + parts[2],
		"padding":                      parts[0] + "=." + parts[1] + "." + parts[2],
		"five parts":                   whole + ".x.y",
		"empty parts":                  "..",
	}
}
