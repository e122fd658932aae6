package dev_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/policy"
)

func start(t *testing.T, dir string) *dev.Environment {
	t.Helper()
	e, err := dev.Start(context.Background(), dev.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func control(t *testing.T, e *dev.Environment) *client.Control {
	t.Helper()
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: e.CAFile()})
	if err != nil {
		t.Fatal(err)
	}
	return &client.Control{BaseURL: e.ControlURL(), Token: e.Token(), HTTP: hc, Patience: 10 * time.Second}
}

func TestARestartKeepsAddressesTokenAuthorityAndData(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	made, err := control(t, e).CreateTenant(context.Background(), &controlv1.CreateTenantRequest{Slug: "kept", HomeRegion: "ie1", BillingCountry: "IE"})
	if err != nil {
		t.Fatal(err)
	}
	before, written := e.Variables(), envFile(t, e)
	for _, v := range before {
		if !strings.Contains(written, v[0]+"="+v[1]+"\n") {
			t.Errorf("the env file lacks %s", v[0])
		}
	}
	if _, err := dev.Start(context.Background(), dev.Options{Dir: dir}); !errors.Is(err, dev.ErrLocked) {
		t.Errorf("a second start in the same folder: got %v, want ErrLocked", err)
	}
	if envFile(t, e) != written {
		t.Error("the second start touched the env file of the first")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	e = start(t, dir)
	defer e.Close()
	for i, v := range e.Variables() {
		if v != before[i] {
			t.Errorf("%s was %s, is %s", v[0], before[i][1], v[1])
		}
	}
	found, err := control(t, e).Tenant(context.Background(), "kept")
	if err != nil || found.GetId() != made.GetId() {
		t.Errorf("the tenant after the restart: %v, %v", found, err)
	}
	for _, secret := range []string{"pki/root.key", "pki/bundle.key", "pki/operator.token", "pki/authority-1.key", "env"} {
		info, err := os.Stat(filepath.Join(dir, secret))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", secret, info, err)
		}
	}
}

func envFile(t *testing.T, e *dev.Environment) string {
	t.Helper()
	b, err := os.ReadFile(e.EnvFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A region is found again at another port: by its tenants, and in answers of
// other regions.
func TestAPortThatWasChangedIsPublished(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	old := e.RegionURL("ie1")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	path := filepath.Join(dir, "ports.json")
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	was := old[strings.LastIndex(old, ":")+1:]
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(kept), `"ie1": `+was, `"ie1": `+port)), 0o600); err != nil {
		t.Fatal(err)
	}
	e = start(t, dir)
	defer e.Close()
	r, err := control(t, e).RegionInfo(context.Background(), "ie1")
	if err != nil || r.GetBaseUrl() != e.RegionURL("ie1") || e.RegionURL("ie1") == old {
		t.Errorf("ie1 is at %s, published as %v (%v)", e.RegionURL("ie1"), r, err)
	}
}

func TestAStartThatFailsLeavesNothingRunning(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	address := strings.TrimPrefix(e.RegionURL("us1"), "https://")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, err = dev.Start(context.Background(), dev.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "tenants of region us1") {
		t.Fatalf("want an error that names the listener, got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "env")); !errors.Is(err, os.ErrNotExist) {
		t.Error("an env file stands although nothing runs")
	}
	l.Close()
	e = start(t, dir) // neither the lock nor any other port is held
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoppedVotersAreMissedAndComeBack(t *testing.T) {
	e := start(t, t.TempDir())
	defer e.Close()
	ctx := context.Background()
	if err := e.StopControlPlane(ctx); err != nil {
		t.Fatal(err)
	}
	cp := control(t, e)
	cp.Patience = 0
	if _, err := cp.Status(ctx); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Errorf("a stopped control plane: got %v, want UNAVAILABLE", err)
	}
	if err := e.StopVoter(ctx, "cp1"); err == nil {
		t.Error("a voter was stopped twice")
	}
	if err := e.StartControlPlane(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err := cp.Status(ctx); err != nil || s.GetLeader() == "" || len(s.GetVoters()) != 3 {
		t.Errorf("after the start: %v, %v", s, err)
	}
	select {
	case err := <-e.Failed():
		t.Errorf("a voter that was asked to stop counts as failed: %v", err)
	default:
	}
}

// The first credentials come from the one-time file, which is spent and gone
// afterwards; when both tokens are void, as after a restore, a start asks for
// another one-time token.
func TestTokensComeFromTheOneTimeFile(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	c := e.Credentials()
	if c.Redeemed == "" || time.Until(c.Until) < 6*24*time.Hour {
		t.Errorf("%+v", c)
	}
	await(t, "the spent file is removed", func() bool { _, err := os.Stat(c.Redeemed); return errors.Is(err, os.ErrNotExist) })
	first := e.Token()
	officer := control(t, e)
	officer.Token = e.OfficerToken()
	list, err := officer.Tokens(context.Background())
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	// The officer's own token last: whatever its holder deletes after it is refused.
	slices.SortFunc(list, func(a, b *controlv1.Token) int { return strings.Compare(a.GetRole(), b.GetRole()) })
	for _, k := range list {
		if k.GetExpiresAt() == nil {
			t.Errorf("a token without an end: %v", k)
		}
		if err := officer.DeleteToken(context.Background(), k.GetPrincipal(), k.GetEtag()); k.GetRole() == "operator" && err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start(t, dir)
	defer e.Close()
	if again := e.Credentials(); again.Redeemed == "" || e.Token() == first {
		t.Errorf("void tokens were kept: %+v", again)
	}
	if _, err := control(t, e).WhoAmI(context.Background()); err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		<-time.After(20 * time.Millisecond)
	}
}
