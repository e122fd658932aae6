package store

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func nodeN(region policy.RegionID, n int) PurgeNode {
	return PurgeNode{region, id[policy.NodeID](policy.KindNode, n)}
}

func purge(t Tenant, nodes ...PurgeNode) PurgeTenant {
	return PurgeTenant{ID: t.ID, IfMatch: t.ETag, Operation: id[string](policy.KindOperation, 1), Delete: true, Nodes: nodes}
}

// receipt is what a node sends when it is done.
func receipt(t Tenant, n PurgeNode) RecordPurge {
	return RecordPurge{Receipt: policy.PurgeReceipt{Order: id[string](policy.KindOperation, 1), Tenant: t.ID, Region: n.Region, Node: n.Node,
		Calls: 3, Time: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)}, SHA256: hexHash(string(n.Node)), Signature: strings.Repeat("A", 86) + "=="}
}

func TestSuspendedAndResumed(t *testing.T) {
	f := seeded(t)
	p := createTenant(1, "us1")
	p.Policy = exporting(f, "us1", recipient(1, "ie1"))
	a := body[Tenant](t, f.must(p))
	at := f.Revision()
	s := body[Tenant](t, f.must(SetTenantState{ID: a.ID, State: policy.TenantSuspended}))
	if s.State != policy.TenantSuspended || s.ETag == a.ETag {
		t.Errorf("%+v", s)
	}
	for region, want := range map[policy.RegionID]string{"us1": tenantRow(a.ID), "ie1": pairRow(a.ID, recipient(1, "ie1").ID)} {
		d := got(f.RowsChanged(region, at))(t)
		if len(d.Rows) != 1 || d.Rows[0].RowKey() != want {
			t.Fatalf("%s: %+v", region, d)
		}
		if r := d.Rows[0]; r.Tenant != nil && r.Tenant.State != policy.TenantSuspended || r.Pair != nil && r.Pair.State != policy.TenantSuspended {
			t.Errorf("%s: %+v", region, r)
		}
	}
	f.refuses(SetTenantState{ID: a.ID, State: policy.TenantActive, IfMatch: a.ETag}, policy.ETagMismatch)
	f.refuses(SetTenantState{ID: a.ID, State: policy.TenantDeleted}, policy.InvalidArgument)
	if r := body[Tenant](t, f.must(SetTenantState{ID: a.ID, State: policy.TenantActive, IfMatch: s.ETag})); r.State != policy.TenantActive {
		t.Errorf("%+v", r)
	}
}

func TestTenantIsDeletedWhenEveryNodeHasAnswered(t *testing.T) {
	f := seeded(t)
	p := createTenant(1, "us1")
	p.Policy = exporting(f, "us1", recipient(1, "ie1"))
	a := body[Tenant](t, f.must(p))
	f.must(CreateKey{Key: apiKey(1, a.ID, "us1", policy.RoleIngest)})
	doc := got(f.Policy(a.ID))(t)
	f.must(addChange(1, doc, loosened(doc.ResidencyPolicy)))
	home, second, abroad := nodeN("us1", 1), nodeN("us1", 2), nodeN("ie1", 3)

	f.refuses(DeleteTenant{ID: a.ID, IfMatch: a.ETag}, policy.InvalidArgument)
	f.refuses(purge(a, abroad), policy.InvalidArgument) // nobody at home would do it
	f.refuses(purge(Tenant{ID: a.ID}, home), policy.IfMatchRequired)
	f.refuses(receipt(a, home), policy.NotFound)
	order := purge(a, home, second, abroad)
	at := f.Revision()
	b := body[Tenant](t, f.must(order))
	if b.State != policy.TenantPurging || len(b.Purge.Missing) != 3 {
		t.Fatalf("%+v", b)
	}
	d := got(f.RowsChanged("us1", at))(t)
	if row := d.Rows[0].Tenant; row == nil || row.Purge == nil || row.Policy != nil || row.Keys != nil {
		t.Errorf("the home learns %+v", d.Rows[0])
	}
	if d := got(f.RowsChanged("ie1", at))(t); len(d.Rows) != 1 || d.Rows[0].Pair.Purge == nil {
		t.Errorf("the recipient's region learns %+v", d.Rows)
	}
	for _, p := range []Payload{SetTenantState{ID: a.ID, State: policy.TenantActive}, CreateKey{Key: apiKey(2, a.ID, "us1", policy.RoleIngest)},
		PutPolicy{Tenant: a.ID, IfMatch: doc.ETag, Policy: doc.ResidencyPolicy}, UpdateTenant{ID: a.ID, IfMatch: b.ETag, BillingCountry: "IE"}} {
		f.refuses(p, policy.Destroyed)
	}
	if c := got(f.Change(id[string](policy.KindChange, 1)))(t); c.State != ChangeRejected {
		t.Errorf("a change of an ended tenant is %s", c.State)
	}
	if keys := got(f.Keys(a.ID, "", 10))(t); len(keys) != 0 {
		t.Errorf("%d keys are left", len(keys))
	}
	for _, n := range []PurgeNode{home, abroad, home} {
		if x := body[Tenant](t, f.must(receipt(a, n))); x.State != policy.TenantPurging {
			t.Fatalf("%s before every node has answered", x.State)
		}
	}
	f.refuses(DeleteTenant{ID: a.ID, IfMatch: got(f.Tenant(a.ID))(t).ETag}, policy.InvalidArgument)
	f.refuses(ExcuseNode{Tenant: a.ID, Node: home.Node}, policy.AlreadyExists)
	f.refuses(ExcuseNode{Tenant: a.ID, Node: second.Node}, policy.InvalidArgument) // away is not gone
	f.must(EvictNode{ID: second.Node, Reason: "LOST"})
	end := body[Tenant](t, f.must(ExcuseNode{Tenant: a.ID, Node: second.Node}))
	if end.State != policy.TenantDeleted || end.Purge.EndedAt == nil || len(end.Purge.Excused) != 1 {
		t.Fatalf("%+v", end.Purge)
	}
	if rs := got(f.PurgeReceipts(a.ID))(t); len(rs) != 2 || rs[0].Calls != 3 {
		t.Errorf("receipts %+v", rs)
	}
	f.must(receipt(a, second)) // it came back after all
	again := createTenant(9, "us1")
	again.Slug = a.Slug
	f.refuses(again, policy.AlreadyExists)
	row, _ := rows(t, f.Store, "us1")
	if !strings.Contains(row[tenantRow(a.ID)], `"state":"deleted"`) {
		t.Error("the order does not stay in the bundle")
	}
}

func TestPurgedTenantIsDeletedLater(t *testing.T) {
	f := seeded(t)
	a := f.tenant(1, "ie1")
	p := purge(a, nodeN("ie1", 1))
	p.Delete = false
	f.must(p)
	b := body[Tenant](t, f.must(receipt(a, nodeN("ie1", 1))))
	if b.State != policy.TenantPurged {
		t.Fatalf("%s", b.State)
	}
	f.refuses(DeleteTenant{ID: a.ID, IfMatch: a.ETag}, policy.ETagMismatch)
	if c := body[Tenant](t, f.must(DeleteTenant{ID: a.ID, IfMatch: b.ETag})); c.State != policy.TenantDeleted {
		t.Errorf("%s", c.State)
	}
}

// Whoever merely holds the control plane cannot end a tenant that signs.
func TestSigningTenantEndsByItsKeyAndASecondPerson(t *testing.T) {
	f, now := signing(t)
	a := got(f.Tenant(now().Tenant))(t)
	sign := func(k ed25519.PrivateKey, sequence uint64) policy.Signature {
		return policy.Sign(k, policy.PurgeStatement(clusterID, a.ID, sequence))
	}
	n := now().Signers.Sequence
	_, stranger, _ := ed25519.GenerateKey(nil)
	p := purge(a, nodeN("ie1", 1))
	for name, sigs := range map[string][]policy.Signature{"nobody": nil, "the tenant alone": {sign(signingKey(1), n)}, "the second person alone": {sign(signingKey(2), n)},
		"a stranger": {sign(stranger, n), sign(signingKey(2), n)}, "of a former policy": {sign(signingKey(1), n-1), sign(signingKey(2), n-1)}} {
		p.Signatures = sigs
		if r := f.apply(p); r.Err == nil || r.Err.Reason != policy.ApprovalRequired {
			t.Errorf("signed by %s: %v", name, r.Err)
		}
	}
	p.Signatures = []policy.Signature{sign(signingKey(1), n), sign(signingKey(2), n)}
	if b := body[Tenant](t, f.must(p)); b.State != policy.TenantPurging || b.Purge.Signers == nil {
		t.Errorf("%+v", b)
	}
}
