package server

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	maxSecret = 256  // bytes of a signature secret
	maxURL    = 2048 // bytes of the URL that a source signs
)

// signed reads a callback whole and checks its X-Twilio-Signature, which is
// asked for beside the credential once the feed has a secret.
func (x *exchange) signed(body io.Reader, f store.Feed) (io.Reader, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxJSON+1))
	if err != nil {
		return nil, brokenOff(err)
	}
	if len(raw) > maxJSON {
		return nil, policy.Errorf(policy.PayloadTooLarge, "a signed callback is larger than %d bytes", maxJSON)
	}
	signature, err := single(x.r.Header, "X-Twilio-Signature")
	if err != nil {
		return nil, err
	}
	for _, u := range x.signedURLs(f) {
		if intake.TwilioSigned(f.SignatureSecret, signature, u, raw) {
			return bytes.NewReader(raw), nil
		}
	}
	return nil, policy.Errorf(policy.PermissionDenied,
		"X-Twilio-Signature is absent or wrong; check the feed's signature_secret and, behind a proxy, its signature_url")
}

// signedURLs are the URLs that the source may have signed: the one that it was
// configured with, without and with the credentials in it.
func (x *exchange) signedURLs(f store.Feed) []string {
	base := f.SignatureURL
	if base == "" {
		base = "https://" + x.r.Host + x.r.URL.RequestURI()
	}
	out := []string{base}
	if c := gate.FromHeader(x.r.Header.Get("Authorization")); c.User != "" {
		if u, err := url.Parse(base); err == nil && u.User == nil {
			u.User = url.UserPassword(c.User, c.Key)
			out = append(out, u.String())
		}
	}
	return out
}

// checkSettings names every bad setting of a feed.
func checkSettings(from origin, in data.FeedSettings) error {
	var bad []policy.FieldError
	need := func(ok bool, field, message string) {
		if !ok {
			bad = append(bad, policy.FieldError{Field: field, Message: message})
		}
	}
	need(zoneErr(in.TimeZone) == nil, "time_zone", "is not a zone of the IANA database, such as Europe/Dublin")
	need(in.DefaultCountry == "" || countryPattern.MatchString(in.DefaultCountry), "default_country", "is not two capital letters, such as IE")
	need(len(in.SignatureSecret) <= maxSecret, "signature_secret", "is too long")
	need(from.source == record.Twilio || in.SignatureSecret == "" && in.SignatureURL == "", "signature_secret", "is for twilio feeds only")
	if in.SignatureURL != "" {
		u, err := url.Parse(in.SignatureURL)
		need(err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && len(in.SignatureURL) <= maxURL,
			"signature_url", "is not a URL of at most 2048 bytes")
	}
	return invalid(bad)
}

// zoneErr refuses what the zone database does not have, and "Local", which
// would mean another zone on another node.
func zoneErr(name string) error {
	if name == "Local" {
		return errors.New("zone of the machine")
	}
	_, err := time.LoadLocation(name)
	return err
}
