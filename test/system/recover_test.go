package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/cli"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// desk is where an operator types: the commands of the runbooks, in a folder.
type desk struct {
	t   *testing.T
	c   *testcluster.Cluster
	dir string
}

// domicile runs the command line and gives what it printed, on both streams.
func (d desk) domicile(args ...string) (string, int) {
	d.t.Helper()
	var out bytes.Buffer
	code := cli.Run(d.t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	return out.String(), code
}

func (d desk) must(args ...string) string {
	d.t.Helper()
	out, code := d.domicile(args...)
	if code != 0 {
		d.t.Fatalf("domicile %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func (d desk) path(name string) string { return filepath.Join(d.dir, name) }

// recover runs domicile-controlplane recover for a voter.
func (d desk) recover(voter string, args ...string) (string, error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"recover", "--config", d.c.Process(voter).Config(), "--statement", d.path("statement.json")}, args...)
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "domicile-controlplane"), args...).CombinedOutput()
	return string(out), err
}

func (d desk) refused(what, says string) func(string, error) {
	return func(out string, err error) {
		d.t.Helper()
		if err == nil || !strings.Contains(out, says) {
			d.t.Errorf("%s: %v\n%s\nwant a refusal that says %q", what, err, out, says)
		}
	}
}

// officer makes a certified recovery key, as the ceremony does.
func (d desk) officer(name string, n int) {
	d.t.Helper()
	st, err := d.c.Control("cp1").Status(d.t.Context())
	check(d.t, err)
	d.must("trust", "init", "--out", d.path(name))
	d.must("trust", "certify", "--purpose", "recovery", "--root", filepath.Join(d.c.Env.Dir(), "pki", "root.key"), "--cluster", st.GetClusterId(),
		"--principal", fmt.Sprintf("PR%032x", n), "--key", d.path(name+".pub"), "--out", d.path(name+".cert"))
}

func (d desk) sign(name string) {
	d.t.Helper()
	out := d.must("recovery", "sign", "--statement", d.path("statement.json"), "--key", d.path(name+".key"), "--cert", d.path(name+".cert"), "--out", d.path(name+".signature"), "--yes")
	if !strings.Contains(out, "goes on alone") {
		d.t.Errorf("signing did not say what is signed:\n%s", out)
	}
}

// destroy ends a voter and its data for good.
func (d desk) destroy(voter string) {
	d.t.Helper()
	check(d.t, d.c.Process(voter).Kill())
	check(d.t, os.RemoveAll(d.c.Env.VoterConfig(voter).DataDir))
}

// follows waits until the region's node has acknowledged a revision of an epoch.
func (d desk) follows(region, voter, token string, epoch uint64) {
	d.t.Helper()
	control := d.c.Control(voter)
	control.Token = token
	until(d.t, time.Minute, region+" follows into the epoch", func() error {
		nodes, err := control.Nodes(d.t.Context(), "", "")
		for _, n := range nodes {
			if n.GetRegion() == region && n.GetConnected() && policy.EpochOf(n.GetAckedRevision()) == epoch {
				return nil
			}
		}
		return errors.Join(fmt.Errorf("nodes: %v", nodes), err)
	})
}

func TestTwoOfThreeVotersAreLostForGood(t *testing.T) {
	c := start(t, testcluster.Options{})
	d := desk{t: t, c: c, dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	d.officer("aoife", 1)
	d.officer("brian", 2)
	_, region := place(t, c, "clinic", "ie1", "IE", nil)
	d.refused("a running voter", "stop the voter")(d.recover("cp3"))
	until(t, 30*time.Second, "cp3 has everything", func() error {
		st, err := c.Control("cp3").Status(ctx)
		leader, err2 := c.Control("cp1").Status(ctx)
		if err == nil && err2 == nil && st.GetRevision() != leader.GetRevision() {
			err = errors.New("it is behind")
		}
		return errors.Join(err, err2)
	})
	check(t, c.Process("cp3").Stop())
	d.refused("while a quorum answers", "nothing is lost")(d.recover("cp3"))
	d.destroy("cp1")
	d.destroy("cp2")
	out, err := d.recover("cp3")
	if err != nil || !strings.Contains(out, "cp3 goes on alone") {
		t.Fatalf("%v\n%s", err, out)
	}
	d.sign("aoife")
	token := []string{"--token-file", d.path("operator.token")}
	d.refused("one person", "1 people")(d.recover("cp3", append(token, "--signature", d.path("aoife.signature"))...))
	d.refused("one person twice", "1 people")(d.recover("cp3", append(token, "--signature", d.path("aoife.signature"), "--signature", d.path("aoife.signature"))...))
	d.sign("brian")
	both := append(token, "--signature", d.path("aoife.signature"), "--signature", d.path("brian.signature"))
	if out, err := d.recover("cp3", both...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := d.recover("cp3", both...); err != nil { // whoever is not sure does it again
		t.Errorf("again: %v\n%s", err, out)
	}
	check(t, c.Process("cp3").Start())
	check(t, c.Process("cp3").WaitReady(ctx))
	d.servesAlone(ctx, "cp3", 2)
	d.follows("ie1", "cp3", d.token(), 2)
	if _, err := region.Calls(ctx, client.Filter{}); err != nil {
		t.Errorf("the region does not serve its tenant: %v", err)
	}
}

func (d desk) token() string {
	d.t.Helper()
	raw, err := os.ReadFile(d.path("operator.token"))
	check(d.t, err)
	info, err := os.Stat(d.path("operator.token"))
	check(d.t, err)
	if info.Mode().Perm() != 0o600 {
		d.t.Errorf("the token's file has mode %v", info.Mode().Perm())
	}
	return strings.TrimSpace(string(raw))
}

// servesAlone: the old token is void, the new one reads and writes.
func (d desk) servesAlone(ctx context.Context, voter string, epoch uint64) {
	d.t.Helper()
	old := d.c.Control(voter)
	if _, err := old.Tenants(ctx, ""); !errors.Is(err, &policy.Error{Reason: policy.Unauthenticated}) {
		d.t.Errorf("a token of the former epoch: %v", err)
	}
	control := d.c.Control(voter)
	control.Token = d.token()
	until(d.t, 30*time.Second, "it serves", func() error { _, err := control.Tenants(ctx, ""); return err })
	if _, err := control.Tenant(ctx, "clinic"); err != nil {
		d.t.Errorf("what was acknowledged: %v", err)
	}
	made, err := control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "after", HomeRegion: "ie1", BillingCountry: "IE"})
	check(d.t, err)
	st, err := control.Status(ctx)
	check(d.t, err)
	if policy.EpochOf(st.GetRevision()) != epoch || len(st.GetVoters()) != 1 {
		d.t.Errorf("%v after %v", st, made)
	}
}
