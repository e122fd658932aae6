package bundle

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func TestStateHashIgnoresOrderAndSeesEveryChange(t *testing.T) {
	var a, b State
	a.Put("r/ie1", []byte("1"))
	a.Put("r/us1", []byte("2"))
	b.Put("r/us1", []byte("2"))
	b.Put("r/ie1", []byte("1"))
	if a.Hash() != b.Hash() {
		t.Fatal("order of insertion changed the hash")
	}
	c := a.Clone()
	c.Put("r/ie1", []byte("3"))
	if c.Hash() == a.Hash() {
		t.Fatal("a changed row left the hash as it was")
	}
	c.Put("r/ie1", []byte("1"))
	if c.Hash() != a.Hash() {
		t.Fatal("undoing a change did not restore the hash")
	}
	c.Remove("r/us1")
	if c.Hash() == a.Hash() || c.Len() != 1 || a.Len() != 2 {
		t.Fatal("a removed row left the hash, or the clone shares state")
	}
}

// The order is kept from hash to hash; it must be that of a state made at once.
func TestStateHashOfAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := &State{}, map[string]string{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.StringMatching(`[prt]/[a-d]`).Draw(t, "key")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				s.Remove(key)
				delete(want, key)
			case 1:
				s.Hash()
			case 2:
				before := s
				s = s.Clone()
				before.Put("x/"+key, nil) // must not reach the clone
				before.Hash()
			default:
				body := rapid.StringMatching(`[0-9]`).Draw(t, "body")
				s.Put(key, []byte(body))
				want[key] = body
			}
		}
		var fresh State
		for k, v := range want {
			fresh.Put(k, []byte(v))
		}
		if s.Hash() != fresh.Hash() || s.Len() != len(want) {
			t.Fatalf("the hash depends on history: %v", want)
		}
	})
}

func BenchmarkHashAfterOneChangeOf10000(b *testing.B) {
	var s State
	for i := range 10_000 {
		s.Put(fmt.Sprintf("t/TN%032x", i*7919), []byte{1})
	}
	for i := 0; b.Loop(); i++ {
		s.Put("t/TN00000000000000000000000000000000", []byte{byte(i)})
		s.Hash()
	}
}

func TestDecodeIsStrict(t *testing.T) {
	_, body, err := Encode(policy.Row{Region: &policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Decode(body); err != nil || r.RowKey() != "r/ie1" {
		t.Fatalf("round trip: %v %v", r, err)
	}
	for name, bad := range map[string]string{
		"unknown field":  `{"format":1,"region":{"id":"ie1","owner":"x"}}`,
		"other format":   `{"format":2}`,
		"no kind":        `{"format":1}`,
		"two kinds":      `{"format":1,"region":{"id":"ie1","lifecycle":"active"},"pair":{}}`,
		"trailing":       string(body) + `{}`,
		"a bracket more": string(body) + `}`,
	} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s was decoded", name)
		}
	}
}

func TestVerifyRefusesEveryAlteredField(t *testing.T) {
	const cluster = "CL00000000000000000000000000000000"
	rootPub, root, _ := ed25519.GenerateKey(nil)
	seed := make([]byte, ed25519.SeedSize)
	pub := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	signer, err := NewSigner(cluster, seed, CertifyKey(root, cluster, pub), rootPub)
	if err != nil {
		t.Fatal(err)
	}
	until := time.Unix(2000, 0)
	fresh := func() *controlv1.Push {
		return &controlv1.Push{Revision: 7, FreshUntil: until.Unix(), Seal: signer.Seal("ie1", 7, Hash{1}, until)}
	}
	want := Expect{Cluster: cluster, Region: "ie1", Root: rootPub}
	st, err := Verify(fresh(), want)
	if err != nil || st.Revision != 7 || st.StateHash != (Hash{1}) || !st.FreshUntil.Equal(until) {
		t.Fatalf("a good seal: %+v %v", st, err)
	}
	for name, alter := range map[string]func(*controlv1.Push){
		"revision":    func(p *controlv1.Push) { p.Revision++ },
		"fresh_until": func(p *controlv1.Push) { p.FreshUntil++ },
		"hash":        func(p *controlv1.Push) { p.Seal.StateHash[0]++ },
		"region":      func(p *controlv1.Push) { p.Seal.Region = "us1" },
		"cluster":     func(p *controlv1.Push) { p.Seal.Cluster = "CL1" },
		"format":      func(p *controlv1.Push) { p.Seal.Format = 1 },
		"signature":   func(p *controlv1.Push) { p.Seal.Signature[0] ^= 1 },
		"key":         func(p *controlv1.Push) { p.Seal.Key = append([]byte(nil), rootPub...) },
		"certificate": func(p *controlv1.Push) { p.Seal.KeyCertificate = nil },
		"no seal":     func(p *controlv1.Push) { p.Seal = nil },
	} {
		p := fresh()
		alter(p)
		if _, err := Verify(p, want); err == nil {
			t.Errorf("altered %s was accepted", name)
		}
	}
	want.Region = "us1"
	if _, err := Verify(fresh(), want); err == nil {
		t.Error("TestINV06: another region's seal was accepted")
	}
	if _, err := NewSigner(cluster, seed, CertifyKey(root, "CL1", pub), rootPub); err == nil {
		t.Error("a certificate for another cluster was accepted")
	}
}

// A snapshot's writer and its reader may build a state in any order, remove
// rows, and clone on the way; TestStateHashOfAnyHistory compares. This one
// fixes the form itself, which two programs must agree on.
func TestStateHashIsFrozen(t *testing.T) {
	var s State
	if got := fmt.Sprintf("%x", s.Hash()); got != emptyState {
		t.Errorf("the empty state hashes to %s", got)
	}
	for i := range 1000 {
		s.Put(fmt.Sprintf("t/TN%032x", i), fmt.Appendf(nil, "body %d", i))
	}
	if got := fmt.Sprintf("%x", s.Hash()); got != thousandRows {
		t.Errorf("a thousand rows hash to %s", got)
	}
	for i := range 1000 {
		s.Remove(fmt.Sprintf("t/TN%032x", i))
	}
	if got := fmt.Sprintf("%x", s.Hash()); got != emptyState || s.Len() != 0 {
		t.Errorf("emptied, it hashes to %s", got)
	}
}

func BenchmarkHashAfterOneChangeOf1000000(b *testing.B) {
	var s State
	for i := range 1_000_000 {
		s.Put(fmt.Sprintf("t/TN%032x", i*7919), []byte{1})
	}
	s.Hash()
	for i := 0; b.Loop(); i++ {
		next := s.Clone()
		next.Put(fmt.Sprintf("t/TN%032x", i%1000*7919), []byte{byte(i)})
		next.Hash()
		s = *next
	}
}

const (
	emptyState   = "872960df822ae16b2728da1894cf2a2dd2ef1573c2fde49f67aceda0e183b0f5"
	thousandRows = "3bac4351bb352d7869a658942c9c96fe146c39a362dc732e8de93e3bfd1c9a02"
)
