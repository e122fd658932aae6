package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Every refusal: the command, its reason, and that nothing at all changed.
func TestRefusalsLeaveNoEffect(t *testing.T) {
	f := seeded(t)
	ie, us := f.tenant(1, "ie1"), f.tenant(2, "us1")
	key := body[Key](t, f.must(CreateKey{Key: apiKey(1, ie.ID, "ie1", policy.RoleIngest)}))
	pol, region := got(f.Policy(ie.ID))(t), got(f.Region("ie1"))(t)
	loose := loosened(pol.ResidencyPolicy)
	change := body[Change](t, f.must(addChange(1, pol, loose)))
	f.must(RejectChange{ID: change.ID})
	rejected := change

	with := func(edit func(*CreateTenant)) CreateTenant {
		p := createTenant(9, "ie1")
		edit(&p)
		return p
	}
	withKey := func(edit func(*policy.APIKey)) CreateKey {
		k := apiKey(9, ie.ID, "ie1", policy.RoleReader)
		edit(&k)
		return CreateKey{Key: k}
	}
	withRegion := func(ifMatch string, edit func(*policy.Region)) PutRegion {
		r := region.Region
		edit(&r)
		return PutRegion{Region: r, IfMatch: ifMatch}
	}
	withPolicy := func(ifMatch string, edit func(*policy.ResidencyPolicy)) PutPolicy {
		p := clone(pol.ResidencyPolicy)
		edit(&p)
		return PutPolicy{Tenant: ie.ID, IfMatch: ifMatch, Policy: p}
	}
	none := id[policy.TenantID](policy.KindTenant, 404)
	cases := []struct {
		name string
		p    Payload
		want policy.Reason
	}{
		{"second init", seed(), policy.AlreadyExists},
		{"no region", with(func(p *CreateTenant) { p.Home = "" }), policy.RegionRequired},
		{"unknown region", with(func(p *CreateTenant) { p.Home = "zz9" }), policy.InvalidArgument},
		{"planned region", with(func(p *CreateTenant) { p.Home = "de1" }), policy.InvalidArgument},
		{"slug taken", with(func(p *CreateTenant) { p.Slug = ie.Slug }), policy.AlreadyExists},
		{"slug is a phone number", with(func(p *CreateTenant) { p.Slug = "a-0861-234-567" }), policy.InvalidArgument},
		{"id taken", with(func(p *CreateTenant) { p.ID = ie.ID }), policy.AlreadyExists},
		{"malformed id", with(func(p *CreateTenant) { p.ID = "TN1" }), policy.InvalidArgument},
		{"no entity", with(func(p *CreateTenant) { p.BillingCountry = "XX" }), policy.InvalidArgument},
		{"invalid first policy", with(func(p *CreateTenant) { p.Policy = exporting(f, "ie1"); p.Policy.MaxStaleness = -1 }), policy.InvalidArgument},
		{"update of none", UpdateTenant{ID: none, IfMatch: "1", BillingCountry: "IE"}, policy.NotFound},
		{"update without etag", UpdateTenant{ID: ie.ID, BillingCountry: "FR"}, policy.IfMatchRequired},
		{"update with old etag", UpdateTenant{ID: ie.ID, IfMatch: "ffff", BillingCountry: "FR"}, policy.ETagMismatch},
		{"update to no entity", UpdateTenant{ID: ie.ID, IfMatch: ie.ETag, BillingCountry: "XX"}, policy.InvalidArgument},
		{"policy of none", PutPolicy{Tenant: none, IfMatch: "1", Policy: pol.ResidencyPolicy}, policy.NotFound},
		{"policy without etag", withPolicy("", func(*policy.ResidencyPolicy) {}), policy.IfMatchRequired},
		{"policy with old etag", withPolicy("ffff", func(*policy.ResidencyPolicy) {}), policy.ETagMismatch},
		{"policy of another home", withPolicy(pol.ETag, func(p *policy.ResidencyPolicy) { p.HomeRegion = "us1" }), policy.RegionImmutable},
		{"policy that loosens", PutPolicy{Tenant: ie.ID, IfMatch: pol.ETag, Policy: loose}, policy.LooseningNeedsApproval},
		{"policy that is invalid", withPolicy(pol.ETag, func(p *policy.ResidencyPolicy) { p.MaxStaleness = -1 }), policy.LooseningNeedsApproval},
		{"change of another hash", AddChange{ID: id[string](policy.KindChange, 9), Tenant: ie.ID, IfMatch: pol.ETag, Hash: hexHash("x"), Proposed: loose}, policy.InvalidArgument},
		{"change that tightens", addChange(9, pol, tightened(pol.ResidencyPolicy)), policy.InvalidArgument},
		{"change against an old policy", func() Payload { p := addChange(9, pol, loose); p.IfMatch = "ffff"; return p }(), policy.ETagMismatch},
		{"change id taken", addChange(1, pol, loose), policy.AlreadyExists},
		{"reject of none", RejectChange{ID: id[string](policy.KindChange, 404)}, policy.NotFound},
		{"reject twice", RejectChange{ID: rejected.ID}, policy.AlreadyExists},
		{"reject with old etag", RejectChange{ID: rejected.ID, IfMatch: "ffff"}, policy.ETagMismatch},
		{"key of none", withKey(func(k *policy.APIKey) { k.Tenant = none }), policy.NotFound},
		{"key elsewhere", withKey(func(k *policy.APIKey) { k.Region = "us1" }), policy.ResourceRegionMismatch},
		{"key id taken", withKey(func(k *policy.APIKey) { k.ID = key.ID }), policy.AlreadyExists},
		{"key of no role", withKey(func(k *policy.APIKey) { k.Role = "root" }), policy.InvalidArgument},
		{"key without hash", withKey(func(k *policy.APIKey) { k.SecretSHA256 = "secret" }), policy.InvalidArgument},
		{"malformed key id", withKey(func(k *policy.APIKey) { k.ID = "SK" }), policy.InvalidArgument},
		{"key of no recipient", withKey(func(k *policy.APIKey) { k.Role, k.Recipient = policy.RoleRecipient, recipient(1, "us1").ID }), policy.NotFound},
		{"reader with a recipient", withKey(func(k *policy.APIKey) { k.Recipient = recipient(1, "us1").ID }), policy.InvalidArgument},
		{"delete of no key", DeleteKey{Tenant: ie.ID, ID: "SK9", IfMatch: "1"}, policy.NotFound},
		{"delete of a foreign key", DeleteKey{Tenant: us.ID, ID: key.ID, IfMatch: key.ETag}, policy.NotFound},
		{"delete without etag", DeleteKey{Tenant: ie.ID, ID: key.ID}, policy.IfMatchRequired},
		{"delete with old etag", DeleteKey{Tenant: ie.ID, ID: key.ID, IfMatch: "ffff"}, policy.ETagMismatch},
		{"region without etag", withRegion("", func(r *policy.Region) {}), policy.IfMatchRequired},
		{"region with old etag", withRegion("ffff", func(r *policy.Region) {}), policy.ETagMismatch},
		{"region changes boundary", withRegion(region.ETag, func(r *policy.Region) { r.Boundary = "us" }), policy.InvalidArgument},
		{"region changes country", withRegion(region.ETag, func(r *policy.Region) { r.Country = "FR" }), policy.InvalidArgument},
		{"region goes back", withRegion(region.ETag, func(r *policy.Region) { r.Lifecycle = policy.Planned }), policy.InvalidArgument},
		{"backup in another boundary", withRegion(region.ETag, func(r *policy.Region) { r.BackupRegion = "us1" }), policy.InvalidArgument},
		{"region over http", withRegion(region.ETag, func(r *policy.Region) { r.BaseURL = "http://x" }), policy.InvalidArgument},
		{"new region with etag", withRegion("1", func(r *policy.Region) { r.ID = "fr1" }), policy.ETagMismatch},
		{"token of no tenant", CreateToken{Token: Token{SHA256: hexHash("t"), Principal: id[string](policy.KindPrincipal, 2), Scope: scope("tenant_admin", none)}}, policy.NotFound},
		{"token exists", CreateToken{Token: Token{SHA256: seed().Tokens[0].SHA256, Principal: id[string](policy.KindPrincipal, 2), Scope: scope("operator", "")}}, policy.AlreadyExists},
		{"token of a name", CreateToken{Token: Token{SHA256: hexHash("t"), Principal: "alice", Scope: scope("operator", "")}}, policy.InvalidArgument},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			before, revision := contents(t, f.Store), f.Revision()
			r := f.apply(c.p)
			if r.Err == nil || r.Err.Reason != c.want {
				t.Fatalf("got %v, want %s", r.Err, c.want)
			}
			if f.Revision() != revision || r.Revision != revision {
				t.Errorf("revision %d, result %d, want %d", f.Revision(), r.Revision, revision)
			}
			if contents(t, f.Store) != before {
				t.Error("the refusal left an effect")
			}
		})
	}
}

func loosened(p policy.ResidencyPolicy) policy.ResidencyPolicy {
	p = clone(p)
	p.Egress[policy.CustomerWebhook] = policy.EgressRule{Effect: policy.Allow, Basis: "NONE"}
	return p
}

func tightened(p policy.ResidencyPolicy) policy.ResidencyPolicy {
	p = clone(p)
	p.Egress[policy.Telemetry] = policy.EgressRule{Effect: policy.Deny}
	return p
}

// clone copies the map that the tests edit.
func clone(p policy.ResidencyPolicy) policy.ResidencyPolicy {
	egress := map[policy.EgressClass]policy.EgressRule{}
	for k, v := range p.Egress {
		egress[k] = v
	}
	p.Egress = egress
	return p
}

func addChange(n int, base Policy, proposed policy.ResidencyPolicy) AddChange {
	proposed.Revision = 0
	canonical, err := proposed.Canonical()
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(canonical)
	_, fields := policy.Classify(&base.ResidencyPolicy, &proposed)
	return AddChange{ID: id[string](policy.KindChange, n), Tenant: base.Tenant, IfMatch: base.ETag,
		Hash: hex.EncodeToString(sum[:]), Fields: fields, Proposed: proposed}
}

func TestTenantIsPlacedFromState(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	want := Tenant{ID: tn.ID, Slug: "tenant-1", Home: "ie1", Boundary: "eu", HomeEpoch: 1, BillingCountry: "IE",
		Entity: "DOM-IE", SuggestedRegion: "ie1", State: policy.TenantActive, CreatedAt: f.now, ETag: etagOf(f.Revision())}
	if tn != want || got(f.Tenant(tn.ID))(t) != want || got(f.TenantBySlug("tenant-1"))(t) != want {
		t.Errorf("got %+v, want %+v", tn, want)
	}
	p := got(f.Policy(tn.ID))(t)
	if p.Tenant != tn.ID || p.HomeRegion != "ie1" || p.ContractingEntity != "DOM-IE" || p.Revision != f.Revision() || !p.Recipients.DenyAll {
		t.Errorf("policy %+v", p)
	}
}

func TestRecontractReachesThePolicy(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	got1 := body[Tenant](t, f.must(UpdateTenant{ID: tn.ID, IfMatch: tn.ETag, BillingCountry: "US"}))
	p := got(f.Policy(tn.ID))(t)
	if got1.Entity != "DOM-US" || got1.Home != "ie1" || p.ContractingEntity != "DOM-US" || p.Revision != f.Revision() {
		t.Errorf("tenant %+v, policy of %s at %d", got1, p.ContractingEntity, p.Revision)
	}
	at := f.Revision()
	f.must(UpdateTenant{ID: tn.ID, IfMatch: got1.ETag, BillingCountry: "US"})
	if f.Revision() != at {
		t.Error("a change of nothing took a revision")
	}
}

func TestPolicyTightensAtOnce(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	old := got(f.Policy(tn.ID))(t)
	res := f.must(PutPolicy{Tenant: tn.ID, IfMatch: old.ETag, Policy: tightened(old.ResidencyPolicy)})
	now := got(f.Policy(tn.ID))(t)
	if now.Egress[policy.Telemetry].Effect != policy.Deny || now.Revision != res.Revision || now.ETag == old.ETag || body[Policy](t, res).ETag != now.ETag {
		t.Errorf("policy %+v", now)
	}
	at := f.Revision()
	f.must(PutPolicy{Tenant: tn.ID, IfMatch: now.ETag, Policy: now.ResidencyPolicy})
	if f.Revision() != at {
		t.Error("a change of nothing took a revision")
	}
}

func TestIdenticalChangeIsTheSame(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	p := got(f.Policy(tn.ID))(t)
	first := body[Change](t, f.must(addChange(1, p, loosened(p.ResidencyPolicy))))
	again := body[Change](t, f.must(addChange(2, p, loosened(p.ResidencyPolicy))))
	if again.ID != first.ID || first.State != ChangePending || len(first.Fields) == 0 {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	if list := got(f.Changes("", 10, ChangePending, ""))(t); len(list) != 1 {
		t.Errorf("%d pending changes, want 1", len(list))
	}
	if c := body[Change](t, f.must(RejectChange{ID: first.ID, IfMatch: first.ETag})); c.State != ChangeRejected || c.ETag == first.ETag {
		t.Errorf("rejected %+v", c)
	}
	fresh := body[Change](t, f.must(addChange(3, p, loosened(p.ResidencyPolicy))))
	if fresh.ID == first.ID {
		t.Error("a rejected change came back")
	}
	if now := got(f.Policy(tn.ID))(t); now.ETag != p.ETag {
		t.Error("a pending change touched the policy")
	}
}

func TestKeysAreListedAndRevoked(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	for n := 1; n <= 5; n++ {
		f.must(CreateKey{Key: apiKey(n, tn.ID, "ie1", policy.RoleReader)})
	}
	page := got(f.Keys(tn.ID, id[policy.KeyID](policy.KindKey, 2), 2))(t)
	if len(page) != 2 || page[0].ID != id[policy.KeyID](policy.KindKey, 3) || page[0].HomeEpoch != 1 {
		t.Fatalf("page %+v", page)
	}
	f.must(DeleteKey{Tenant: tn.ID, ID: page[0].ID, IfMatch: page[0].ETag})
	if _, err := f.Key(page[0].ID); !isReason(err, policy.NotFound) {
		t.Errorf("deleted key: %v", err)
	}
	if left := got(f.Keys(tn.ID, "", 10))(t); len(left) != 4 {
		t.Errorf("%d keys left, want 4", len(left))
	}
}

func TestRegionMovesOnInItsLife(t *testing.T) {
	f := seeded(t)
	r := got(f.Region("de1"))(t)
	r.Lifecycle = policy.Active
	f.must(PutRegion{Region: r.Region, IfMatch: r.ETag})
	if now, _ := f.Topology().Region("de1"); now.Lifecycle != policy.Active {
		t.Errorf("topology still has %s", now.Lifecycle)
	}
	f.must(CreateTenant{ID: id[policy.TenantID](policy.KindTenant, 1), Slug: "berlin", Home: "de1", BillingCountry: "IE"})
	add := policy.Region{ID: "fr1", Boundary: "eu", Country: "FR", Cloud: "aws-eu-west-3", BackupRegion: "ie1", Lifecycle: policy.Planned}
	f.must(PutRegion{Region: add})
	if len(got(f.Regions())(t)) != 5 || len(f.Topology().Regions()) != 5 {
		t.Error("the added region is missing")
	}
}

func TestINV31_OneEffectPerIdempotencyKey(t *testing.T) {
	f := seeded(t)
	stamp := Stamp{Now: f.now, Actor: actor, IdempotencyKey: uuid(1), RequestHash: hexHash("request")}
	first := f.applyStamped(stamp, createTenant(1, "ie1"))
	stamp.Now = f.now.Add(23 * time.Hour)
	again := f.applyStamped(stamp, createTenant(2, "ie1")) // a retry draws another id
	if !again.Replayed || again.Revision != first.Revision || string(again.Body) != string(first.Body) || again.Kind != KindCreateTenant {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	other := stamp
	other.RequestHash = hexHash("another request")
	if r := f.applyStamped(other, createTenant(3, "ie1")); r.Err == nil || r.Err.Reason != policy.IdempotencyKeyReused {
		t.Errorf("reuse: %+v", r)
	}
	other.Actor = id[string](policy.KindPrincipal, 99)
	if r := f.applyStamped(other, createTenant(4, "ie1")); r.Err != nil || r.Replayed {
		t.Errorf("the key of another actor: %+v", r)
	}
	stamp.Now = f.now.Add(24 * time.Hour)
	if r := f.applyStamped(stamp, createTenant(5, "ie1")); r.Err != nil || r.Replayed {
		t.Errorf("after 24 h: %+v", r)
	}
}

func TestRefusalDoesNotSpendTheIdempotencyKey(t *testing.T) {
	f := seeded(t)
	f.tenant(1, "ie1")
	stamp := Stamp{Now: f.now, Actor: actor, IdempotencyKey: uuid(1), RequestHash: hexHash("request")}
	p := createTenant(2, "ie1")
	p.Slug = "tenant-1"
	if r := f.applyStamped(stamp, p); r.Err == nil {
		t.Fatal("the taken slug was accepted")
	}
	p.Slug = "tenant-2"
	if r := f.applyStamped(stamp, p); r.Err != nil || r.Replayed {
		t.Errorf("got %+v", r)
	}
}

func TestIdempotencyTableIsPruned(t *testing.T) {
	f := seeded(t)
	for n := 1; n <= 20; n++ {
		f.applyStamped(Stamp{Now: f.now, Actor: actor, IdempotencyKey: uuid(n), RequestHash: hexHash("r")}, createTenant(n, "ie1"))
	}
	f.now = f.now.Add(25 * time.Hour)
	for n := 21; n <= 30; n++ {
		f.tenant(n, "ie1")
	}
	if left := strings.Count(contents(t, f.Store), "\nidempotency/") + strings.Count(contents(t, f.Store), "\nidem_expiry/"); left != 0 {
		t.Errorf("%d expired records left", left)
	}
}

func TestBadStampsAreRefused(t *testing.T) {
	f := seeded(t)
	good := Stamp{Now: f.now, Actor: actor, IdempotencyKey: uuid(1), RequestHash: hexHash("r")}
	for name, edit := range map[string]func(*Stamp){
		"actor is a name":  func(s *Stamp) { s.Actor = "alice" },
		"key is free text": func(s *Stamp) { s.IdempotencyKey = "call mum" },
		"no request hash":  func(s *Stamp) { s.RequestHash = "" },
		"no time":          func(s *Stamp) { s.Now = time.Time{} },
	} {
		s := good
		edit(&s)
		if r := f.applyStamped(s, createTenant(1, "ie1")); r.Err == nil || r.Err.Reason != policy.InvalidArgument {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
