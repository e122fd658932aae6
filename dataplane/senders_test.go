package dataplane

import (
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

const (
	sendersCluster = "CL0000000000000000000000000000000a"
	sender         = policy.TenantID("TN000000000000000000000000000000a1")
)

// A region that only receives carries out the end of a sender that signs when its
// keys have signed it, and never on the word of the control plane alone: not after
// a restart, not when the pair is gone, not at first sight of a tenant that the
// configuration names.
func TestOrdersToEndASenderThatSignsAreVerified(t *testing.T) {
	root, rootKey := pair(t)
	tenant, approver := signingKey(t, policy.TenantKey, rootKey), signingKey(t, policy.ApproverKey, rootKey)
	keys := &policy.Signers{Sequence: 3, Tenant: []policy.SigningKey{tenant.SigningKey}, Approvers: []policy.SigningKey{approver.SigningKey}}
	order := func(sequence uint64, by ...ed25519.PrivateKey) *policy.PurgeOrder {
		o := &policy.PurgeOrder{ID: "OP000000000000000000000000000000a1"}
		for _, k := range by {
			o.Signatures = append(o.Signatures, policy.Sign(k, policy.PurgeStatement(sendersCluster, sender, sequence)))
		}
		return o
	}
	both := order(3, tenant.key, approver.key)
	dir := t.TempDir()
	open := func(demanded ...string) *senders {
		s, err := openSenders(dir, sendersCluster, root, demanded)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if err := s.believe(sender, order(0), nil); err != nil {
		t.Errorf("a tenant that does not sign trusts the control plane: %v", err)
	}
	if open(string(sender)).believe(sender, order(0), nil) == nil {
		t.Error("the configuration says that it signs, and the order was believed without keys")
	}
	_, strangersKey := pair(t)
	forged := signingKey(t, policy.TenantKey, strangersKey)
	pairs := func(list ...*policy.Signers) []*policy.InboundPair {
		var out []*policy.InboundPair
		for _, k := range list {
			out = append(out, &policy.InboundPair{Tenant: sender, Signers: k})
		}
		return out
	}
	learn := func(list ...*policy.Signers) {
		t.Helper()
		if err := s.learn(slices.Values(pairs(list...))); err != nil {
			t.Fatal(err)
		}
	}
	learn(&policy.Signers{Sequence: 9, Tenant: []policy.SigningKey{forged.SigningKey}}) // not the root's: no key of it counts
	learn(keys, nil)
	learn(&policy.Signers{Sequence: 1, Tenant: keys.Tenant, Approvers: keys.Approvers}) // takes something back
	for restarted, s := range map[bool]*senders{false: s, true: open()} {
		for name, c := range map[string]struct {
			keys  *policy.Signers
			order *policy.PurgeOrder
			want  bool
		}{
			"both signed":             {keys, both, true},
			"no signature":            {keys, order(3), false},
			"the tenant alone":        {keys, order(3, tenant.key), false},
			"a stranger":              {keys, order(3, forged.key, approver.key), false},
			"under a former policy":   {keys, order(2, tenant.key, approver.key), false},
			"the keys are left out":   {nil, both, false},
			"keys that take one back": {&policy.Signers{Sequence: 3, Tenant: keys.Tenant}, both, false},
			"a sequence that was":     {&policy.Signers{Sequence: 2, Tenant: keys.Tenant, Approvers: keys.Approvers}, order(2, tenant.key, approver.key), false},
			"keys of somebody else's": {&policy.Signers{Sequence: 3, Tenant: []policy.SigningKey{forged.SigningKey}}, order(3, forged.key), false},
		} {
			if err := s.believe(sender, c.order, c.keys); (err == nil) != c.want {
				t.Errorf("%s (restarted: %v): %v", name, restarted, err)
			}
		}
	}
}

// That a sender's approver was withdrawn is learnt like its keys, alone and for good.
func TestAWithdrawnApproverOfASenderEndsNothing(t *testing.T) {
	root, rootKey := pair(t)
	tenant, approver := signingKey(t, policy.TenantKey, rootKey), signingKey(t, policy.ApproverKey, rootKey)
	keys := policy.Signers{Sequence: 3, Tenant: []policy.SigningKey{tenant.SigningKey}, Approvers: []policy.SigningKey{approver.SigningKey}}
	w := policy.Withdrawal{Key: approver.ID}
	w.Signature = policy.Sign(tenant.key, w.Statement(sendersCluster, sender))
	withdrawn := keys
	withdrawn.Withdrawn = []policy.Withdrawal{w}
	order := &policy.PurgeOrder{ID: "OP000000000000000000000000000000a1"}
	for _, k := range []ed25519.PrivateKey{tenant.key, approver.key} {
		order.Signatures = append(order.Signatures, policy.Sign(k, policy.PurgeStatement(sendersCluster, sender, 3)))
	}
	dir := t.TempDir()
	open := func() *senders {
		s, err := openSenders(dir, sendersCluster, root, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for _, k := range []*policy.Signers{&keys, &withdrawn} {
		if err := s.learn(slices.Values([]*policy.InboundPair{{Tenant: sender, Signers: k}})); err != nil {
			t.Fatal(err)
		}
	}
	for restarted, s := range map[bool]*senders{false: s, true: open()} {
		for name, k := range map[string]*policy.Signers{"forgotten": &keys, "known": &withdrawn} {
			if s.believe(sender, order, k) == nil {
				t.Errorf("%s (restarted: %v): the order of a withdrawn approver is believed", name, restarted)
			}
		}
	}
}

type testKey struct {
	policy.SigningKey
	key ed25519.PrivateKey
}

func pair(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public, key
}

func signingKey(t *testing.T, purpose policy.KeyPurpose, by ed25519.PrivateKey) testKey {
	t.Helper()
	public, key := pair(t)
	k, err := policy.NewSigningKey(purpose, hex.EncodeToString(public))
	if err != nil {
		t.Fatal(err)
	}
	if purpose == policy.ApproverKey {
		k.Principal, k.Entity, k.Boundary = "PR000000000000000000000000000000aa", "DOM-IE", "eu"
	}
	k.Certificate = policy.Sign(by, k.Statement(sendersCluster, sender))
	return testKey{k, key}
}

// A recipient's key of a sender that signs its keys counts with the signature of
// the sender's present key, and not on the word of the control plane: not when the
// pair forgets the sender's keys, nor after a restart.
func TestRecipientsKeysOfASenderThatSignsAreVerified(t *testing.T) {
	root, rootKey := pair(t)
	tenant := signingKey(t, policy.TenantKey, rootKey)
	_, strangersKey := pair(t)
	forged := signingKey(t, policy.TenantKey, strangersKey)
	sign := func(by testKey, number uint64, digest string) string {
		return policy.Sign(by.key, policy.KeyStatement(sendersCluster, sender, number, digest)).Value
	}
	keys := func(k testKey, number uint64) *policy.Signers {
		return &policy.Signers{Sequence: 3, Tenant: []policy.SigningKey{k.SigningKey}, Keys: &policy.KeyMark{Number: number, Digest: policy.NoKey, Signature: sign(k, number, policy.NoKey)}}
	}
	bare := policy.APIKey{ID: "SK000000000000000000000000000000a1", Tenant: sender, Region: "ie1", Role: policy.RoleRecipient, Recipient: "RP000000000000000000000000000000a1", SecretSHA256: "ab", HomeEpoch: 1}
	signed := func(by testKey) policy.APIKey {
		k := bare
		k.Number, k.Signature = 1, sign(by, 1, k.Digest())
		return k
	}
	offer := func(s *policy.Signers, k policy.APIKey) *policy.InboundPair {
		return &policy.InboundPair{Tenant: sender, Signers: s, Keys: []policy.APIKey{k}}
	}
	dir := t.TempDir()
	open := func(demanded ...string) *senders {
		s, err := openSenders(dir, sendersCluster, root, demanded)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	plain := &policy.Signers{Sequence: 3, Tenant: []policy.SigningKey{tenant.SigningKey}}
	for name, c := range map[string]struct {
		pair *policy.InboundPair
		want bool
	}{
		"of a sender that does not sign":        {offer(nil, bare), true},
		"of one that does not sign keys":        {offer(plain, bare), true},
		"signed, not learnt yet":                {offer(keys(tenant, 1), signed(tenant)), true},
		"not signed, not learnt yet":            {offer(keys(tenant, 1), bare), false},
		"of a sender that a stranger certified": {offer(keys(forged, 1), signed(forged)), false},
	} {
		if err := s.admits(c.pair, bare.ID); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if known := open(string(sender)); known.admits(offer(nil, bare), bare.ID) == nil || known.admits(offer(plain, bare), bare.ID) != nil {
		t.Error("the configuration says that it signs: a key counts without its signing keys, or does not with them")
	}
	if err := s.learn(slices.Values([]*policy.InboundPair{offer(plain, bare), offer(keys(tenant, 2), bare)})); err != nil {
		t.Fatal(err)
	}
	wider := signed(tenant)
	wider.SecretSHA256 = "cd"
	for restarted, s := range map[bool]*senders{false: s, true: open()} {
		for name, c := range map[string]struct {
			pair *policy.InboundPair
			want bool
		}{
			"signed":                       {offer(keys(tenant, 2), signed(tenant)), true},
			"signed, the pair forgets":     {offer(nil, signed(tenant)), true},
			"signed, and newer word":       {offer(keys(tenant, 3), signed(tenant)), true},
			"not signed":                   {offer(keys(tenant, 2), bare), false},
			"not signed, the pair forgets": {offer(nil, bare), false},
			"not signed, nor are others":   {offer(plain, bare), false},
			"signed by a stranger":         {offer(keys(forged, 2), signed(forged)), false},
			"another secret":               {offer(keys(tenant, 2), wider), false},
		} {
			if err := s.admits(c.pair, bare.ID); (err == nil) != c.want {
				t.Errorf("%s (restarted: %v): %v", name, restarted, err)
			}
		}
		if s.admits(offer(keys(tenant, 2), signed(tenant)), "SK000000000000000000000000000000a2") == nil {
			t.Errorf("restarted %v: a key that the pair does not list counts", restarted)
		}
	}
}
