package policy

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

const trustCluster = "CL000000000000000000000000000000aa"

var trustTenant = TenantID("TN" + strings.Repeat("1", 32))

func trustKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func certifiedKey(by, key ed25519.PrivateKey, purpose KeyPurpose, change ...func(*SigningKey)) SigningKey {
	k := SigningKey{ID: KeyIDOf(publicOf(key)), Purpose: purpose, PublicKey: hex.EncodeToString(publicOf(key))}
	if purpose == ApproverKey {
		k.Principal, k.Entity, k.Boundary = "PR"+strings.Repeat("a", 32), "IE-LTD", "eu"
	}
	for _, c := range change {
		c(&k)
	}
	k.Certificate = Sign(by, k.Statement(trustCluster, trustTenant))
	return k
}

// signedRow is a tenant's row whose policy is signed under a sequence.
func signedRow(t testing.TB, s *Signers, by ed25519.PrivateKey, change ...func(*ResidencyPolicy)) *TenantRow {
	t.Helper()
	p := DefaultPolicy(trustTenant, ireland, "IE-LTD")
	for _, c := range change {
		c(&p)
	}
	hash, err := PolicyHash(&p)
	if err != nil {
		t.Fatal(err)
	}
	p.Signatures = []Signature{Sign(by, PolicyStatement(trustCluster, trustTenant, s.Sequence, hash))}
	return &TenantRow{ID: trustTenant, Slug: "acme", State: TenantActive, Home: "ie1", HomeEpoch: 1, Policy: &p, Signers: s}
}

func wider(p *ResidencyPolicy) {
	p.Classes[CallRecord] = ClassRule{Mode: Restricted}
}

func TestRowsOfTenantsThatSign(t *testing.T) {
	root, tenant, next, person, rogue := trustKey(1), trustKey(2), trustKey(3), trustKey(4), trustKey(5)
	first := certifiedKey(root, tenant, TenantKey)
	second := certifiedKey(tenant, next, TenantKey)
	approver := certifiedKey(root, person, ApproverKey)
	signers := func(sequence uint64, keys ...SigningKey) *Signers { return &Signers{Sequence: sequence, Tenant: keys} }
	with := func(row *TenantRow, change func(*TenantRow)) *TenantRow { change(row); return row }
	old := signedRow(t, signers(5, first), tenant)
	unsigned := with(signedRow(t, signers(5, first), tenant), func(r *TenantRow) { r.Signers, r.Policy.Signatures = nil, nil })

	for name, c := range map[string]struct {
		old, row *TenantRow
		want     string // part of the error; "" accepted
	}{
		"a tenant that trusts the control plane": {nil, unsigned, ""},
		"it goes":                                {unsigned, nil, ""},
		"first seen":                             {nil, old, ""},
		"enrolled now":                           {unsigned, old, ""},
		"the same":                               {old, signedRow(t, signers(5, first), tenant), ""},
		"the next policy":                        {old, signedRow(t, signers(6, first), tenant, wider), ""},
		"a successor":                            {old, signedRow(t, signers(6, first, second), next), ""},
		"an approver":                            {old, signedRow(t, &Signers{Sequence: 5, Tenant: []SigningKey{first}, Approvers: []SigningKey{approver}}, tenant), ""},
		"a successor of the root":                {old, signedRow(t, signers(6, first, certifiedKey(root, next, TenantKey)), next), ""},
		"it lives elsewhere":                     {nil, with(signedRow(t, signers(5, first), tenant), func(r *TenantRow) { r.Home, r.Policy = "us1", nil }), ""},
		"left out":                               {old, nil, "left out"},
		"keys left out":                          {old, unsigned, "keys were left out"},
		"widened, old signature":                 {old, with(signedRow(t, signers(5, first), tenant), func(r *TenantRow) { wider(r.Policy) }), "not signed"},
		"widened, no signature":                  {old, with(signedRow(t, signers(6, first), tenant, wider), func(r *TenantRow) { r.Policy.Signatures = nil }), "not signed"},
		"widened, a rogue's signature":           {old, signedRow(t, signers(6, first), rogue, wider), "not signed"},
		"a rogue succeeds":                       {old, signedRow(t, signers(6, first, certifiedKey(rogue, rogue, TenantKey)), rogue, wider), "neither the root's"},
		"a rogue instead":                        {old, signedRow(t, signers(6, certifiedKey(rogue, rogue, TenantKey)), rogue, wider), "neither the root's"},
		"another chain of the root":              {old, signedRow(t, signers(6, certifiedKey(root, next, TenantKey)), next), "missing or changed"},
		"a shorter chain":                        {signedRow(t, signers(6, first, second), next), signedRow(t, signers(7, first), tenant), "missing or changed"},
		"a former key signs":                     {signedRow(t, signers(6, first, second), next), signedRow(t, signers(7, first, second), tenant, wider), "not signed"},
		"an approver is dropped":                 {signedRow(t, &Signers{Sequence: 5, Tenant: []SigningKey{first}, Approvers: []SigningKey{approver}}, tenant), old, "missing or changed"},
		"an approver signs alone":                {old, signedRow(t, &Signers{Sequence: 6, Tenant: []SigningKey{first}, Approvers: []SigningKey{approver}}, person, wider), "not signed"},
		"an earlier one comes back":              {old, signedRow(t, signers(4, first), tenant, wider), "below"},
		"another one of this sequence":           {old, signedRow(t, signers(5, first), tenant, wider), "one sequence"},
		"moved":                                  {old, with(signedRow(t, signers(6, first), tenant), func(r *TenantRow) { r.Home, r.Policy = "us1", nil }), "home changed"},
		"moved by the epoch":                     {old, with(signedRow(t, signers(6, first), tenant), func(r *TenantRow) { r.HomeEpoch = 2 }), "home changed"},
		"no tenant's key":                        {old, with(signedRow(t, signers(6, first), tenant), func(r *TenantRow) { r.Signers = &Signers{} }), "0 tenant keys"},
		"an approver among the tenants":          {nil, signedRow(t, signers(5, approver), person), "wrong list"},
		"a key twice":                            {nil, signedRow(t, signers(5, first, first), tenant), "twice"},
		"a certificate of another tenant": {nil, signedRow(t, signers(5, with2(first, func(k *SigningKey) {
			k.Certificate = Sign(root, k.Statement(trustCluster, "TN"+TenantID(strings.Repeat("2", 32))))
		})), tenant), "neither the root's"},
		"a certificate of another cluster": {nil, signedRow(t, signers(5, with2(first, func(k *SigningKey) { k.Certificate = Sign(root, k.Statement("CL", trustTenant)) })), tenant), "neither the root's"},
		"a key that is none":               {nil, signedRow(t, signers(5, with2(first, func(k *SigningKey) { k.PublicKey = "ab" })), tenant), "not 32 bytes"},
		"a key under another id":           {nil, signedRow(t, signers(5, with2(first, func(k *SigningKey) { k.ID = "ab" })), tenant), "id is not"},
		"a purpose that is none":           {nil, signedRow(t, signers(5, certifiedKey(root, tenant, "any")), tenant), "purpose"},
		"a tenant's key with a principal":  {nil, signedRow(t, signers(5, certifiedKey(root, tenant, TenantKey, func(k *SigningKey) { k.Principal = "PR" })), tenant), "names no principal"},
		"an approver without one": {nil, signedRow(t, &Signers{Sequence: 5, Tenant: []SigningKey{first},
			Approvers: []SigningKey{certifiedKey(root, person, ApproverKey, func(k *SigningKey) { k.Principal = "" })}}, tenant), "names a principal"},
	} {
		t.Run(name, func(t *testing.T) {
			err := VerifyRow(trustCluster, publicOf(root), c.old, c.row)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func with2(k SigningKey, change func(*SigningKey)) SigningKey { change(&k); return k }

func TestApproversAreReplacedByPrincipal(t *testing.T) {
	root := trustKey(1)
	former, present := certifiedKey(root, trustKey(4), ApproverKey), certifiedKey(root, trustKey(5), ApproverKey)
	other := certifiedKey(root, trustKey(6), ApproverKey, func(k *SigningKey) { k.Principal = "PR" + strings.Repeat("b", 32) })
	s := &Signers{Approvers: []SigningKey{former, other, present}}
	for k, want := range map[string]bool{former.ID: false, present.ID: true, other.ID: true, "": false} {
		if _, got := s.Approver(k); got != want {
			t.Errorf("key %s counts %t, want %t", k, got, want)
		}
	}
	var none *Signers
	if _, ok := none.Approver(former.ID); ok {
		t.Error("nobody has an approver")
	}
	if _, ok := none.Head(); ok {
		t.Error("nobody has a head")
	}
}

func TestVerifyPolicyNeedsUsableKeys(t *testing.T) {
	p := DefaultPolicy(trustTenant, ireland, "IE-LTD")
	bad := p
	bad.Classes = map[DataClass]ClassRule{0: {}} // has no canonical form
	good := &Signers{Tenant: []SigningKey{certifiedKey(trustKey(1), trustKey(2), TenantKey)}}
	for name, err := range map[string]error{
		"no key":       (&Signers{}).VerifyPolicy(trustCluster, &p),
		"a broken key": (&Signers{Tenant: []SigningKey{{ID: "x"}}}).VerifyPolicy(trustCluster, &p),
		"no form":      good.VerifyPolicy(trustCluster, &bad),
	} {
		if err == nil {
			t.Errorf("%s: a policy passed", name)
		}
	}
	if err := unchanged(&TenantRow{Policy: &bad, Signers: good}, &TenantRow{Policy: &p, Signers: good}); err == nil {
		t.Error("a policy without a canonical form passed as the same")
	}
}

func TestNewSigningKey(t *testing.T) {
	want := certifiedKey(trustKey(1), trustKey(2), TenantKey)
	got, err := NewSigningKey(TenantKey, want.PublicKey)
	got.Certificate = want.Certificate
	if err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{"", "zz", "abcd"} {
		if _, err := NewSigningKey(TenantKey, bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func withdrawal(by ed25519.PrivateKey, k SigningKey) Withdrawal {
	w := Withdrawal{Key: k.ID}
	w.Signature = Sign(by, w.Statement(trustCluster, trustTenant))
	return w
}

// A withdrawal is the root's or the tenant's word, stays, and brings nobody back.
func TestApproversAreWithdrawn(t *testing.T) {
	root, tenant, person, second := trustKey(1), trustKey(2), trustKey(4), trustKey(6)
	first, next := certifiedKey(root, tenant, TenantKey), certifiedKey(tenant, trustKey(3), TenantKey)
	former, present := certifiedKey(root, trustKey(5), ApproverKey), certifiedKey(root, person, ApproverKey)
	other := certifiedKey(root, second, ApproverKey, func(k *SigningKey) { k.Principal = "PR" + strings.Repeat("b", 32) })
	s := func(w ...Withdrawal) *Signers {
		return &Signers{Sequence: 5, Tenant: []SigningKey{first, next}, Approvers: []SigningKey{former, present, other}, Withdrawn: w}
	}
	gone := s(withdrawal(tenant, present))
	for k, want := range map[string]bool{former.ID: false, present.ID: false, other.ID: true} {
		if _, got := gone.Approver(k); got != want {
			t.Errorf("key %s counts %t, want %t", k, got, want)
		}
	}
	again := *gone
	again.Approvers = append(slices.Clone(gone.Approvers), certifiedKey(root, trustKey(8), ApproverKey))
	if _, ok := again.Approver(again.Approvers[3].ID); !ok || again.Verify(trustCluster, trustTenant, publicOf(root)) != nil {
		t.Error("the person cannot come back with another key")
	}
	row := func(s *Signers) *TenantRow { return signedRow(t, s, trustKey(3)) }
	elsewhere := Withdrawal{Key: present.ID, Signature: Sign(root, Withdrawal{Key: present.ID}.Statement(trustCluster, "TN"+TenantID(strings.Repeat("2", 32))))}
	for name, c := range map[string]struct {
		old, row *Signers
		want     string
	}{
		"by the root":               {s(), s(withdrawal(root, present)), ""},
		"by the tenant":             {s(), s(withdrawal(trustKey(3), present)), ""},
		"by its former key":         {s(), gone, ""}, // the node may have been away when it was the present one
		"another is":                {gone, s(gone.Withdrawn[0], withdrawal(root, other)), ""},
		"by an approver":            {s(), s(withdrawal(second, present)), "neither the root's"},
		"by itself":                 {s(), s(withdrawal(person, present)), "neither the root's"},
		"for another tenant":        {s(), s(elsewhere), "neither the root's"},
		"of another, same words":    {s(), s(Withdrawal{Key: other.ID, Signature: gone.Withdrawn[0].Signature}), "neither the root's"},
		"without a signature":       {s(), s(Withdrawal{Key: present.ID}), "neither the root's"},
		"of a tenant's key":         {s(), s(withdrawal(root, first)), "no approver's"},
		"twice":                     {s(), s(gone.Withdrawn[0], gone.Withdrawn[0]), "twice"},
		"taken back":                {gone, s(), "withdrawal of an approver is missing"},
		"another in its place":      {gone, s(withdrawal(root, other)), "withdrawal of an approver is missing"},
		"in another order":          {s(gone.Withdrawn[0], withdrawal(root, other)), s(withdrawal(root, other), gone.Withdrawn[0]), ""},
		"signed anew":               {gone, s(withdrawal(root, present)), ""},
		"one of two taken back":     {s(gone.Withdrawn[0], withdrawal(root, other)), s(withdrawal(root, other)), "withdrawal of an approver is missing"},
		"taken back with the keys":  {gone, &Signers{Sequence: 5, Tenant: gone.Tenant}, "key is missing"},
		"the first that is noticed": {nil, s(Withdrawal{Key: "x"}), "no approver's"},
	} {
		var old *TenantRow
		if c.old != nil {
			old = row(c.old)
		}
		err := VerifyRow(trustCluster, publicOf(root), old, row(c.row))
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	var none *Signers
	for id, want := range map[string]bool{former.ID: true, present.ID: false, other.ID: true, first.ID: false} {
		if gone.Withdrawable(id) != want || none.Withdrawable(id) {
			t.Errorf("key %s: want %t", id, want)
		}
	}
	if none.Withdrew(present.ID) {
		t.Error("nobody has withdrawn anybody")
	}
	order := []Signature{Sign(trustKey(3), PurgeStatement(trustCluster, trustTenant, 5)), Sign(person, PurgeStatement(trustCluster, trustTenant, 5))}
	if s().VerifyPurge(trustCluster, trustTenant, order) != nil || gone.VerifyPurge(trustCluster, trustTenant, order) == nil {
		t.Error("the withdrawn approver's word ends the tenant, or counted never")
	}
}

// A restored control plane enrols again what it has forgotten, as it can: nodes ask
// that everybody is there, and that nobody who was replaced counts again.
func TestApproversAreHeldInAnyOrder(t *testing.T) {
	root, tenant := trustKey(1), trustKey(2)
	person := func(n byte, principal string) SigningKey {
		return certifiedKey(root, trustKey(n), ApproverKey, func(k *SigningKey) { k.Principal = "PR" + strings.Repeat(principal, 32) })
	}
	former, present, other, fresh := person(4, "a"), person(5, "a"), person(6, "b"), person(7, "a")
	s := func(withdrawn []SigningKey, approvers ...SigningKey) *Signers {
		out := &Signers{Sequence: 5, Tenant: []SigningKey{certifiedKey(root, tenant, TenantKey)}, Approvers: approvers}
		for _, k := range withdrawn {
			out.Withdrawn = append(out.Withdrawn, withdrawal(tenant, k))
		}
		return out
	}
	had := s(nil, former, present, other)
	moved := other
	moved.Boundary = "us"
	moved.Certificate = Sign(root, moved.Statement(trustCluster, trustTenant))
	for name, c := range map[string]struct {
		old, new *Signers
		want     string
	}{
		"persons in another order":        {had, s(nil, other, former, present), ""},
		"a new one between":               {had, s(nil, former, fresh, present, other), ""},
		"the former key counts again":     {had, s(nil, present, former, other), "replaced counts again"},
		"it stands last, withdrawn":       {had, s([]SigningKey{former}, present, former, other), ""},
		"and stays so":                    {s([]SigningKey{former}, present, former, other), had, "replaced counts again"},
		"with a new key after it":         {had, s([]SigningKey{former}, present, former, other, fresh), ""},
		"one is missing":                  {had, s(nil, former, present), "key is missing"},
		"one works elsewhere":             {had, s(nil, former, present, moved), "missing or changed"},
		"one in another's place":          {had, s(nil, former, present, fresh), "missing or changed"},
		"withdrawn, without its approver": {s([]SigningKey{other}, other), s(nil), "key is missing"},
	} {
		err := VerifyRow(trustCluster, publicOf(root), signedRow(t, c.old, tenant), signedRow(t, c.new, tenant))
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		for _, k := range c.old.Approvers {
			_, did := c.old.Approver(k.ID)
			if _, does := c.new.Approver(k.ID); err == nil && does && !did {
				t.Errorf("%s: a key that did not count counts", name)
			}
		}
	}
}

// The signed bytes are frozen: signatures given today must verify tomorrow.
func TestStatementsAreFrozen(t *testing.T) {
	key := certifiedKey(trustKey(1), trustKey(4), ApproverKey)
	got := string(key.Statement(trustCluster, trustTenant))
	want := "domicile signing key v1\n" + trustCluster + "\n" + string(trustTenant) + "\napprover\nPR" + strings.Repeat("a", 32) + "\nIE-LTD\neu\n" + key.PublicKey + "\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = string(PolicyStatement(trustCluster, trustTenant, 7, [32]byte(slices.Repeat([]byte{0xab}, 32))))
	if want := "domicile policy signature v1\n" + trustCluster + "\n" + string(trustTenant) + "\n7\n" + strings.Repeat("ab", 32) + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = string(Withdrawal{Key: "k1"}.Statement(trustCluster, trustTenant))
	if want := "domicile approver withdrawal v1\n" + trustCluster + "\n" + string(trustTenant) + "\nk1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A certificate can be written in several ways, and all of them verify. A voter that
// was taken over and sent another way of writing keeps no node, and nobody who signs,
// from the honest row for good.
func TestAnotherWayToWriteACertificateIsNoOtherKey(t *testing.T) {
	root, tenant, next, person := trustKey(1), trustKey(2), trustKey(3), trustKey(4)
	first, approver := certifiedKey(root, tenant, TenantKey), certifiedKey(root, person, ApproverKey)
	broken := func(k SigningKey) SigningKey { k.Certificate.Value += "\n"; return k } // which base64 skips
	row := func(n uint64, first, approver SigningKey) *TenantRow {
		return signedRow(t, &Signers{Sequence: n, Tenant: []SigningKey{first}, Approvers: []SigningKey{approver}}, tenant)
	}
	sent := row(5, broken(first), broken(approver))
	if err := VerifyRow(trustCluster, publicOf(root), row(5, first, approver), sent); err != nil {
		t.Fatalf("the test's other way to write it does not verify: %v", err)
	}
	if err := VerifyRow(trustCluster, publicOf(root), sent, row(6, first, approver)); err != nil {
		t.Errorf("the honest row after it: %v", err)
	}
	chain := func(by ed25519.PrivateKey) *TenantRow {
		return signedRow(t, &Signers{Sequence: 5, Tenant: []SigningKey{first, certifiedKey(by, next, TenantKey)}}, next)
	}
	if err := VerifyRow(trustCluster, publicOf(root), chain(tenant), chain(root)); err != nil {
		t.Errorf("the same successor, certified by the root: %v", err)
	}
}
