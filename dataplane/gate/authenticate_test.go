package gate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// secret is the 64 hex characters of key n.
func secret(n int) string { return fmt.Sprintf("%064x", n*7919) }

func key(n int, t policy.TenantID, r policy.RegionID, role policy.KeyRole, epoch uint64) policy.APIKey {
	sum := sha256.Sum256([]byte(secret(n)))
	return policy.APIKey{ID: policy.KeyID(fmt.Sprintf("SK%032x", n)), Tenant: t, Region: r, Role: role, SecretSHA256: hex.EncodeToString(sum[:]), HomeEpoch: epoch}
}

func full(r policy.RegionID, n int) string { return fmt.Sprintf("sk_%s_%032x_%s", r, n, secret(n)) }

// A recipient's key may have been revoked since the node last heard, and it does nothing
// but read: it stops when other reads do.
func TestARecipientReadsNoLongerThanOthers(t *testing.T) {
	g, b := testGate(t, nil)
	for age, want := range map[time.Duration]policy.Reason{0: "", policy.ReadFor - 1: "", policy.ReadFor: policy.PolicyStale, policy.AgeUnknown: policy.PolicyStale} {
		b.age = age
		if _, err := g.Authenticate(Credential{Key: full("ie1", 6)}); reasonOf(err) != want {
			t.Errorf("recipient's key, last heard %v ago: %v, want %q", age, err, want)
		}
		if _, err := g.Authenticate(Credential{Key: full("ie1", 1)}); err != nil {
			t.Errorf("own tenant's key, last heard %v ago: %v", age, err)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	g, _ := testGate(t, nil)
	good := full("ie1", 1)
	for name, c := range map[string]struct {
		shown Credential
		want  policy.Reason // "" authenticated
		url   string
	}{
		"bearer":                         {Credential{Key: good}, "", ""},
		"letters and digits only":        {Credential{Key: strings.ReplaceAll(good, "_", "Z")}, "", ""},
		"basic with slug":                {Credential{User: "acme", Key: good}, "", ""},
		"basic with tenant id":           {Credential{User: string(homeTenant), Key: good}, "", ""},
		"basic with key id":              {Credential{User: "SK00000000000000000000000000000001", Key: good}, "", ""},
		"basic with another slug":        {Credential{User: "gone", Key: good}, policy.Unauthenticated, ""},
		"nothing":                        {Credential{}, policy.Unauthenticated, ""},
		"mixed separators":               {Credential{Key: strings.Replace(good, "_", "Z", 1)}, policy.Unauthenticated, ""},
		"capitals":                       {Credential{Key: "SK" + good[2:]}, policy.Unauthenticated, ""},
		"more behind":                    {Credential{Key: good + "0"}, policy.Unauthenticated, ""},
		"line break behind":              {Credential{Key: good + "\n"}, policy.Unauthenticated, ""},
		"wrong secret":                   {Credential{Key: good[:len(good)-1] + "0"}, policy.Unauthenticated, ""},
		"unknown key":                    {Credential{Key: full("ie1", 99)}, policy.Unauthenticated, ""},
		"expired":                        {Credential{Key: full("ie1", 4)}, policy.Unauthenticated, ""},
		"another region":                 {Credential{Key: full("us1", 77)}, policy.WrongRegion, "https://us.example"},
		"unknown region":                 {Credential{Key: full("zz9", 1)}, policy.Unauthenticated, ""},
		"moved away":                     {Credential{Key: full("ie1", 5)}, policy.WrongRegion, "https://moved.example"},
		"moved away, wrong secret":       {Credential{Key: full("ie1", 5)[:len(good)-1] + "0"}, policy.Unauthenticated, ""},
		"from before the move":           {Credential{Key: full("ie1", 2)}, policy.CredentialSuperseded, ""},
		"old home's key at the new home": {Credential{Key: full("us1", 3)}, policy.CredentialSuperseded, ""},
		"recipient":                      {Credential{Key: full("ie1", 6)}, "", ""},
		"recipient with another user":    {Credential{User: "acme", Key: full("ie1", 6)}, policy.Unauthenticated, ""},
	} {
		p, err := g.Authenticate(c.shown)
		if reasonOf(err) != c.want || (err != nil && p != Principal{}) {
			t.Errorf("%s: %v, principal %+v, want %q", name, err, p, c.want)
		}
		var e *policy.Error
		if errors.As(err, &e) && e.Metadata["base_url"] != c.url {
			t.Errorf("%s: sent to %q, want %q", name, e.Metadata["base_url"], c.url)
		}
	}
	p, err := g.Authenticate(Credential{Key: good})
	if err != nil || p != (Principal{Tenant: homeTenant, Slug: "acme", Role: policy.RoleAdmin, Key: "SK00000000000000000000000000000001"}) {
		t.Errorf("%+v %v", p, err)
	}
}

func TestINV08_WrongRegionNeedsNoBundle(t *testing.T) {
	g, b := testGate(t, nil)
	b.view = nil
	_, err := g.Authenticate(Credential{Key: full("us1", 1)})
	var e *policy.Error
	if !errors.As(err, &e) || e.Reason != policy.WrongRegion || e.Metadata["base_url"] != "https://us.config" {
		t.Errorf("another region: %v", err)
	}
	if _, err := g.Authenticate(Credential{Key: full("zz9", 1)}); reasonOf(err) != policy.Unauthenticated {
		t.Errorf("unknown region: %v", err)
	}
	if _, err := g.Authenticate(Credential{Key: full("ie1", 1)}); reasonOf(err) != policy.NotReady {
		t.Errorf("our own: %v", err)
	}
}

func TestINV11_WhatDoesNotAuthenticateLooksTheSame(t *testing.T) {
	g, _ := testGate(t, nil)
	good := full("ie1", 1)
	_, want := g.Authenticate(Credential{Key: full("ie1", 99)})
	for name, c := range map[string]Credential{
		"wrong secret": {Key: good[:len(good)-1] + "0"}, "expired": {Key: full("ie1", 4)},
		"slug of another tenant": {User: "gone", Key: good}, "slug of nobody": {User: "nobody", Key: good}, "nothing": {},
	} {
		if _, err := g.Authenticate(c); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestFromHeader(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for header, want := range map[string]Credential{
		"Bearer k": {Key: "k"}, "bearer  k ": {Key: "k"}, basic("acme:k"): {User: "acme", Key: "k"}, basic("acme:k:l"): {User: "acme", Key: "k:l"},
		"": {}, "Bearer": {}, "Digest k": {}, "Basic !": {}, basic("nocolon"): {}, basic(":k"): {}, "Bearer " + strings.Repeat("x", maxHeader): {},
	} {
		if got := FromHeader(header); got != want {
			t.Errorf("%q is read wrongly", header)
		}
	}
}

func TestINV40_CredentialsArePrintedRedacted(t *testing.T) {
	c := Credential{User: "acme", Key: full("ie1", 1)}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "c", c)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s", []Credential{c}), log.String()} {
		if strings.Contains(s, "acme") || strings.Contains(s, "sk_") {
			t.Errorf("printed as %s", s)
		}
	}
}

func TestINV12_RolesMayOnlyWhatTheTableSays(t *testing.T) {
	want := map[policy.KeyRole]string{policy.RoleIngest: "w......", policy.RoleReader: ".rls...", policy.RoleAdmin: "wrlsSx.", policy.RoleRecipient: "......R", "": ".......", "root": "......."}
	for role, marks := range want {
		for i, mark := range marks {
			err := Principal{Role: role}.May(Action(i + 1))
			if (err == nil) != (mark != '.') || (err != nil && reasonOf(err) != policy.PermissionDenied) {
				t.Errorf("role %q, action %d: %v", role, i+1, err)
			}
		}
		if (Principal{Role: role}).May(0) == nil || (Principal{Role: role}).May(numActions) == nil {
			t.Errorf("role %q may do what no row names", role)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add("Bearer " + full("ie1", 1))
	f.Add("Basic " + base64.StdEncoding.EncodeToString([]byte("acme:"+full("ie1", 1))))
	f.Fuzz(func(t *testing.T, header string) {
		g, _ := testGate(t, nil)
		p, err := g.Authenticate(FromHeader(header))
		if err == nil && !strings.Contains(header, secret(1)) && !strings.HasPrefix(strings.ToLower(header), "basic ") && !strings.Contains(header, secret(6)) {
			t.Fatalf("%q authenticated as %+v", header, p)
		}
	})
}
