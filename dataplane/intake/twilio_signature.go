package intake

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// TwilioSignature is the X-Twilio-Signature of a form POST: base64 of
// HMAC-SHA1, keyed by the account's auth token, over the full URL and every
// pair of the form sorted by key; of a repeated key the distinct values, sorted
// (https://www.twilio.com/docs/usage/security).
func TwilioSignature(secret, url string, form url.Values) string {
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(url))
	keys := make([]string, 0, len(form))
	for k := range form {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		values := slices.Sorted(slices.Values(form[k]))
		for _, v := range slices.Compact(values) {
			m.Write([]byte(k))
			m.Write([]byte(v))
		}
	}
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// TwilioSigned checks a callback's signature in constant time, with and without
// the port in the URL, as Twilio's own validators do. The body is as received:
// a form, or anything whose hex SHA-256 stands in the URL's bodySHA256, in
// which case the URL alone is signed. An empty secret or signature is never
// valid.
func TwilioSigned(secret, signature, rawURL string, body []byte) bool {
	if secret == "" || signature == "" {
		return false
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return false
	}
	var form url.Values
	if want := u.Query().Get("bodySHA256"); want != "" {
		sum := sha256.Sum256(body)
		if subtle.ConstantTimeCompare([]byte(strings.ToLower(want)), []byte(hex.EncodeToString(sum[:]))) != 1 {
			return false
		}
	} else if form, err = parseForm(body); err != nil {
		return false
	}
	valid := 0
	for _, candidate := range portVariants(u, rawURL) {
		valid |= subtle.ConstantTimeCompare([]byte(TwilioSignature(secret, candidate, form)), []byte(signature))
	}
	return valid == 1
}

// portVariants are the URL as it is, without a port, and with its scheme's
// usual one.
func portVariants(u *url.URL, raw string) []string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return []string{raw}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, tail := rest[:end], rest[end:]
	bare := strings.TrimSuffix(host, ":"+u.Port())
	port := map[string]string{"https": ":443", "http": ":80"}[strings.ToLower(scheme)]
	return []string{raw, scheme + "://" + bare + tail, scheme + "://" + bare + port + tail}
}

// parseForm reads a form of at most MaxPairs pairs.
func parseForm(body []byte) (url.Values, error) {
	if strings.Count(string(body), "&") >= MaxPairs {
		return nil, ProblemForm
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, ProblemForm
	}
	return form, nil
}
