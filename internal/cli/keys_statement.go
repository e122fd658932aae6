package cli

import (
	"fmt"
	"time"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// farAhead is how far above the time, in milliseconds, a number may be. Whoever signs one
// near 2^53 can never sign another: that is not done because a control plane asks for it.
const farAhead = 366 * 24 * time.Hour

// nextKeyNumber is above all that the tenant has given. It is the time where that is
// later, so that it is also above what a restored control plane has forgotten.
func nextKeyNumber(l *controlv1.ListSigningKeysResponse, now time.Time) (uint64, error) {
	if l.GetNewestApiKey() >= uint64(now.Add(farAhead).UnixMilli()) {
		return 0, fmt.Errorf("the control plane says that an API key was signed with the number %d, more than a year ahead of this machine's clock; nothing was signed: look at the clock, and ask who signed that key", l.GetNewestApiKey())
	}
	return max(l.GetNewestApiKey()+1, uint64(now.UnixMilli())), nil
}

// keyShown is what a signature covers, as the control plane shows it. Its digest is
// computed here: nobody signs a hash that somebody else computed.
func keyShown(k *controlv1.Key) policy.APIKey {
	out := policy.APIKey{ID: policy.KeyID(k.GetId()), Tenant: policy.TenantID(k.GetTenant()), Region: policy.RegionID(k.GetRegion()), Role: policy.KeyRole(k.GetRole()),
		SecretSHA256: k.GetTerms().GetSecretSha256(), HomeEpoch: k.GetTerms().GetHomeEpoch(), Recipient: policy.RecipientID(k.GetRecipient()), Epoch: k.GetTerms().GetClusterEpoch()}
	if at := k.GetTerms().GetExpireTime(); at != nil {
		t := at.AsTime()
		out.ExpiresAt = &t
	}
	return out
}

// signAPIKey signs an API key of the pinned tenant, for the pinned cluster.
func (s *signatory) signAPIKey(number uint64, k *controlv1.Key) (*controlv1.Signature, error) {
	shown := keyShown(k)
	if shown.Tenant != s.pin.Tenant {
		return nil, usagef("the signing key is of tenant %s, and API key %s is not; it was not signed", s.pin.Tenant, k.GetId())
	}
	sig := policy.Sign(s.key, policy.KeyStatement(s.pin.Cluster, s.pin.Tenant, number, shown.Digest()))
	return control.SignatureOf(sig), nil
}

// sayKeys says in plain words what is about to be signed. No key can hide another: what
// a control plane says of one moves no cursor.
func (a *app) sayKeys(keys []*controlv1.Key) {
	for _, k := range keys {
		a.err.Line("%s of tenant %s, issued %s, may in %s: %s", a.err.Bold(screen.Clean(k.GetId())), screen.Clean(k.GetTenant()),
			stamp(k.GetCreateTime()), screen.Clean(k.GetRegion()), screen.Clean(keyMay(k)))
	}
	a.err.Line("Whoever holds one of these keys is believed. Delete what you do not know: domicile keys delete")
}

func keyMay(k *controlv1.Key) string {
	switch policy.KeyRole(k.GetRole()) {
	case policy.RoleReader:
		return "read the tenant's calls, recordings and transcripts"
	case policy.RoleAdmin:
		return "everything: write, read, export and erase the tenant's calls, recordings and transcripts"
	case policy.RoleRecipient:
		return "read what is exported to recipient " + k.GetRecipient()
	}
	return "act as " + k.GetRole()
}

func signedWord(k *controlv1.Key) string {
	switch k.GetSigning() {
	case "signed":
		return "yes"
	case "refused":
		return "no - refused by nodes"
	case "due":
		return "no"
	}
	return "-"
}
