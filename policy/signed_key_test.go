package policy

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func apiKeyN(n string, role KeyRole) APIKey {
	return APIKey{ID: KeyID("SK" + strings.Repeat(n, 32)), Tenant: trustTenant, Region: "ie1", Role: role, SecretSHA256: strings.Repeat(n, 64), HomeEpoch: 1}
}

// signedKey is k as its tenant signs it.
func signedKey(by ed25519.PrivateKey, number uint64, k APIKey) APIKey {
	k.Number, k.Signature = number, Sign(by, KeyStatement(trustCluster, trustTenant, number, k.Digest())).Value
	return k
}

func markOf(by ed25519.PrivateKey, number uint64, digest string) *KeyMark {
	return &KeyMark{Number: number, Digest: digest, Signature: Sign(by, KeyStatement(trustCluster, trustTenant, number, digest)).Value}
}

// Whatever a bundle says, no API key above ingest works that the tenant's present
// key did not sign, and none that was revoked comes back.
func TestKeysOfTenantsThatSign(t *testing.T) {
	root, tenant, next, rogue := trustKey(1), trustKey(2), trustKey(3), trustKey(5)
	first, second := certifiedKey(root, tenant, TenantKey), certifiedKey(tenant, next, TenantKey)
	ingest, reader, admin := apiKeyN("1", RoleIngest), apiKeyN("2", RoleReader), apiKeyN("3", RoleAdmin)
	row := func(mark *KeyMark, keys ...APIKey) *TenantRow {
		r := signedRow(t, &Signers{Sequence: 5, Tenant: []SigningKey{first}, Keys: mark}, tenant)
		r.Keys = keys
		return r
	}
	succeeded := func(mark *KeyMark, keys ...APIKey) *TenantRow {
		r := signedRow(t, &Signers{Sequence: 6, Tenant: []SigningKey{first, second}, Keys: mark}, next)
		r.Keys = keys
		return r
	}
	change := func(k APIKey, f func(*APIKey)) APIKey { f(&k); return k }
	a4, b5, mark := signedKey(tenant, 4, reader), signedKey(tenant, 5, admin), markOf(tenant, 5, admin.Digest())
	old := row(mark, ingest, a4)
	for name, c := range map[string]struct {
		old, row *TenantRow
		want     string
	}{
		"at first sight":                    {nil, row(mark, ingest, a4, b5), ""},
		"at first sight, none":              {nil, row(markOf(tenant, 1, NoKey), ingest), ""},
		"what was there":                    {old, old, ""},
		"one is issued, not signed yet":     {old, row(mark, ingest, a4, admin), ""},
		"and signed":                        {row(mark, a4, admin), row(markOf(tenant, 6, admin.Digest()), a4, signedKey(tenant, 6, admin)), ""},
		"one is revoked":                    {old, row(mark, ingest), ""},
		"the first is signed":               {row(nil, reader), row(markOf(tenant, 1, reader.Digest()), signedKey(tenant, 1, reader)), ""},
		"nobody signs keys":                 {row(nil, reader), row(nil, reader, admin), ""},
		"a successor signs them again":      {old, succeeded(markOf(next, 6, reader.Digest()), signedKey(next, 6, reader)), ""},
		"ingest keys say what they like":    {old, row(mark, signedKey(rogue, 9, ingest), a4), ""},
		"a stranger's":                      {old, row(mark, a4, signedKey(rogue, 9, admin)), "not signed by the tenant's present key"},
		"wider":                             {old, row(mark, change(a4, func(k *APIKey) { k.Role = RoleAdmin })), "not signed"},
		"another secret":                    {old, row(mark, change(a4, func(k *APIKey) { k.SecretSHA256 = strings.Repeat("9", 64) })), "not signed"},
		"longer":                            {old, row(mark, change(a4, func(k *APIKey) { k.ExpiresAt = new(time.Time) })), "not signed"},
		"with a new number":                 {old, row(mark, change(a4, func(k *APIKey) { k.Number = 9 })), "not signed"},
		"revoked, and back":                 {old, row(mark, ingest, a4, b5), "revoked came back"},
		"revoked, and back at first sight":  {row(nil), row(mark, b5), ""}, // it is the tenant's own word, and all that there is to go by
		"a former key's":                    {old, succeeded(markOf(next, 6, reader.Digest()), a4), "not signed"},
		"a former key's mark":               {old, succeeded(mark, signedKey(next, 6, reader)), "not signed"},
		"keys are not signed any more":      {old, row(nil, ingest, reader, admin), "signs its API keys is missing"},
		"the number goes back":              {old, row(markOf(tenant, 4, reader.Digest()), a4), "of before"},
		"a number that nobody signed":       {old, row(&KeyMark{Number: 1 << 60, Digest: mark.Digest, Signature: mark.Signature}, a4), "not signed"},
		"at first sight, a stranger's":      {nil, row(mark, signedKey(rogue, 5, admin)), "not signed"},
		"at first sight, a stranger's mark": {nil, row(markOf(rogue, 5, NoKey)), "not signed"},
		"a number without a signature":      {row(mark, a4, change(admin, func(k *APIKey) { k.Number = 1 << 60 })), row(markOf(tenant, 6, admin.Digest()), a4, signedKey(tenant, 6, admin)), ""},
	} {
		err := VerifyRow(trustCluster, publicOf(root), c.old, c.row)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if got := old.Signers.Counting([]APIKey{ingest, a4, admin}); !slices.Equal(got, []APIKey{ingest, a4}) {
		t.Errorf("counting: %v", got)
	}
	var none *Signers
	if got := none.Counting([]APIKey{admin}); len(got) != 1 || none.Newest([]APIKey{a4, b5}) != 5 || old.Signers.Newest(nil) != 5 {
		t.Errorf("without a mark: %v", got)
	}
}

// What a restored control plane lists goes on as it was, and nothing else does.
func TestKeysThatARestoredControlPlaneLists(t *testing.T) {
	root, tenant := trustKey(1), trustKey(2)
	s := &Signers{Sequence: 5, Tenant: []SigningKey{certifiedKey(root, tenant, TenantKey)}, Keys: markOf(tenant, 5, NoKey)}
	ingest, reader, admin := apiKeyN("1", RoleIngest), apiKeyN("2", RoleReader), apiKeyN("3", RoleAdmin)
	had := signedKey(tenant, 4, reader)
	for name, c := range map[string]struct{ listed, want APIKey }{
		"its signature is forgotten": {reader, had},
		"it is wider":                {func() APIKey { k := reader; k.Role = RoleAdmin; return k }(), had},
		"ingest":                     {ingest, ingest},
		"not signed yet":             {admin, admin},
		"signed since":               {signedKey(tenant, 6, admin), signedKey(tenant, 6, admin)},
		"revoked":                    {signedKey(tenant, 5, admin), admin},
		"a stranger's":               {signedKey(trustKey(9), 6, admin), admin},
	} {
		if got := s.Keep(trustCluster, []APIKey{had, ingest}, []APIKey{c.listed}); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := (&Signers{}).Keep(trustCluster, nil, []APIKey{admin}); len(got) != 1 {
		t.Errorf("of a tenant that does not sign keys: %v", got)
	}
}

// The signed bytes are frozen: signatures given today must verify tomorrow.
func TestKeyStatementIsFrozen(t *testing.T) {
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.FixedZone("elsewhere", 3600))
	k := APIKey{ID: "SK1", Tenant: "TN1", Region: "ie1", Role: RoleRecipient, SecretSHA256: "ab", HomeEpoch: 2, Recipient: "RP1", ExpiresAt: &at, Epoch: 3}
	const want = "89a6a2d6449fecf92b0de67022f3da3a87efdd626761c7bd9819666bd15fd672"
	if got := k.Digest(); got != want {
		t.Errorf("digest %s, want %s: SHA-256 of SK1 TN1 ie1 recipient ab 2 RP1 2027-01-02T02:04:05Z 3, one a line", got, want)
	}
	if got, want := string(KeyStatement(trustCluster, trustTenant, 7, "cd")), "domicile api key v1\n"+trustCluster+"\n"+string(trustTenant)+"\n7\ncd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// BenchmarkVerifyKeys verifies a row's thousand signed keys, as a node does with each
// change of the row.
func BenchmarkVerifyKeys(b *testing.B) {
	root, tenant := trustKey(1), trustKey(2)
	s := &Signers{Sequence: 1, Tenant: []SigningKey{certifiedKey(root, tenant, TenantKey)}, Keys: markOf(tenant, 1, NoKey)}
	keys := make([]APIKey, 1000)
	for i := range keys {
		k := apiKeyN("2", RoleReader)
		k.ID = KeyID(fmt.Sprintf("SK%032x", i))
		keys[i] = signedKey(tenant, 2, k)
	}
	for b.Loop() {
		if err := s.VerifyKeys(trustCluster, keys, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}
