package system

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// control gives the flags that reach a voter with a token.
func (d desk) control(voter, token string) []string {
	return []string{"--control-url", d.c.Env.VoterURL(voter), "--token", token, "--ca", d.c.Env.CAFile()}
}

// backup makes a key pair and a backup of now.
func (d desk) backup(name string) {
	d.t.Helper()
	if _, err := os.Stat(d.path("backup.key")); errors.Is(err, os.ErrNotExist) {
		d.must("backup", "key", "--out", d.path("backup"))
	}
	recipient, err := os.ReadFile(d.path("backup.pub"))
	check(d.t, err)
	d.must(append(d.control("cp2", d.c.Env.Token()), "backup", "create", "--out", d.path(name), "--recipient", strings.TrimSpace(string(recipient)))...)
	d.must("backup", "verify", d.path(name), "--identity", d.path("backup.key"), "--root-key", d.c.Env.VoterConfig("cp1").RootPublicKey)
}

// exportLog keeps what `domicile audit list -o json` prints.
func (d desk) exportLog(name string) {
	d.t.Helper()
	out := d.must(append(d.control("cp1", d.c.Env.Token()), "audit", "list", "-o", "json")...)
	check(d.t, os.WriteFile(d.path(name), []byte(out), 0o600))
}

func (d desk) restore(name string, more ...string) (string, int) {
	d.t.Helper()
	return d.domicile(append([]string{"backup", "restore", d.path(name), "--config", d.c.Process("cp1").Config(), "--identity", d.path("backup.key"), "--token-file", d.path("operator.token")}, more...)...)
}

func (d desk) cannotRestore(what, says, name string, more ...string) {
	d.t.Helper()
	out, code := d.restore(name, more...)
	if code == 0 || !strings.Contains(out, says) {
		d.t.Errorf("%s: exit code %d\n%s\nwant a refusal that says %q", what, code, out, says)
	}
	if _, err := os.Stat(d.path("operator.token")); err == nil {
		d.t.Errorf("%s: a token was written", what)
	}
}

// works reports how the region answers a key.
func works(ctx context.Context, r *client.Region) error {
	_, err := r.Calls(ctx, client.Filter{})
	return err
}

func TestARestoreDrill(t *testing.T) {
	c := start(t, testcluster.Options{})
	d := desk{t: t, c: c, dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	control := c.Control("cp1")
	_, kept := place(t, c, "clinic", "ie1", "IE", nil)
	doomed, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: "clinic", Region: "ie1", Role: "admin"})
	check(t, err)
	revoked := c.Region("ie1", doomed.GetSecret())
	until(t, 20*time.Second, "the key works", func() error { return works(ctx, revoked) })

	d.backup("monday.backup")
	check(t, control.DeleteKey(ctx, "clinic", doomed.GetId(), doomed.GetEtag()))
	_, err = control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "tuesday", HomeRegion: "ie1", BillingCountry: "IE"})
	check(t, err)
	until(t, 20*time.Second, "the key is revoked", func() error { return unauthenticated(works(ctx, revoked)) })
	d.exportLog("audit.json")

	d.cannotRestore("while there is data", "not empty", "monday.backup", "--audit", d.path("audit.json"))
	for _, v := range c.Env.Voters() {
		d.destroy(v)
	}
	d.damaged("monday.backup")
	d.cannotRestore("a damaged backup", "damaged", "monday.backup.damaged", "--without-audit")
	d.cannotRestore("neither log nor word", "--without-audit", "monday.backup")
	out, code := d.restore("monday.backup", "--audit", d.path("audit.json"))
	if code != 0 || !strings.Contains(out, "1 revocations among them were repeated") || !strings.Contains(out, "tenant.create") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	d.cannotRestoreTwice()
	check(t, c.Process("cp1").Start())
	check(t, c.Process("cp1").WaitReady(ctx))
	d.servesAlone(ctx, "cp1", 2)
	d.follows("ie1", "cp1", d.token(), 2)
	if err := works(ctx, kept); err != nil {
		t.Errorf("a key that nobody revoked: %v", err)
	}
	if err := unauthenticated(works(ctx, revoked)); err != nil {
		t.Errorf("a revoked key is back: %v", err)
	}
	d.must(append(d.control("cp1", d.token()), "audit", "verify", "--root-key", c.Env.VoterConfig("cp1").RootPublicKey)...)
}

func (d desk) damaged(name string) {
	d.t.Helper()
	b, err := os.ReadFile(d.path(name))
	check(d.t, err)
	b[len(b)/2] ^= 1
	check(d.t, os.WriteFile(d.path(name+".damaged"), b, 0o600))
}

func (d desk) cannotRestoreTwice() {
	d.t.Helper()
	if out, code := d.restore("monday.backup", "--audit", d.path("audit.json")); code == 0 || !strings.Contains(out, "not empty") {
		d.t.Errorf("a second restore: exit code %d\n%s", code, out)
	}
}

func unauthenticated(err error) error {
	if errors.Is(err, &policy.Error{Reason: policy.Unauthenticated}) {
		return nil
	}
	return errors.Join(errors.New("it is not refused"), err)
}

// A backup of another cluster is refused, though the same operator's root and
// the same backup key stand behind it.
func TestAForeignClustersBackupIsNotRestored(t *testing.T) {
	c := start(t, testcluster.Options{Only: testcluster.ControlPlane})
	d := desk{t: t, c: c, dir: t.TempDir()}
	d.backup("one.backup")
	other := start(t, testcluster.Options{Only: testcluster.ControlPlane})
	stranger := desk{t: t, c: other, dir: d.dir}
	for _, v := range other.Env.Voters() {
		stranger.destroy(v)
	}
	stranger.cannotRestore("a foreign cluster's backup", "foreign cluster", "one.backup", "--without-audit")
	if _, err := os.Stat(other.Env.VoterConfig("cp1").DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder: %v", err)
	}
}

// Without the audit log the restored control plane lists the revoked key and the
// looser policy again. The region knows better, says so, and is told what to do.
func TestARegionRefusesWhatARestoreBringsBack(t *testing.T) {
	c := start(t, testcluster.Options{})
	d := desk{t: t, c: c, dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	control := c.Control("cp1")
	tenant, kept := place(t, c, "clinic", "ie1", "IE", nil)
	doomed, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: "clinic", Region: "ie1", Role: "admin"})
	check(t, err)
	revoked := c.Region("ie1", doomed.GetSecret())
	until(t, 20*time.Second, "the key works", func() error { return works(ctx, revoked) })
	d.backup("monday.backup")
	check(t, control.DeleteKey(ctx, "clinic", doomed.GetId(), doomed.GetEtag()))
	p, err := control.Policy(ctx, "clinic")
	check(t, err)
	for _, class := range []string{"call_record", "recording", "transcript"} {
		p.GetRules().GetClasses()[class].Retention = 60
	}
	_, err = control.PutPolicy(ctx, "clinic", p.GetRules(), p.GetEtag())
	check(t, err)
	until(t, 20*time.Second, "the key is revoked", func() error { return unauthenticated(works(ctx, revoked)) })
	d.caughtUp(ctx, "ie1")
	for _, v := range c.Env.Voters() {
		d.destroy(v)
	}
	if out, code := d.restore("monday.backup", "--without-audit"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	check(t, c.Process("cp1").Start())
	check(t, c.Process("cp1").WaitReady(ctx))
	d.follows("ie1", "cp1", d.token(), 2)
	control = c.Control("cp1")
	control.Token = d.token()
	if _, err := control.Key(ctx, "clinic", doomed.GetId()); err != nil {
		t.Fatalf("the backup does not hold the key, so that this test shows nothing: %v", err)
	}
	if err := unauthenticated(works(ctx, revoked)); err != nil {
		t.Errorf("a revoked key is back: %v", err)
	}
	if err := works(ctx, kept); err != nil {
		t.Errorf("a key that nobody revoked: %v", err)
	}
	out := ""
	until(t, 30*time.Second, "the violations are listed", func() error {
		out, _ = d.domicile(append(d.control("cp1", d.token()), "violations", "list", "-o", "json")...)
		for _, want := range []string{doomed.GetId(), tenant.GetId(), "RESTORED_KEY", "RESTORED_POLICY", "domicile keys delete " + tenant.GetId() + " " + doomed.GetId()} {
			if !strings.Contains(out, want) {
				return errors.New("no " + want + " in " + out)
			}
		}
		return nil
	})
	// What the violations say to type.
	d.must(append(d.control("cp1", d.token()), "keys", "delete", tenant.GetId(), doomed.GetId())...)
	back, err := control.Policy(ctx, "clinic")
	check(t, err)
	_, err = control.PutPolicy(ctx, "clinic", p.GetRules(), back.GetEtag())
	check(t, err)
	if testing.Short() {
		return // a violation is written once a minute
	}
	until(t, 90*time.Second, "the violations are resolved", func() error {
		out, _ = d.domicile(append(d.control("cp1", d.token()), "violations", "list", "-o", "json")...)
		if strings.Contains(out, `"open"`) && strings.Contains(out, "RESTORED_") {
			return errors.New(out)
		}
		return nil
	})
}

// caughtUp waits until a region has acknowledged everything.
func (d desk) caughtUp(ctx context.Context, region string) {
	d.t.Helper()
	control := d.c.Control("cp1")
	st, err := control.Status(ctx)
	check(d.t, err)
	until(d.t, 30*time.Second, region+" has caught up", func() error {
		nodes, err := control.Nodes(ctx, "", "")
		for _, n := range nodes {
			if n.GetRegion() == region && n.GetAckedRevision() >= st.GetRevision() {
				return nil
			}
		}
		return errors.Join(errors.New("it is behind"), err)
	})
}
