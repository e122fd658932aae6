package policy

import (
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"
)

// enrolled makes signers of a tenant's key and an approver's.
func enrolledSigners(t *testing.T) (s *Signers, root ed25519.PublicKey, tenant, approver ed25519.PrivateKey) {
	t.Helper()
	root, rootKey, _ := ed25519.GenerateKey(nil)
	certified := func(purpose KeyPurpose) (SigningKey, ed25519.PrivateKey) {
		public, private, _ := ed25519.GenerateKey(nil)
		k, err := NewSigningKey(purpose, hex.EncodeToString(public))
		if err != nil {
			t.Fatal(err)
		}
		if purpose == ApproverKey {
			k.Principal, k.Entity, k.Boundary = "PR"+strings.Repeat("0", 32), "DOM-IE", "eu"
		}
		k.Certificate = Sign(rootKey, k.Statement(testCluster, tenantN(1)))
		return k, private
	}
	s = &Signers{Sequence: 4}
	own, tenant := certified(TenantKey)
	second, approver := certified(ApproverKey)
	s.Tenant, s.Approvers = []SigningKey{own}, []SigningKey{second}
	return s, root, tenant, approver
}

func TestEndOfASigningTenantIsVerified(t *testing.T) {
	s, root, tenant, approver := enrolledSigners(t)
	_, stranger, _ := ed25519.GenerateKey(nil)
	sign := func(sequence uint64, keys ...ed25519.PrivateKey) (out []Signature) {
		for _, k := range keys {
			out = append(out, Sign(k, PurgeStatement(testCluster, tenantN(1), sequence)))
		}
		return out
	}
	row := func(state TenantState, o *PurgeOrder) *TenantRow {
		return &TenantRow{ID: tenantN(1), State: state, Home: "ie1", HomeEpoch: 1, Signers: s, Purge: o}
	}
	both := &PurgeOrder{ID: "OP1", Signatures: sign(4, tenant, approver)}
	for name, c := range map[string]struct {
		old, row *TenantRow
		ok       bool
	}{
		"alive":                       {nil, row(TenantActive, nil), true},
		"suspended":                   {nil, row(TenantSuspended, nil), true},
		"signed by both":              {nil, row(TenantPurging, both), true},
		"deleted, signed by both":     {row(TenantPurging, both), row(TenantDeleted, both), true},
		"the tenant alone":            {nil, row(TenantPurging, &PurgeOrder{Signatures: sign(4, tenant)}), false},
		"the tenant and a stranger":   {nil, row(TenantPurging, &PurgeOrder{Signatures: sign(4, tenant, stranger)}), false},
		"the approver alone":          {nil, row(TenantPurging, &PurgeOrder{Signatures: sign(4, approver)}), false},
		"under a former policy":       {nil, row(TenantPurging, &PurgeOrder{Signatures: sign(3, tenant, approver)}), false},
		"no order":                    {nil, row(TenantPurging, nil), false},
		"an order that ends nothing":  {nil, row(TenantActive, both), false},
		"back from the dead":          {row(TenantDeleted, both), row(TenantActive, nil), false},
		"the same, and it was signed": {row(TenantActive, nil), row(TenantPurging, both), true},
	} {
		if err := VerifyRow(testCluster, root, c.old, c.row); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := PurgeReceipt{Order: "OP1", Tenant: tenantN(1), Calls: 3, Time: testNow}
	if b, err := r.Statement(); err != nil || !strings.HasPrefix(string(b), "domicile purge receipt v1\n{") {
		t.Errorf("%s, %v", b, err)
	}
	r.Time = r.Time.AddDate(9000, 0, 0) // no year that JSON can write
	if _, err := r.Statement(); err == nil {
		t.Error("a receipt that cannot be written has a statement")
	}
}

func TestFeaturesOfClassesAndRegions(t *testing.T) {
	p := DefaultPolicy(tenantN(1), ireland, "DOM-IE")
	if len(p.Opens()) != 0 || !p.Uses(Messaging) || p.Uses("") || p.Uses(StirShaken) {
		t.Error("a new tenant opens nothing, and has a rule for every class")
	}
	p.Classes[Transcript], p.Classes[Derived] = ClassRule{Mode: Restricted}, ClassRule{Mode: Restricted}
	if f := p.Opens(); len(f) != 1 || f[0] != TranscriptFeature {
		t.Errorf("opens %v", f)
	}
	if FeatureOf(CallRecord) != Voice || FeatureOf(Consent) != "" || FeatureOf(0) != "" {
		t.Error("features of classes")
	}
	var unsaid *RegionFeatures
	said := &RegionFeatures{Region: "ie1", Stages: map[Feature]Stage{Voice: StagePilot, Messaging: StageNone}}
	if !unsaid.Has(Voice) || !said.Has(Voice) || !said.Has("") || said.Has(Messaging) || said.Has(StirShaken) {
		t.Error("what a region has")
	}
	if !StageBeta.Valid() || Stage("soon").Valid() || !TenantPurged.Ends() || TenantSuspended.Ends() {
		t.Error("closed lists")
	}
	for want, row := range map[string]Row{"f/ie1": {Features: said}, "b/SCC": {Basis: &TransferBasis{ID: "SCC"}}, "": {}} {
		if row.RowKey() != want {
			t.Errorf("row key %q, want %q", row.RowKey(), want)
		}
	}
}
