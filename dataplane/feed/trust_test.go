package feed

import (
	"crypto/ed25519"
	"encoding/hex"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// realm is a world whose root we hold, and a tenant of it that signs.
type realm struct {
	*world
	rootKey, tenantKey ed25519.PrivateKey
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	w := newWorld(t)
	r := &realm{world: w}
	var err error
	if w.root, r.rootKey, err = ed25519.GenerateKey(nil); err != nil {
		t.Fatal(err)
	}
	if _, r.tenantKey, err = ed25519.GenerateKey(nil); err != nil {
		t.Fatal(err)
	}
	key, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.signer, err = bundle.NewSigner(cluster, private.Seed(), bundle.CertifyKey(r.rootKey, cluster, key), w.root); err != nil {
		t.Fatal(err)
	}
	return r
}

// signed is tenant 0's row as an honest control plane sends it.
func (r *realm) signed(sequence uint64, change ...func(*policy.ResidencyPolicy)) policy.Row {
	r.t.Helper()
	row := tenantRow(0, "ie1")
	t := row.Tenant
	public := hex.EncodeToString(r.tenantKey.Public().(ed25519.PublicKey))
	k, err := policy.NewSigningKey(policy.TenantKey, public)
	if err != nil {
		r.t.Fatal(err)
	}
	k.Certificate = policy.Sign(r.rootKey, k.Statement(cluster, t.ID))
	t.Signers = &policy.Signers{Sequence: sequence, Tenant: []policy.SigningKey{k}}
	for _, c := range change {
		c(t.Policy)
	}
	hash, err := policy.PolicyHash(t.Policy)
	if err != nil {
		r.t.Fatal(err)
	}
	t.Policy.Signatures = []policy.Signature{policy.Sign(r.tenantKey, policy.PolicyStatement(cluster, t.ID, sequence, hash))}
	return row
}

func widen(p *policy.ResidencyPolicy) {
	p.Classes[policy.CallRecord] = policy.ClassRule{Mode: policy.Restricted}
}

// A voter that holds the bundle key, and so can seal whatever it likes, tries
// every way to widen a rule, move a tenant or free it from its signatures. The
// node keeps its last good bundle and says BAD_SIGNATURE.
func TestCompromisedVoterCannotWidenWhatATenantSigned(t *testing.T) {
	key := "t/" + string(tenantID(0))
	for name, forge := range map[string]func(*realm, *book) *controlv1.Push{
		"a wider rule under the old signature": func(r *realm, b *book) *controlv1.Push {
			row := r.signed(5)
			widen(row.Tenant.Policy)
			return b.delta(nil, row)
		},
		"a wider rule without a signature": func(r *realm, b *book) *controlv1.Push {
			row := r.signed(6, widen)
			row.Tenant.Policy.Signatures = nil
			return b.delta(nil, row)
		},
		"a wider rule that the voter signed": func(r *realm, b *book) *controlv1.Push {
			_, r.tenantKey, _ = ed25519.GenerateKey(nil)
			row := r.signed(6, widen)
			row.Tenant.Signers.Tenant = r.rows0(b).Signers.Tenant
			return b.delta(nil, row)
		},
		"a key that the voter certified": func(r *realm, b *book) *controlv1.Push {
			_, r.tenantKey, _ = ed25519.GenerateKey(nil)
			_, r.rootKey, _ = ed25519.GenerateKey(nil)
			return b.delta(nil, r.signed(6, widen))
		},
		"an earlier policy that the tenant did sign": func(r *realm, b *book) *controlv1.Push { return b.delta(nil, r.signed(4, widen)) },
		"no signing keys at all": func(r *realm, b *book) *controlv1.Push {
			row := tenantRow(0, "ie1")
			widen(row.Tenant.Policy)
			return b.delta(nil, row)
		},
		"another home":       func(r *realm, b *book) *controlv1.Push { return b.delta(nil, tenantRow(0, "us1")) },
		"the row taken away": func(r *realm, b *book) *controlv1.Push { return b.delta([]string{key}) },
		"a snapshot without it": func(r *realm, b *book) *controlv1.Push {
			delete(b.rows, key)
			b.revision++
			return b.snapshot(1000)[0]
		},
		"a snapshot with a forged row": func(r *realm, b *book) *controlv1.Push {
			b.put(tenantRow(0, "ie1"))
			b.revision++
			return b.snapshot(1000)[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealm(t)
			v := r.voter(mtls.ControlPlane)
			b := r.book(3)
			b.put(r.signed(5))
			n := r.node(v)
			f, s := n.synced(v, b)
			good := f.Current()
			nacked(t, s.push(t, forge(r, b)), good.Revision, badSignature)
			if f.Current() != good {
				t.Error("the forged bundle is served")
			}
			row := signedRow(f)
			if row.Home != "ie1" || row.Policy.Classes[policy.CallRecord].Mode != policy.Sealed {
				t.Errorf("the tenant's rule is %v at %s", row.Policy.Classes[policy.CallRecord].Mode, row.Home)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if again := n.open(); again.Current() == nil || again.Current().Revision != good.Revision {
				t.Error("after a restart the last good bundle is not served")
			}
		})
	}
}

// rows0 is tenant 0's row as the book has it.
func (r *realm) rows0(b *book) *policy.TenantRow {
	row, err := bundle.Decode(b.rows["t/"+string(tenantID(0))])
	if err != nil {
		r.t.Fatal(err)
	}
	return row.Tenant
}

// The same voter honest again: what the tenant signed is taken, and a tenant
// without a key still trusts the control plane.
func TestSignedPolicyIsTaken(t *testing.T) {
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	b := r.book(3)
	f, s := r.node(v).synced(v, b)
	acked(t, s.push(t, b.delta(nil, r.signed(1))), 2) // enrolled
	acked(t, s.push(t, b.delta(nil, r.signed(2, widen))), 3)
	other := tenantRow(1, "ie1")
	widen(other.Tenant.Policy)
	acked(t, s.push(t, b.delta([]string{"t/" + string(tenantID(2))}, other)), 4)
	if row := signedRow(f); row.Policy.Classes[policy.CallRecord].Mode != policy.Restricted {
		t.Error("the signed policy is not in force")
	}
}

// A node that has never seen the tenant believes the first row, unless its
// configuration says that the tenant signs.
func TestConfiguredTenantIsNotBelievedAtFirstSight(t *testing.T) {
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	n := r.node(v)
	n.o.SigningTenants = []policy.TenantID{tenantID(0)}
	f := n.open()
	f.Start()
	s := v.next(t)
	b := r.book(3) // tenant 0 comes without its keys
	nacked(t, s.push(t, b.snapshot(1000)[0]), 0, badSignature)
	if f.Current() != nil {
		t.Error("the bundle is served")
	}
	b.put(r.signed(1))
	acked(t, s.push(t, b.snapshot(1000)[0]), 1)
}

// grantOf is a basis as an honest control plane sends it after a root's grant.
func (r *realm) grantOf(state policy.BasisState, sequence uint64) policy.Row {
	return policy.Row{Basis: &policy.TransferBasis{ID: "SCC", State: state, Grant: &policy.BasisGrant{Sequence: sequence,
		Signature: policy.Sign(r.rootKey, policy.BasisStatement(cluster, "SCC", nil, sequence))}}}
}

// The same voter tries to open a basis that was revoked.
func TestCompromisedVoterCannotReinstateABasis(t *testing.T) {
	open := policy.Row{Basis: &policy.TransferBasis{ID: "SCC", State: policy.BasisActive}}
	for name, forge := range map[string]func(*realm, *book) *controlv1.Push{
		"without a grant":           func(_ *realm, b *book) *controlv1.Push { return b.delta(nil, open) },
		"by the grant of last time": func(r *realm, b *book) *controlv1.Push { return b.delta(nil, r.grantOf(policy.BasisActive, 1)) },
		"by a root of its own": func(r *realm, b *book) *controlv1.Push {
			_, r.rootKey, _ = ed25519.GenerateKey(nil)
			return b.delta(nil, r.grantOf(policy.BasisActive, 2))
		},
		"by leaving it out first": func(_ *realm, b *book) *controlv1.Push { return b.delta([]string{"b/SCC"}) },
		"by a snapshot without it": func(_ *realm, b *book) *controlv1.Push {
			delete(b.rows, "b/SCC")
			b.revision++
			return b.snapshot(1000)[0]
		},
		"by a snapshot with it open": func(_ *realm, b *book) *controlv1.Push { b.put(open); b.revision++; return b.snapshot(1000)[0] },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealm(t)
			v := r.voter(mtls.ControlPlane)
			b := r.book(1)
			b.put(r.grantOf(policy.BasisRevoked, 1))
			f, s := r.node(v).synced(v, b)
			nacked(t, s.push(t, forge(r, b)), f.Current().Revision, badSignature)
			if rule := f.Current().Topology.BasisRefusal("SCC", time.Now()); rule != policy.RuleBasisRevoked {
				t.Errorf("the basis is refused by %v", rule)
			}
		})
	}
}

func TestBasisIsReinstatedByTheRoot(t *testing.T) {
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	b := r.book(1)
	b.put(policy.Row{Basis: &policy.TransferBasis{ID: "SCC", State: policy.BasisActive}})
	f, s := r.node(v).synced(v, b)
	acked(t, s.push(t, b.delta(nil, policy.Row{Basis: &policy.TransferBasis{ID: "SCC", State: policy.BasisRevoked}})), 2)
	if rule := f.Current().Topology.BasisRefusal("SCC", time.Now()); rule != policy.RuleBasisRevoked {
		t.Errorf("after the revocation: %v", rule)
	}
	acked(t, s.push(t, b.delta(nil, r.grantOf(policy.BasisActive, 1))), 3)
	if rule := f.Current().Topology.BasisRefusal("SCC", time.Now()); rule != 0 {
		t.Errorf("after the grant: %v", rule)
	}
}

// signedRow is the row of tenant 0, which signs.
func signedRow(f *Feed) *policy.TenantRow {
	id, _ := policy.KindTenant.Bits(string(tenantID(0)))
	return *f.Current().signed.Get(id)
}

// The same voter orders the end of a tenant that signs.
func TestCompromisedVoterCannotEndATenantThatSigns(t *testing.T) {
	_, approver, _ := ed25519.GenerateKey(nil)
	ending := func(r *realm, keys ...ed25519.PrivateKey) policy.Row {
		row := r.withApprover(r.signed(5), approver)
		row.Tenant.State, row.Tenant.Policy, row.Tenant.Keys = policy.TenantPurging, nil, nil
		row.Tenant.Purge = &policy.PurgeOrder{ID: "OP0123456789abcdef0123456789abcdef"}
		for _, k := range keys {
			row.Tenant.Purge.Signatures = append(row.Tenant.Purge.Signatures, policy.Sign(k, policy.PurgeStatement(cluster, row.Tenant.ID, 5)))
		}
		return row
	}
	_, stranger, _ := ed25519.GenerateKey(nil)
	for name, forge := range map[string]func(*realm) policy.Row{
		"signed by nobody":             func(r *realm) policy.Row { return ending(r) },
		"signed by the tenant alone":   func(r *realm) policy.Row { return ending(r, r.tenantKey) },
		"signed by the approver alone": func(r *realm) policy.Row { return ending(r, approver) },
		"signed by the voter":          func(r *realm) policy.Row { return ending(r, stranger, approver) },
		"without an order":             func(r *realm) policy.Row { row := ending(r, r.tenantKey, approver); row.Tenant.Purge = nil; return row },
		"an order to one that lives on": func(r *realm) policy.Row {
			row := ending(r, r.tenantKey, approver)
			row.Tenant.State = policy.TenantActive
			return row
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealm(t)
			v := r.voter(mtls.ControlPlane)
			b := r.book(3)
			b.put(r.withApprover(r.signed(5), approver))
			f, s := r.node(v).synced(v, b)
			nacked(t, s.push(t, b.delta(nil, forge(r))), f.Current().Revision, badSignature)
			if len(f.Current().Orders()) != 0 {
				t.Error("the order would be carried out")
			}
		})
	}
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	b := r.book(3)
	alive := r.withApprover(r.signed(5), approver)
	b.put(alive)
	f, s := r.node(v).synced(v, b)
	acked(t, s.push(t, b.delta(nil, ending(r, r.tenantKey, approver))), 2)
	if o := f.Current().Orders()[tenantID(0)]; o == nil || o.ID == "" {
		t.Error("a signed order is not taken")
	}
	nacked(t, s.push(t, b.delta(nil, alive)), 2, badSignature) // and it does not come back
}

// withApprover adds a second person to a signing tenant's row.
func (r *realm) withApprover(row policy.Row, key ed25519.PrivateKey) policy.Row {
	r.t.Helper()
	row.Tenant.Signers.Approvers = []policy.SigningKey{r.approver(row.Tenant.ID, key, "PR0123456789abcdef0123456789abcdef")}
	return row
}

func (r *realm) approver(tenant policy.TenantID, key ed25519.PrivateKey, principal string) policy.SigningKey {
	r.t.Helper()
	k, err := policy.NewSigningKey(policy.ApproverKey, hex.EncodeToString(key.Public().(ed25519.PublicKey)))
	if err != nil {
		r.t.Fatal(err)
	}
	k.Principal, k.Entity, k.Boundary = principal, "DOM-IE", "eu"
	k.Certificate = policy.Sign(r.rootKey, k.Statement(cluster, tenant))
	return k
}

// A voter that holds the bundle key can neither take back that an approver was
// withdrawn, nor withdraw one, nor use what a withdrawn one has signed.
func TestCompromisedVoterCannotBringAWithdrawnApproverBack(t *testing.T) {
	_, approver, _ := ed25519.GenerateKey(nil)
	withdrawn := func(r *realm, row policy.Row, by ed25519.PrivateKey) policy.Row {
		w := policy.Withdrawal{Key: row.Tenant.Signers.Approvers[0].ID}
		w.Signature = policy.Sign(by, w.Statement(cluster, row.Tenant.ID))
		row.Tenant.Signers.Withdrawn = []policy.Withdrawal{w}
		return row
	}
	ending := func(r *realm, row policy.Row) policy.Row {
		row.Tenant.State, row.Tenant.Policy, row.Tenant.Keys = policy.TenantPurging, nil, nil
		row.Tenant.Purge = &policy.PurgeOrder{ID: "OP0123456789abcdef0123456789abcdef"}
		for _, k := range []ed25519.PrivateKey{r.tenantKey, approver} {
			row.Tenant.Purge.Signatures = append(row.Tenant.Purge.Signatures, policy.Sign(k, policy.PurgeStatement(cluster, row.Tenant.ID, 5)))
		}
		return row
	}
	alive := func(r *realm) policy.Row { return r.withApprover(r.signed(5), approver) }
	byTenant := func(r *realm) policy.Row { return withdrawn(r, alive(r), r.tenantKey) }
	byRoot := func(r *realm) policy.Row { return withdrawn(r, alive(r), r.rootKey) }
	for name, c := range map[string]struct{ first, then func(*realm) policy.Row }{
		"forgotten":                  {byTenant, alive},
		"forgotten, by the root":     {byRoot, alive},
		"used, forgotten":            {byTenant, func(r *realm) policy.Row { return ending(r, alive(r)) }},
		"used":                       {byTenant, func(r *realm) policy.Row { return ending(r, byTenant(r)) }},
		"withdrawn by the voter":     {alive, func(r *realm) policy.Row { _, k, _ := ed25519.GenerateKey(nil); return withdrawn(r, alive(r), k) }},
		"withdrawn by the withdrawn": {alive, func(r *realm) policy.Row { return withdrawn(r, alive(r), approver) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealm(t)
			v := r.voter(mtls.ControlPlane)
			b := r.book(3)
			b.put(alive(r))
			n := r.node(v)
			f, s := n.synced(v, b)
			first := b.delta(nil, c.first(r))
			acked(t, s.push(t, first), first.GetRevision())
			good := f.Current()
			nacked(t, s.push(t, b.delta(nil, c.then(r))), good.Revision, badSignature)
			if f.Current() != good || len(good.Orders()) != 0 {
				t.Error("the forged bundle is served")
			}
			want := len(good.Signers(tenantID(0)).Withdrawn)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if again := n.open(); again.Current() == nil || len(again.Current().Signers(tenantID(0)).Withdrawn) != want {
				t.Error("after a restart it is not what it was")
			}
		})
	}
}
