package intake

import "net/url"

// TwilioSignature is the X-Twilio-Signature of a form POST: base64 of
// HMAC-SHA1, keyed by the account's auth token, over the full URL and every
// pair of the form, sorted by key.
func TwilioSignature(secret, url string, form url.Values) string { return "" }

// TwilioSigned checks a callback's signature in constant time, with and without
// the port in the URL as Twilio's own validators do. The body is the raw body: a
// form, or JSON whose hash stands in the URL's bodySHA256. An empty secret or
// signature is never valid.
func TwilioSigned(secret, signature, rawURL string, body []byte) bool { return false }
