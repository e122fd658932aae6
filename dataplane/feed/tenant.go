package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unique"
	"weak"

	"github.com/domicile-io/domicile/policy"
)

// tenant is what a view keeps of one tenant. Its rules stand in the view's set.
type tenant struct {
	kind *kind
	text string // its slug, then the bits of its keys' ids
	slug uint8  // length of the slug
}

// kind is what tenants have in common.
type kind struct {
	state policy.TenantState
	home  policy.RegionID
	epoch uint64
	url   string
	terms *policy.Terms // nil: nothing of it is decided here
	bare  bool          // the policy was not given, so that there is nothing to fit

	policy *policy.ResidencyPolicy // of the first tenant of this kind: tenant and revision differ

	fits *policy.Topology // where its policy was found to fit; of the following goroutine alone
}

func (t *tenant) named(id policy.TenantID) Tenant {
	k := t.kind
	return Tenant{ID: id, Slug: policy.Slug(t.text[:t.slug]), State: k.state, Home: k.home, HomeEpoch: k.epoch, HomeURL: k.url}
}

// keyIDs calls f with the bits of each of the tenant's keys.
func (t *tenant) keyIDs(f func(policy.Bits)) {
	for rest := t.text[t.slug:]; len(rest) > 0; rest = rest[len(policy.Bits{}):] {
		f(policy.Bits([]byte(rest[:len(policy.Bits{})])))
	}
}

func textOf(slug policy.Slug, keys []policy.APIKey) (string, uint8, error) {
	text := make([]byte, 0, len(slug)+len(keys)*len(policy.Bits{}))
	text = append(text, slug...)
	for _, k := range keys {
		b, ok := policy.KindKey.Bits(string(k.ID))
		if !ok {
			return "", 0, errors.New("a key's id is malformed")
		}
		text = append(text, b[:]...)
	}
	if len(slug) > 255 {
		return "", 0, errors.New("a slug is too long")
	}
	return string(text), uint8(len(slug)), nil
}

// apiKey is what a view keeps of one key.
type apiKey struct {
	tenant policy.Bits
	secret [sha256.Size]byte // SHA-256 of it
	kind   unique.Handle[keyKind]
}

// keyKind is what keys have in common.
type keyKind struct {
	role      policy.KeyRole
	region    policy.RegionID
	epoch     uint64
	recipient policy.RecipientID
	expires   int64 // Unix seconds; 0 never
	nanos     int32
}

func (k *apiKey) named(id policy.KeyID) policy.APIKey {
	c := k.kind.Value()
	key := policy.APIKey{ID: id, Tenant: policy.TenantID(policy.KindTenant.Of(k.tenant)), Region: c.region, Role: c.role,
		SecretSHA256: hex.EncodeToString(k.secret[:]), HomeEpoch: c.epoch, Recipient: c.recipient}
	if c.expires != 0 {
		at := time.Unix(c.expires, int64(c.nanos)).UTC()
		key.ExpiresAt = &at
	}
	return key
}

func apiKeyOf(k policy.APIKey) (id policy.Bits, out apiKey, err error) {
	id, ok := policy.KindKey.Bits(string(k.ID))
	owner, owned := policy.KindTenant.Bits(string(k.Tenant))
	secret, err := hex.DecodeString(k.SecretSHA256)
	if !ok || !owned || err != nil || len(secret) != sha256.Size {
		return id, out, errors.New("a key's id, tenant or secret hash is malformed")
	}
	c := keyKind{role: k.Role, region: k.Region, epoch: k.HomeEpoch, recipient: k.Recipient}
	if k.ExpiresAt != nil {
		if c.expires, c.nanos = k.ExpiresAt.Unix(), int32(k.ExpiresAt.Nanosecond()); c.expires <= 0 {
			c.expires, c.nanos = 1, 0 // long ago, and not never
		}
	}
	return id, apiKey{tenant: owner, secret: [sha256.Size]byte(secret), kind: unique.Make(c)}, nil
}

// kinds finds the kind of a tenant that is like another. What no view uses any
// more is forgotten. One goroutine uses it.
type kinds struct {
	known map[[sha256.Size]byte]weak.Pointer[kind]
	sweep int // look for dead ones at this size
}

func newKinds() *kinds {
	return &kinds{known: map[[sha256.Size]byte]weak.Pointer[kind]{}, sweep: 1024}
}

func (s *kinds) find(key [sha256.Size]byte) *kind { return s.known[key].Value() }

func (s *kinds) keep(key [sha256.Size]byte, k *kind) {
	if len(s.known) >= s.sweep {
		for key, p := range s.known {
			if p.Value() == nil {
				delete(s.known, key)
			}
		}
		s.sweep = max(1024, 2*len(s.known))
	}
	s.known[key] = weak.Make(k)
}

// kindOf makes the kind of a row.
func kindOf(t *policy.TenantRow) *kind {
	k := &kind{state: t.State, home: t.Home, epoch: t.HomeEpoch, url: t.HomeURL}
	switch {
	case t.Policy != nil:
		k.terms, k.policy = policy.Compile(t.Policy, t.State).Terms, t.Policy
	case t.Demands != 0:
		k.terms, k.bare = policy.Withheld(t).Terms, true
	}
	return k
}

// validApart holds a policy against the rules that the control plane has for
// it, so that neither its mistake nor a stolen quorum makes this node act on
// what no owner could have written. What depends on the regions, which may
// still be on their way, is fits' to say; here they are as the policy says.
func validApart(p *policy.ResidencyPolicy) error {
	regions := map[policy.RegionID]policy.Region{}
	for _, r := range p.Recipients.List {
		regions[r.Region] = policy.Region{ID: r.Region, BackupRegion: "none", Lifecycle: policy.Active}
	}
	regions[p.HomeRegion] = policy.Region{ID: p.HomeRegion, Boundary: p.Boundary, BackupRegion: "none", Lifecycle: policy.Active}
	list := make([]policy.Region, 0, len(regions))
	for _, r := range regions {
		list = append(list, r)
	}
	top, err := policy.NewTopology(list)
	if err != nil {
		return err
	}
	if bad := p.Validate(top); len(bad) > 0 {
		return fmt.Errorf("a policy is not valid: %s %s", bad[0].Field, bad[0].Message)
	}
	return nil
}

// fitsIn reports why a policy does not fit the regions there are; each kind is
// looked at once for a topology.
func (k *kind) fitsIn(top *policy.Topology) error {
	if k.terms == nil || k.bare || k.fits == top {
		return nil
	}
	home, ok := top.Region(k.terms.Home)
	if !ok || !home.Lifecycle.Serves() || home.Boundary != k.terms.Boundary {
		return fmt.Errorf("a policy is not valid: home_region or boundary is not that of a region which serves")
	}
	for _, r := range k.terms.Recipients() {
		if _, known := top.Region(r.Region); !known {
			return fmt.Errorf("a policy is not valid: a recipient's region is not a region of this cluster")
		}
	}
	k.fits = top
	return nil
}

// key names a kind by everything that it is made of; the policy's text is
// without the tenant and the revision, which differ.
func (w wireTenant) key() ([sha256.Size]byte, error) {
	t := *w.row.Tenant
	t.ID, t.Slug, t.Keys = "", "", nil
	shell, err := json.Marshal(t)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("name a tenant's kind: %w", err)
	}
	h := sha256.New()
	for _, part := range [][]byte{shell, w.head, w.tail} {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
