package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// fixture feeds one store with commands, as a log would.
type fixture struct {
	*Store
	t     testing.TB
	index uint64
	now   time.Time
}

const (
	clusterID = "CL00000000000000000000000000000001"
	actor     = "PR0000000000000000000000000000000a"
)

func id[T ~string](kind policy.IDKind, n int) T { return T(fmt.Sprintf("%s%032x", kind, n)) }

func hexHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func uuid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

func empty(t testing.TB) *fixture {
	t.Helper()
	s, err := Open(Options{Path: filepath.Join(t.TempDir(), "state.db"), Gather: time.Hour}) // nothing is committed by the clock
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &fixture{Store: s, t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
}

// update changes the file behind the store's back.
func (s *Store) update(fn func(*bolt.Tx) error) error {
	if err := s.settle(); err != nil {
		return err
	}
	return s.db.Update(fn)
}

// seeded is a store with three active regions, one planned one, and entities.
func seeded(t testing.TB) *fixture {
	t.Helper()
	f := empty(t)
	f.must(seed())
	return f
}

func seed() InitCluster {
	region := func(id, boundary, country string, l policy.Lifecycle) policy.Region {
		return policy.Region{ID: policy.RegionID(id), Boundary: policy.Boundary(boundary), Country: country,
			Cloud: "aws-" + boundary, BackupRegion: "none", Lifecycle: l, BaseURL: "https://api." + id + ".example"}
	}
	return InitCluster{ClusterID: clusterID,
		Regions: []policy.Region{region("ie1", "eu", "IE", policy.Active), region("de1", "eu", "DE", policy.Planned),
			region("au1", "au", "AU", policy.Active), region("us1", "us", "US", policy.Active)},
		Features: []Feature{{Region: "ie1", Name: "voice", Stage: "ga"}, {Region: "ie1", Name: "recording", Stage: "beta"}},
		Entities: []Entity{{Country: "IE", Code: "DOM-IE", SuggestedRegion: "ie1"}, {Country: "FR", Code: "DOM-IE", SuggestedRegion: "ie1"},
			{Country: "AU", Code: "DOM-AU", SuggestedRegion: "au1"}, {Country: "US", Code: "DOM-US", SuggestedRegion: "us1"}},
		Bases:  []Basis{{TransferBasis: policy.TransferBasis{ID: "NONE", State: "active"}}, {TransferBasis: policy.TransferBasis{ID: "SCC", State: "active"}}},
		Tokens: []Token{{SHA256: hexHash("operator"), Principal: id[string](policy.KindPrincipal, 1), Scope: Scope{Role: "operator"}}},
	}
}

// scope is a role's that runs out long after the fixture's time.
func scope(role string, tenant policy.TenantID) Scope {
	end := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	return Scope{Role: role, Tenant: tenant, ExpiresAt: &end}
}

func (f *fixture) stamp() Stamp { return Stamp{Now: f.now, Actor: actor} }

// apply applies one payload and gives its result, refusals included.
func (f *fixture) apply(p Payload) Result { f.t.Helper(); return f.applyStamped(f.stamp(), p) }

func (f *fixture) applyStamped(s Stamp, p Payload) Result {
	f.t.Helper()
	data, err := Encode(Command{Stamp: s, Payload: p})
	if err != nil {
		f.t.Fatal(err)
	}
	f.index++
	rs, err := f.Apply([]Entry{{Index: f.index, Term: 1, Data: data}})
	if err != nil {
		f.t.Fatal(err)
	}
	return rs[0]
}

// must applies a payload that may not be refused.
func (f *fixture) must(p Payload) Result {
	f.t.Helper()
	r := f.apply(p)
	if r.Err != nil {
		f.t.Fatalf("%T: %v %v", p, r.Err, r.Err.Fields)
	}
	return r
}

// tenant makes the n-th tenant, homed in a region.
func (f *fixture) tenant(n int, home policy.RegionID) Tenant {
	f.t.Helper()
	return body[Tenant](f.t, f.must(createTenant(n, home)))
}

func createTenant(n int, home policy.RegionID) CreateTenant {
	country := strings.ToUpper(string(home[:2]))
	return CreateTenant{ID: id[policy.TenantID](policy.KindTenant, n), Slug: policy.Slug(fmt.Sprintf("tenant-%d", n)),
		Home: home, BillingCountry: country}
}

func body[T any](t testing.TB, r Result) (v T) {
	t.Helper()
	if err := r.Decode(&v); err != nil {
		t.Fatalf("body of %+v: %v", r, err)
	}
	return v
}

func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func isReason(err error, r policy.Reason) bool { return errors.Is(err, &policy.Error{Reason: r}) }

// recipient is a valid recipient in a region.
func recipient(n int, region policy.RegionID) policy.Recipient {
	return policy.Recipient{ID: id[policy.RecipientID](policy.KindRecipient, n), Region: region, Purpose: "billing",
		Transforms: "standard", Threshold: 10, Colluding: 3, AssessmentHash: hexHash("assessment"),
		AssessmentExpiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// exporting is a policy that lets a tenant of home export to recipients.
func exporting(f *fixture, home policy.RegionID, list ...policy.Recipient) *policy.ResidencyPolicy {
	r := got(f.Region(home))(f.t)
	p := policy.DefaultPolicy("", r.Region, "")
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "SCC"}
	p.Recipients = policy.Recipients{List: list}
	return &p
}

func apiKey(n int, t policy.TenantID, region policy.RegionID, role policy.KeyRole) policy.APIKey {
	return policy.APIKey{ID: id[policy.KeyID](policy.KindKey, n), Tenant: t, Region: region, Role: role, SecretSHA256: hexHash("secret")}
}
