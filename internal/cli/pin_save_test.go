package cli

import (
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

const pinCluster, pinTenant = "CL000000000000000000000000000000aa", "TN000000000000000000000000000000aa"

// signedBy is a policy in force as the control plane shows it, and the root of its key.
func signedBy(t *testing.T, sequence uint64, root, key ed25519.PrivateKey) *controlv1.SignedPolicy {
	t.Helper()
	doc := policy.DefaultPolicy(pinTenant, policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	doc.MaxStaleness = policy.Seconds(30 + sequence)
	k, err := policy.NewSigningKey(policy.TenantKey, hex.EncodeToString(key.Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	k.Certificate = policy.Sign(root, k.Statement(pinCluster, pinTenant))
	hash, err := policy.PolicyHash(&doc)
	if err != nil {
		t.Fatal(err)
	}
	doc.Signatures = []policy.Signature{policy.Sign(key, policy.PolicyStatement(pinCluster, pinTenant, sequence, hash))}
	return control.SignedPolicyOf(pinCluster, &doc, "1", &policy.Signers{Sequence: sequence, Tenant: []policy.SigningKey{k}})
}

func pinned(t *testing.T) (folder string, show func(sequence uint64) *controlv1.SignedPolicy) {
	t.Helper()
	_, root, _ := ed25519.GenerateKey(nil)
	_, key, _ := ed25519.GenerateKey(nil)
	folder = filepath.Join(t.TempDir(), "trust")
	p := &pin{Cluster: pinCluster, Tenant: pinTenant, Root: hex.EncodeToString(root.Public().(ed25519.PublicKey)), Keys: []string{"first"}}
	if err := p.save(folder); err != nil {
		t.Fatal(err)
	}
	return folder, func(n uint64) *controlv1.SignedPolicy { return signedBy(t, n, root, key) }
}

func mustRead(t *testing.T, folder string) *pin {
	t.Helper()
	p, err := readPin(folder, pinTenant)
	if err != nil || p == nil {
		t.Fatalf("read the pin: %v, %v", p, err)
	}
	return p
}

// A control plane may let one command wait for its answer until another has seen a
// later policy. What that one remembers is not lost to the slower one's older answer,
// and the slower one signs nothing by it.
func TestASlowerCommandTakesNoMemoryBack(t *testing.T) {
	folder, show := pinned(t)
	slow, quick, adds := mustRead(t, folder), mustRead(t, folder), mustRead(t, folder)
	if _, err := quick.prove(show(3)); err != nil {
		t.Fatal(err)
	}
	if err := quick.save(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.prove(show(2)); err != nil {
		t.Fatal(err)
	}
	if err := slow.save(folder); err == nil || !strings.Contains(err.Error(), "policy sequence 2 is below 3") {
		t.Errorf("the slower one was kept: %v", err)
	}
	adds.Keys = append(adds.Keys, "second")
	if err := adds.save(folder); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, folder); got.Proven == nil || got.Proven.Signers.Sequence != 3 || strings.Join(got.Keys, " ") != "first second" {
		t.Errorf("kept: %+v", got)
	}
}

// Whatever a control plane pads its answer with, the file can be read again: a memory
// that has to be thrown away is what whoever replays an older policy wants.
func TestAPaddedAnswerCostsNoMemory(t *testing.T) {
	folder, show := pinned(t)
	for _, pad := range []func(*controlv1.SignedPolicy){
		func(e *controlv1.SignedPolicy) {
			e.Policy.Signatures = append(e.Policy.Signatures, &controlv1.Signature{Value: strings.Repeat("A", 2*maxPinBytes)})
		},
		func(e *controlv1.SignedPolicy) { e.Keys[0].Certificate.Value += strings.Repeat("\n", maxPinBytes) },
	} {
		e, p := show(2), mustRead(t, folder)
		pad(e)
		if _, err := p.prove(e); err != nil {
			continue
		}
		if err := p.save(folder); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("it was kept: %v", err)
		}
		mustRead(t, folder)
	}
}

// Whoever may write the folder may put an earlier pin in the place of a later one.
func TestAPinInAnOpenFolderIsNotRead(t *testing.T) {
	folder, _ := pinned(t)
	if err := os.Chmod(folder, 0o770); err != nil {
		t.Fatal(err)
	}
	if p, err := readPin(folder, pinTenant); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %+v, %v", p, err)
	}
}
