package bundle

import (
	"crypto/ed25519"
	"testing"
	"time"
)

// The bundle key signs two kinds of statements; neither can pass for the other.
func TestCheckpointsAndSealsAreApart(t *testing.T) {
	const cluster = "CL00000000000000000000000000000001"
	root := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	seed := append(make([]byte, ed25519.SeedSize-1), 1)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	s, err := NewSigner(cluster, seed, CertifyKey(root, cluster, public), root.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if key, certificate := s.Certified(); !key.Equal(public) || !ed25519.Verify(root.Public().(ed25519.PublicKey), Certificate(cluster, key), certificate) {
		t.Error("the certified key is not the signer's")
	}
	text := []byte("domicile/" + cluster + "/control\n1\n")
	if sig, err := s.SignCheckpoint(text); err != nil || !ed25519.Verify(public, text, sig) {
		t.Errorf("a checkpoint is not signed: %v", err)
	}
	seal := Statement{Cluster: cluster, Region: "ie1", Revision: 1, FreshUntil: time.Unix(1, 0)}.Bytes()
	for _, bad := range [][]byte{nil, seal, Certificate(cluster, public), []byte("domicile/CL00000000000000000000000000000002/control\n1\n"), []byte("domicile/" + cluster + "/controls\n")} {
		if _, err := s.SignCheckpoint(bad); err == nil {
			t.Errorf("signed %q", bad)
		}
	}
}
