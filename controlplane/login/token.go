package login

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// header is the part of a token's header that matters. What can name a key or
// change how the token is read is there to be refused.
type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// smuggled are header names under which a token would bring its own key, say
// where one is, or demand that it be read otherwise.
var smuggled = []string{"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc", "cty"}

// types that an access token may have (RFC 9068 §2.1; many issuers say JWT).
var types = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// claims of an access token.
type claims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Expiry          *float64 `json:"exp"` // seconds since 1970
	NotBefore       *float64 `json:"nbf"`
	IssuedAt        *float64 `json:"iat"`
	ClientID        string   `json:"client_id"`
	AuthorizedParty string   `json:"azp"`
}

func (c claims) expires() time.Time { return seconds(*c.Expiry) }
func (c claims) issued() time.Time  { return seconds(*c.IssuedAt) }

// seconds reads a numeric date; one out of all bounds is long past or far ahead.
func seconds(n float64) time.Time {
	const most = 1 << 40
	return time.Unix(int64(max(0, min(n, most))), 0).UTC()
}

// parse reads a token without believing it: it says which issuer and key to ask.
func parse(token string) (h header, c claims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return h, c, refuse("it has not three parts")
	}
	names, err := strict(parts[0], &h)
	if err != nil {
		return h, c, refuse("its header %v", err)
	}
	for _, n := range names {
		if slices.Contains(smuggled, strings.ToLower(n)) {
			return h, c, refuse("its header brings a key or a demand")
		}
	}
	switch {
	case !slices.Contains(algorithms, jose.SignatureAlgorithm(h.Algorithm)):
		return h, c, refuse("its algorithm is not one of ours")
	case !slices.Contains(types, strings.ToLower(h.Type)):
		return h, c, refuse("it is no access token")
	case h.KeyID == "" || len(h.KeyID) > 128:
		return h, c, refuse("it names no key, or not shortly")
	}
	if _, err = strict(parts[1], &c); err != nil {
		return h, c, refuse("its claims %v", err)
	}
	return h, c, nil
}

// strict decodes one part: base64url without padding or stray bits, one JSON
// object, no name twice in any spelling. It gives the names.
func strict(part string, into any) (names []string, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("is no base64url")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if names, err = object(d, 0); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("hold more than one value")
	}
	// The names that we read stand exactly so, or not at all: encoding/json would
	// take ISS for iss.
	var exact map[string]json.RawMessage
	if err := json.Unmarshal(raw, &exact); err != nil {
		return nil, errors.New("are no JSON object")
	}
	for n, value := range exact {
		if n != strings.ToLower(n) && registered(strings.ToLower(n)) {
			return nil, errors.New("spell a name otherwise")
		}
		if string(value) == "null" {
			return nil, errors.New("hold null")
		}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return nil, errors.New("have a value of the wrong type")
	}
	return names, nil
}

func registered(name string) bool {
	return slices.Contains([]string{"iss", "sub", "aud", "exp", "nbf", "iat", "client_id", "azp", "alg", "kid", "typ"}, name)
}

// maxNested is how deep objects and lists may stand in each other: each level is
// read again for the one around it, and nobody has been believed yet.
const maxNested = 8

// object reads one object and gives its names; a name twice is an error, here
// and in every object inside.
func object(d *json.Decoder, depth int) ([]string, error) {
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return nil, errors.New("are no JSON object")
	}
	var names []string
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return nil, errors.New("are no JSON object")
		}
		if slices.ContainsFunc(names, func(have string) bool { return strings.EqualFold(have, name) }) {
			return nil, errors.New("hold a name twice")
		}
		names = append(names, name)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("are no JSON object")
		}
		if err := inside(value, depth+1); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return names, err
}

// inside looks for names that stand twice in what a value holds.
func inside(value json.RawMessage, depth int) error {
	if depth > maxNested {
		return fmt.Errorf("are nested deeper than %d", maxNested)
	}
	switch trimmed := bytes.TrimSpace(value); {
	case len(trimmed) > 0 && trimmed[0] == '{':
		d := json.NewDecoder(bytes.NewReader(trimmed))
		_, err := object(d, depth)
		return err
	case len(trimmed) > 0 && trimmed[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(trimmed, &list); err != nil {
			return errors.New("are no JSON")
		}
		for _, v := range list {
			if err := inside(v, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
