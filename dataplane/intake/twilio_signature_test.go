package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"testing"
)

// The vectors are Twilio's own: the first from its documentation, the second
// from the tests of its libraries.
func TestTwilioSignatureVectors(t *testing.T) {
	for number, want := range map[string]string{
		"+12349013030": "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
		"+14158675309": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
	} {
		form := url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {number}, "Digits": {"1234"}, "From": {number}, "To": {"+18005551212"}}
		if got := TwilioSignature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", form); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
	}
}

func TestTwilioSigned(t *testing.T) {
	body := []byte("b=2&a=1&b=1&b=2&name=Aoife+N%C3%AD")
	form, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(`{"a":1}`))
	hashed := "https://h.example/cb?x=1&bodySHA256=" + hex.EncodeToString(sum[:])
	const plain, ported = "https://h.example/cb?x=1", "https://h.example:8443/cb?x=1"
	for name, c := range map[string]struct {
		signed, seen string
		form         url.Values
		body         string
		want         bool
	}{
		"the URL as it is":           {plain, plain, form, string(body), true},
		"signed with the usual port": {"https://h.example:443/cb?x=1", plain, form, string(body), true},
		"signed without the port":    {plain, ported, form, string(body), true},
		"an address of IPv6":         {"https://[::1]/cb", "https://[::1]:8443/cb", form, string(body), true},
		"http's usual port":          {"http://h.example:80/cb", "http://h.example/cb", form, string(body), true},
		"no path":                    {"https://h.example:443", "https://h.example", form, string(body), true},
		"another port":               {"https://h.example:1/cb?x=1", ported, form, string(body), false},
		"another path":               {plain, "https://h.example/other?x=1", form, string(body), false},
		"another query":              {plain, "https://h.example/cb?x=2", form, string(body), false},
		"another value":              {plain, plain, form, "b=2&a=2&b=1&name=Aoife+N%C3%AD", false},
		"one pair more":              {plain, plain, form, string(body) + "&c=", false},
		"a body by its hash":         {hashed, hashed, nil, `{"a":1}`, true},
		"another body by its hash":   {hashed, hashed, nil, `{"a":2}`, false},
		"no form":                    {plain, plain, nil, "%zz", false},
		"no URL":                     {"::", "::", nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			sig := TwilioSignature("s3cret", c.signed, c.form)
			if got := TwilioSigned("s3cret", sig, c.seen, []byte(c.body)); got != c.want {
				t.Errorf("valid: %v, want %v", got, c.want)
			}
			if TwilioSigned("other", sig, c.seen, []byte(c.body)) {
				t.Error("valid under another secret")
			}
		})
	}
	if TwilioSigned("", TwilioSignature("", plain, form), plain, body) {
		t.Error("an empty secret is valid")
	}
}
