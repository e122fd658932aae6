package local

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// TestEscrowDrill is the runbook "The root key is lost" of docs/operations/keys.md:
// the machine is gone, what is left is the copy of the table and the escrow.
func TestEscrowDrill(t *testing.T) {
	keeper, err := age.GenerateX25519Identity()
	check(t, err)
	second, err := age.GenerateX25519Identity()
	check(t, err)
	o := twoPlaces(t)
	k := openWith(t, o)
	c := populate(t, k)
	var file bytes.Buffer
	check(t, Escrow(&file, o, []string{keeper.Recipient().String(), second.Recipient().String()})) // while the node runs
	check(t, k.Rotate(t.Context()))                                                                // and it is good for what comes later
	c.more(t, k, 20)
	check(t, k.Close())
	root, err := os.ReadFile(o.RootFile)
	check(t, err)
	raw, err := hex.DecodeString(strings.TrimSpace(string(root)))
	check(t, err)
	if bytes.Contains(file.Bytes(), raw) || bytes.Contains(file.Bytes(), bytes.TrimSpace(root)) {
		t.Fatal("the escrow holds the root key in the clear")
	}

	check(t, os.RemoveAll(o.Dir))
	check(t, os.Remove(o.RootFile))
	if _, err := OpenKeyring(o); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Fatalf("without its root key: %v", err)
	}
	recover := func(o Options, id *age.X25519Identity) error {
		return Recover(bytes.NewReader(file.Bytes()), o, strings.NewReader(id.String()+"\n"))
	}
	stranger, err := age.GenerateX25519Identity()
	check(t, err)
	if err := recover(o, stranger); err == nil {
		t.Error("a stranger reads the escrow")
	}
	abroad := o
	abroad.Region = "au1"
	if err := recover(abroad, keeper); err == nil || !strings.Contains(err.Error(), "is of region ie1") {
		t.Errorf("another region: %v", err)
	}
	nothing := o
	nothing.Dir, nothing.Copy = filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "y")
	if err := recover(nothing, keeper); err == nil || !strings.Contains(err.Error(), "put one of them in place") {
		t.Errorf("without a table: %v", err)
	}
	check(t, recover(o, second))
	again, err := os.ReadFile(o.RootFile)
	check(t, err)
	if !bytes.Equal(again, root) {
		t.Fatal("another root key came back")
	}
	check(t, recover(o, keeper)) // repeating it is harmless
	k = openWith(t, o)
	c.look(t, k)
	if err := recover(o, keeper); err == nil || !strings.Contains(err.Error(), "stop the node") {
		t.Errorf("while the node runs: %v", err)
	}
	check(t, k.Close())
	check(t, os.WriteFile(o.RootFile, []byte(strings.Repeat("ab", 32)), 0o600))
	if err := recover(o, keeper); err == nil || !strings.Contains(err.Error(), "another root key") {
		t.Errorf("over another root key: %v", err)
	}
	if err := Escrow(&file, o, []string{keeper.Recipient().String()}); err == nil || !strings.Contains(err.Error(), "does not open") {
		t.Errorf("an escrow of a wrong root key: %v", err)
	}
	if err := Escrow(&file, o, nil); err == nil {
		t.Error("an escrow for nobody")
	}
	other := twoPlaces(t)
	check(t, openWith(t, other).Close())
	if err := recover(other, keeper); err == nil || !strings.Contains(err.Error(), "another key table") {
		t.Errorf("another keyring: %v", err)
	}
}
