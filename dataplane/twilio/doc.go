// Package twilio is the shape of another API: the 2010-04-01 REST API of Twilio,
// as far as it reads what this region keeps. It turns calls, recordings and
// counters into that API's resources, reads its query parameters, and writes its
// errors, so that its official clients work unmodified against a region
// (docs/adr/0047). It does no I/O and decides nothing: dataplane/server asks the
// gate, and hands over what it may show.
//
// What this region does not know is null. Every field has the name, type and
// nullability of twilio-oai's spec/json/twilio_api_v2010.json; a test compares
// them when that file is there.
package twilio

import (
	"strings"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Version is the API's version, and Prefix where its paths begin.
const (
	Version = "2010-04-01"
	Prefix  = "/" + Version + "/"
)

// Serves reports whether a path is of this API.
func Serves(path string) bool { return strings.HasPrefix(path, Prefix) }

// Account is the sid of a tenant's account: AC and the 32 digits of its id.
func Account(t policy.TenantID) string {
	return "AC" + strings.TrimPrefix(string(t), string(policy.KindTenant))
}

// User is whom the user of HTTP Basic names in our own words: an account's sid is
// its tenant's id; anything else, a key's sid above all, stays as it is.
func User(user string) string {
	if t := string(policy.KindTenant) + strings.TrimPrefix(user, "AC"); strings.HasPrefix(user, "AC") && policy.ValidID(policy.KindTenant, t) {
		return t
	}
	return user
}

func accountPath(account string) string { return Prefix + "Accounts/" + account + "/" }

// text is a field that is null when it is not known.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// date is a time as RFC 2822 writes it; null for the zero time.
func date(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return text(t.UTC().Format(time.RFC1123Z))
}

func version() *string { return text(Version) }
