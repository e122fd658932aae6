//go:build pkcs11

package hsm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

var _ local.Custodian = (*Module)(nil)

const cluster = "CL00000000000000000000000000000001"

// modules are where Debian puts SoftHSM.
var modules = []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// softHSM makes a token of SoftHSM2; it skips, loudly, where that is missing.
func softHSM(t *testing.T) Options {
	t.Helper()
	var module string
	for _, path := range modules {
		if _, err := os.Stat(path); err == nil {
			module = path
			break
		}
	}
	if _, err := exec.LookPath("softhsm2-util"); module == "" || err != nil {
		if os.Getenv("DOMICILE_NEED_SOFTHSM") != "" {
			t.Fatal("softhsm2 is missing and DOMICILE_NEED_SOFTHSM is set: apt-get install softhsm2")
		}
		t.Skip("softhsm2 is missing: apt-get install softhsm2")
	}
	dir := t.TempDir()
	conf, pin := filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "pin")
	check(t, os.Mkdir(filepath.Join(dir, "tokens"), 0o700))
	check(t, os.WriteFile(conf, []byte("directories.tokendir = "+filepath.Join(dir, "tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600))
	check(t, os.WriteFile(pin, []byte("1234\n"), 0o600))
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "region", "--pin", "1234", "--so-pin", "5678").CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	return Options{Config: Config{Module: module, Token: "region", PINFile: pin}, Cluster: cluster, Region: "ie1"}
}

func open(t *testing.T, o Options) *Module {
	t.Helper()
	m, err := Open(o)
	check(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func isReason(err error, r policy.Reason) bool { return errors.Is(err, &policy.Error{Reason: r}) }

func TestAModuleKeepsAGeneration(t *testing.T) {
	o := softHSM(t)
	m := open(t, o)
	token, key, err := m.Create(t.Context(), 3)
	check(t, err)
	other, second, err := m.Create(t.Context(), 3) // again, after a crash
	check(t, err)
	for raw, want := range map[string][32]byte{string(token): key, string(other): second} {
		if got, err := m.Unwrap(t.Context(), 3, []byte(raw), store.UseNode); err != nil || got != want {
			t.Fatalf("the key again: %v", err)
		}
	}
	if key == second {
		t.Error("one key twice")
	}
	if _, err := m.Unwrap(t.Context(), 4, token, store.UseNode); !isReason(err, policy.Internal) {
		t.Errorf("another generation: %v", err)
	}
	if got, err := m.Unwrap(t.Context(), 3, token, store.UseNode); err != nil || got != key { // a refusal leaves the session usable
		t.Fatalf("the key again: %v", err)
	}
	check(t, m.lib.CloseSession(m.session)) // as when the module was pulled and put back
	if got, err := m.Unwrap(t.Context(), 3, token, store.UseNode); err != nil || got != key {
		t.Fatalf("after the session was lost: %v", err)
	}
	final, err := m.Destroy(t.Context(), 3, token)
	check(t, err)
	if time.Since(final).Abs() > time.Minute {
		t.Errorf("final at %s", final)
	}
	if _, err := m.Unwrap(t.Context(), 3, token, store.UseNode); !isReason(err, policy.Destroyed) {
		t.Errorf("a destroyed object: %v", err)
	}
	_, err = m.Destroy(t.Context(), 3, token)
	check(t, err)
	if got, err := m.Unwrap(t.Context(), 3, other, store.UseNode); err != nil || got != second {
		t.Errorf("a neighbour: %v", err)
	}
	check(t, m.Close())
	bad := o
	bad.Config.Token = "another"
	if _, err := Open(bad); err == nil {
		t.Error("a token that is not there")
	}
	check(t, os.WriteFile(o.Config.PINFile, []byte("0000"), 0o600))
	if _, err := Open(o); err == nil {
		t.Error("a wrong PIN")
	}
	check(t, os.Chmod(o.Config.PINFile, 0o644))
	if _, err := Open(o); err == nil {
		t.Error("a PIN that others may read")
	}
}

// TestINV21_ModuleGenerationsEnd runs a whole keyring on the module.
func TestINV21_ModuleGenerationsEnd(t *testing.T) {
	o := softHSM(t)
	dir := t.TempDir()
	ring := local.Options{Dir: filepath.Join(dir, "main"), Copy: filepath.Join(dir, "copy"), Region: "ie1", Refresh: time.Hour, RotateSpacing: time.Hour, Custodian: open(t, o)}
	k, err := local.OpenKeyring(ring)
	check(t, err)
	id, _, err := k.Draw()
	check(t, err)
	kept, key, err := k.Draw()
	check(t, err)
	old := filepath.Join(dir, "old")
	check(t, os.CopyFS(old, os.DirFS(ring.Dir)))
	check(t, k.Destroy([]store.KeyID{id}))
	gen, err := k.Retire()
	check(t, err)
	check(t, k.Rotate(t.Context()))
	if fate, err := k.Fate(gen); err != nil || fate.Destroyed.IsZero() || !fate.IsFinal(time.Now().Add(policy.KeysFor)) {
		t.Errorf("%+v %v", fate, err)
	}
	check(t, k.Close())
	thief := ring
	thief.Dir, thief.Copy, thief.Custodian = old, "", open(t, o)
	if _, err := local.OpenKeyring(thief); !isReason(err, policy.Destroyed) {
		t.Errorf("the old table: %v", err)
	}
	check(t, thief.Custodian.Close())
	ring.Custodian = open(t, o)
	k, err = local.OpenKeyring(ring)
	check(t, err)
	defer k.Close()
	if got, err := k.Open(kept); err != nil || got != key {
		t.Error(err)
	}
}
