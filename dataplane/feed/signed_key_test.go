package feed

import (
	"crypto/ed25519"
	"strings"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

func roleKey(i int, role policy.KeyRole) policy.APIKey {
	return policy.APIKey{ID: keyID(i), Tenant: tenantID(0), Region: "ie1", Role: role, SecretSHA256: strings.Repeat("ab", 32), HomeEpoch: 1}
}

func (r *realm) markOf(number uint64, digest string) *policy.KeyMark {
	return &policy.KeyMark{Number: number, Digest: digest, Signature: policy.Sign(r.tenantKey, policy.KeyStatement(cluster, tenantID(0), number, digest)).Value}
}

// signs gives k the tenant's signature.
func (r *realm) signs(number uint64, k policy.APIKey) policy.APIKey {
	k.Number, k.Signature = number, r.markOf(number, k.Digest()).Signature
	return k
}

// keyed is tenant 0, which has signed that it signs its API keys, with these.
func (r *realm) keyed(number uint64, keys ...policy.APIKey) policy.Row {
	row := r.signed(5)
	row.Tenant.Signers.Keys, row.Tenant.Keys = r.markOf(number, policy.NoKey), keys
	return row
}

func (f *Feed) keyWorks(i int) bool { _, ok := f.Current().Key(keyID(i)); return ok }

// A voter that holds the bundle key can neither issue a key of a tenant that signs
// them, nor widen one, nor bring a revoked one back.
func TestCompromisedVoterCannotMakeAPIKeys(t *testing.T) {
	reader, admin := roleKey(50, policy.RoleReader), roleKey(51, policy.RoleAdmin)
	for name, forge := range map[string]func(*realm, *book) *controlv1.Push{
		"a wider role under the old signature": func(r *realm, b *book) *controlv1.Push {
			k := r.signs(4, reader)
			k.Role = policy.RoleAdmin
			return b.delta(nil, r.keyed(5, k))
		},
		"a secret of its own under the old signature": func(r *realm, b *book) *controlv1.Push {
			k := r.signs(4, reader)
			k.SecretSHA256 = strings.Repeat("cd", 32)
			return b.delta(nil, r.keyed(5, k))
		},
		"a key that it signed": func(r *realm, b *book) *controlv1.Push {
			rogue := &realm{world: r.world, rootKey: r.rootKey}
			_, rogue.tenantKey, _ = ed25519.GenerateKey(nil)
			return b.delta(nil, r.keyed(5, r.signs(4, reader), rogue.signs(9, admin)))
		},
		"a revoked key": func(r *realm, b *book) *controlv1.Push {
			return b.delta(nil, r.keyed(5, r.signs(4, reader), r.signs(5, admin)))
		},
		"a number of before":       func(r *realm, b *book) *controlv1.Push { return b.delta(nil, r.keyed(4, r.signs(4, reader))) },
		"that no keys are signed":  func(r *realm, b *book) *controlv1.Push { return b.delta(nil, r.signed(5)) },
		"a snapshot with a forged": func(r *realm, b *book) *controlv1.Push { b.put(r.signed(5)); b.revision++; return b.snapshot(1000)[0] },
		"a snapshot with a revoked": func(r *realm, b *book) *controlv1.Push {
			b.put(r.keyed(5, r.signs(5, admin)))
			b.revision++
			return b.snapshot(1000)[0]
		},
		"an end to further signatures": func(r *realm, b *book) *controlv1.Push {
			row := r.keyed(5, r.signs(4, reader))
			row.Tenant.Signers.Keys.Number = 1 << 60
			return b.delta(nil, row)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealm(t)
			v := r.voter(mtls.ControlPlane)
			b := r.book(3)
			b.put(r.keyed(5, r.signs(4, reader))) // key 51 had number 5, and was revoked
			n := r.node(v)
			f, s := n.synced(v, b)
			good := f.Current()
			nacked(t, s.push(t, forge(r, b)), good.Revision, badSignature)
			if k, ok := f.Current().Key(keyID(50)); f.keyWorks(51) || !ok || k.Role != policy.RoleReader {
				t.Errorf("key 50 is %+v, and 51 works: %t", k, f.keyWorks(51))
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if again := n.open(); again.Current() == nil || again.Current().Revision != good.Revision || again.keyWorks(51) {
				t.Error("after a restart the last good bundle is not served")
			}
		})
	}
}

// A key that its tenant has not signed is as if it were not there, and nothing else
// of the bundle suffers for it: it is issued first and signed then.
func TestUnsignedAPIKeysDoNotCount(t *testing.T) {
	reader, admin, ingest := roleKey(50, policy.RoleReader), roleKey(51, policy.RoleAdmin), roleKey(52, policy.RoleIngest)
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	b := r.book(3)
	n := r.node(v)
	f, s := n.synced(v, b)
	expect := func(when string, unsigned int, works map[int]bool) {
		t.Helper()
		for i, want := range works {
			if f.keyWorks(i) != want {
				t.Errorf("%s: key %d works: %t", when, i, !want)
			}
		}
		if got := f.Current().unsigned; got != unsigned {
			t.Errorf("%s: %d keys are unsigned, want %d", when, got, unsigned)
		}
	}
	before := r.signed(5)
	before.Tenant.Keys = []policy.APIKey{reader, admin, ingest}
	acked(t, s.push(t, b.delta(nil, before)), 2)
	expect("a tenant that has not said that it signs keys", 0, map[int]bool{1: true, 50: true, 51: true, 52: true})
	acked(t, s.push(t, b.delta(nil, r.keyed(1, r.signs(1, reader), admin, ingest))), 3)
	expect("one is signed", 1, map[int]bool{1: true, 50: true, 51: false, 52: true})
	wide := ingest
	wide.Role = policy.RoleAdmin
	acked(t, s.push(t, b.delta(nil, r.keyed(1, r.signs(1, reader), admin, wide))), 4)
	expect("a voter widens one that needs no signature", 2, map[int]bool{1: true, 50: true, 51: false, 52: false})
	pair := policy.Row{Pair: &policy.InboundPair{Tenant: tenantID(0), Recipient: "RP0123456789abcdef0123456789abcdef", From: "us1", Signers: r.keyed(2).Tenant.Signers, Keys: []policy.APIKey{roleKey(60, policy.RoleRecipient)}}}
	acked(t, s.push(t, b.delta(nil, r.keyed(2, r.signs(1, reader), r.signs(2, admin), ingest), pair)), 5)
	expect("both are signed, a recipient's is not", 1, map[int]bool{50: true, 51: true, 52: true, 60: false})
	acked(t, s.push(t, b.delta([]string{pair.RowKey()}, r.keyed(2, r.signs(2, admin), ingest))), 6)
	expect("one is revoked", 0, map[int]bool{50: false, 51: true, 52: true})
	check(t, f.Close())
	f = n.open()
	expect("after a restart", 0, map[int]bool{1: true, 50: false, 51: true, 52: true})
}

// A control plane that was restored from before a key was signed knows the
// signature no more. The node does: the key goes on, and nothing else comes in.
func TestINV22_ARestoredControlPlaneTakesNoSignatureAway(t *testing.T) {
	reader, admin, issued := roleKey(50, policy.RoleReader), roleKey(51, policy.RoleAdmin), roleKey(53, policy.RoleAdmin)
	issued.Epoch = 2
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	b := r.book(3)
	unsigned := r.signed(5)
	unsigned.Tenant.Keys = []policy.APIKey{reader, admin}
	b.put(unsigned)
	n := r.node(v)
	f, s := n.synced(v, b)
	acked(t, s.push(t, b.delta(nil, r.keyed(3, r.signs(1, reader)))), 2) // admin is revoked
	unsigned.Tenant.Keys = []policy.APIKey{reader, admin, issued}
	b.put(unsigned)
	b.revision = policy.RevisionOf(2, 2)
	acked(t, s.pushAll(t, b.snapshot(2)), b.revision)
	expect := func(when string, fresh bool) {
		t.Helper()
		if !f.keyWorks(50) || f.keyWorks(51) || f.keyWorks(53) != fresh {
			t.Errorf("%s: keys work: 50 %t, 51 (revoked) %t, 53 (new) %t", when, f.keyWorks(50), f.keyWorks(51), f.keyWorks(53))
		}
	}
	expect("at once", false)
	check(t, f.Close())
	f = n.open()
	expect("after a restart", false)
	f.Start()
	s = v.next(t)
	// Signed again, with numbers above what the node has seen, all is as it was.
	whole := r.keyed(5, r.signs(4, reader), r.signs(5, issued))
	acked(t, s.push(t, b.delta(nil, whole)), b.revision)
	expect("signed again", true)
}

// A voter cannot lay a key of a tenant that signs where nobody asks for a signature:
// into another tenant's row, or into a pair.
func TestAPIKeysStandInTheirOwnRows(t *testing.T) {
	const recipient, other = "RP0123456789abcdef0123456789abcdef", "RP0123456789abcdef0123456789abcdee"
	admin := roleKey(51, policy.RoleAdmin)
	received := func(tenant int, r policy.RecipientID) policy.APIKey {
		k := roleKey(51, policy.RoleRecipient)
		k.Tenant, k.Recipient = tenantID(tenant), r
		return k
	}
	pair := func(r policy.RecipientID, k policy.APIKey) policy.Row {
		return policy.Row{Pair: &policy.InboundPair{Tenant: tenantID(0), Recipient: r, From: "us1", Keys: []policy.APIKey{k}}}
	}
	for name, row := range map[string]func(*realm) policy.Row{
		"another tenant's": func(*realm) policy.Row {
			row := tenantRow(1, "ie1")
			row.Tenant.Keys = append(row.Tenant.Keys, admin)
			return row
		},
		"a pair of nobody":      func(*realm) policy.Row { return pair("", admin) },
		"a pair":                func(*realm) policy.Row { return pair(recipient, admin) },
		"another sender's":      func(*realm) policy.Row { return pair(recipient, received(2, recipient)) },
		"another recipient's":   func(*realm) policy.Row { return pair(recipient, received(0, other)) },
		"the sender's, at home": func(r *realm) policy.Row { return r.keyed(6, r.signs(6, received(0, recipient))) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealm(t)
			v := r.voter(mtls.ControlPlane)
			b := r.book(3)
			b.put(r.keyed(5, r.signs(4, roleKey(50, policy.RoleReader))))
			f, s := r.node(v).synced(v, b)
			nacked(t, s.push(t, b.delta(nil, row(r))), f.Current().Revision, badRow)
			if k, ok := f.Current().Key(keyID(51)); ok {
				t.Errorf("a key works as one of role %s of tenant %s", k.Role, k.Tenant)
			}
		})
	}
}

// Of a tenant whose policy demands more than this node has, a restored control plane
// may have forgotten signatures as well. What the node had stays, and the bundle is taken.
func TestINV22_AWithheldTenantThatSignsStopsNoRestore(t *testing.T) {
	reader, late := roleKey(50, policy.RoleReader), roleKey(51, policy.RoleReader)
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	b := r.book(3)
	demanding := func(sequence uint64) policy.Row {
		return r.signed(sequence, func(p *policy.ResidencyPolicy) { p.MinAttestation = policy.OperatorSigned })
	}
	withheld := func(row policy.Row) policy.Row { return row.For(policy.Declared) }
	before, after := demanding(4), demanding(5)
	before.Tenant.Keys, after.Tenant.Keys = []policy.APIKey{reader, late}, []policy.APIKey{r.signs(7, reader)}
	after.Tenant.Signers.Keys = r.markOf(8, policy.NoKey)
	b.put(withheld(after))
	n := r.node(v)
	f, s := n.synced(v, b)
	b.put(withheld(before))
	b.revision = policy.RevisionOf(2, 2)
	acked(t, s.pushAll(t, b.snapshot(2)), b.revision)
	expect := func(when string) {
		t.Helper()
		if rules, ok := f.Current().Set.Rules(tenantID(0)); !ok || rules.MinAttest != policy.OperatorSigned || !f.keyWorks(50) || f.keyWorks(51) {
			t.Errorf("%s: demands %+v; keys work: 50 %t, 51 (revoked) %t", when, rules, f.keyWorks(50), f.keyWorks(51))
		}
		if signers := f.Current().Signers(tenantID(0)); signers == nil || signers.Sequence != 5 || signers.Keys.Number != 8 {
			t.Errorf("%s: the node goes by %+v", when, signers)
		}
	}
	expect("at once")
	check(t, f.Close())
	f = n.open()
	expect("after a restart")
}
