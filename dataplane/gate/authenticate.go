package gate

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/policy"
)

// Authenticate says who shows c. The order of checks is the contract's (§4):
//
//  1. prefix of another known region: WRONG_REGION, also before the first bundle
//  2. no credential, not the form of a key, or of an unknown region: UNAUTHENTICATED
//  3. no bundle yet: UNAVAILABLE
//  4. key unknown, expired, not signed by a tenant that signs its keys, or the secret wrong: UNAUTHENTICATED
//  5. key of a moved tenant: WRONG_REGION at the old home, CREDENTIAL_SUPERSEDED at the new
//  6. HTTP Basic whose user is not the key's tenant: UNAUTHENTICATED
//  7. the tenant is suspended, or ends: PERMISSION_DENIED
//  8. a recipient's key where nobody was heard for policy.ReadFor: POLICY_STALE
//
// A key of another region that this region knows as its own tenant's, from
// before a move, is CREDENTIAL_SUPERSEDED and not sent back to the old home.
// It reads nothing but c, so it can run before the body. The listener checks
// the host before it.
func (g *Gate) Authenticate(c Credential) (Principal, error) {
	s, ok := c.parse()
	if !ok {
		return Principal{}, unauthenticated()
	}
	v := g.o.Feed.Current()
	if s.region != g.o.Region {
		if superseded(v, g.o.Region, s) {
			return Principal{}, newCredential()
		}
		if g.known(v, s.region) {
			return Principal{}, g.WrongRegion(s.region)
		}
		return Principal{}, unauthenticated()
	}
	if v == nil {
		return Principal{}, noBundle()
	}
	key, ok := v.Key(s.key)
	fits := secretFits(s, key.SecretSHA256) // also for an unknown key, so that both take as long
	if !ok || !fits || g.expired(key) {
		return Principal{}, unauthenticated()
	}
	p := Principal{Tenant: key.Tenant, Role: key.Role, Key: key.ID, Recipient: key.Recipient}
	if key.Role == policy.RoleRecipient {
		return g.recipient(v, p, c.User)
	}
	t, ok := v.Tenant(key.Tenant)
	switch {
	case !ok || key.Region != g.o.Region:
		return Principal{}, unauthenticated()
	case t.Home != g.o.Region:
		return Principal{}, g.moved(t)
	case key.HomeEpoch < t.HomeEpoch:
		return Principal{}, newCredential()
	case c.User != "" && c.User != string(t.Slug) && c.User != string(t.ID) && c.User != string(key.ID):
		return Principal{}, unauthenticated()
	}
	p.Slug = t.Slug
	return p, alive(t.State)
}

// Stands is nil while the key that p showed is one of p's, as the bundle is now, and
// has not expired; else UNAUTHENTICATED. Long work asks it at each step: a key that
// was taken away must not go on bringing or taking for as long as a request lasts.
func (g *Gate) Stands(p Principal) error {
	v := g.o.Feed.Current()
	if v == nil {
		return noBundle()
	}
	key, ok := v.Key(p.Key)
	if !ok || key.Tenant != p.Tenant || key.Role != p.Role || key.Recipient != p.Recipient || g.expired(key) {
		return unauthenticated()
	}
	if key.Role == policy.RoleRecipient {
		if pair, ok := v.Pair(p.Tenant, p.Recipient); !ok || g.o.Recipients(pair, p.Key) != nil {
			return unauthenticated()
		}
	}
	return nil
}

func (g *Gate) expired(key policy.APIKey) bool {
	return key.ExpiresAt != nil && !g.o.Clock().Before(*key.ExpiresAt)
}

// recipient keys belong to this region and are not compared with the tenant's
// home; they need the inbound pair that brought them.
func (g *Gate) recipient(v *feed.View, p Principal, user string) (Principal, error) {
	pair, ok := v.Pair(p.Tenant, p.Recipient)
	if !ok || g.o.Recipients(pair, p.Key) != nil {
		return Principal{}, unauthenticated()
	}
	if user != "" && user != string(p.Recipient) && user != string(p.Key) {
		return Principal{}, unauthenticated()
	}
	if err := alive(pair.State); err != nil {
		return p, err
	}
	if pair.Weak(g.o.Attestation()) {
		return p, refusedBy(policy.RuleAttestation, policy.PermissionDenied)
	}
	if age := g.o.Feed.Age(); age < 0 || age >= policy.ReadFor { // such a key only reads, and may have been revoked since
		return p, refusedBy(policy.RuleStaleRead, policy.PolicyStale)
	}
	return p, nil
}

// refusedBy is a refusal of one rule, in the words that a decision has for it.
func refusedBy(rule policy.RuleCode, reason policy.Reason) *policy.Error {
	return policy.Errorf(reason, "%s", rule.Explanation()).With("rules", rule.String())
}

// alive is nil for an active tenant, whose state pairs leave out; else the
// refusal of every one of its keys. Only a key that has proved itself learns it.
func alive(s policy.TenantState) error {
	switch s {
	case policy.TenantActive, "":
		return nil
	case policy.TenantSuspended:
		return policy.Errorf(policy.PermissionDenied, "the tenant is suspended: nothing is taken in, shown or sent, and nothing is deleted; ask the operator to resume it").
			With("rules", policy.RuleTenantSuspended.String()).With("state", string(s))
	}
	return policy.Errorf(policy.PermissionDenied, "the tenant has ended, and its data is destroyed").
		With("rules", policy.RuleTenantSuspended.String()).With("state", string(s))
}

// superseded reports whether s is a proven key of a tenant that has since moved here.
func superseded(v *feed.View, here policy.RegionID, s shown) bool {
	if v == nil {
		return false
	}
	key, ok := v.Key(s.key)
	if !ok || key.Region != s.region || key.Role == policy.RoleRecipient || !secretFits(s, key.SecretSHA256) {
		return false
	}
	t, ok := v.Tenant(key.Tenant)
	return ok && t.Home == here && key.HomeEpoch < t.HomeEpoch
}

// secretFits compares in constant time with the only thing that is stored.
func secretFits(s shown, want string) bool {
	sum := sha256.Sum256([]byte(s.secret))
	have := hex.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(have), []byte(want)) == 1
}

// One answer for everything that does not authenticate, so that nobody learns
// whether a key, a tenant or a slug exists (invariant 11).
func unauthenticated() *policy.Error {
	return policy.Errorf(policy.Unauthenticated, "no valid API key of this region was shown; send Authorization: Bearer sk_<region>_…, or HTTP Basic with the tenant's slug and the key")
}

func newCredential() *policy.Error {
	return policy.Errorf(policy.CredentialSuperseded, "this key is from before the tenant moved here; create a new key for this region").
		With("new_credential_required", "true")
}
