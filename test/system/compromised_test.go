package system

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// enrol gives a tenant a signing key, certified by the operator's root, and waits
// until ie1's node has it.
func enrol(ctx context.Context, t *testing.T, c *testcluster.Cluster, tenant *controlv1.Tenant) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.Env.Dir(), "pki", "root.key"))
	check(t, err)
	seed, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	check(t, err)
	st, err := c.Control("cp1").Status(ctx)
	check(t, err)
	public, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	k, err := policy.NewSigningKey(policy.TenantKey, hex.EncodeToString(public))
	check(t, err)
	id := policy.TenantID(tenant.GetId())
	inForce := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, tenant.GetContractingEntity())
	hash, err := policy.PolicyHash(&inForce)
	check(t, err)
	wire := func(s policy.Signature) *controlv1.Signature {
		return control.SignatureOf(s)
	}
	say := func(api, digest string) *controlv1.ApiKeySignature {
		return &controlv1.ApiKeySignature{Key: api, Number: 1, Signature: wire(policy.Sign(key, policy.KeyStatement(st.GetClusterId(), id, 1, digest)))}
	}
	signed := []*controlv1.ApiKeySignature{say("", policy.NoKey)}
	have, err := c.Control("cp1").Keys(ctx, tenant.GetId())
	check(t, err)
	for _, h := range have {
		if a := (policy.APIKey{ID: policy.KeyID(h.GetId()), Tenant: id, Region: policy.RegionID(h.GetRegion()), Role: policy.KeyRole(h.GetRole()),
			SecretSHA256: h.GetTerms().GetSecretSha256(), HomeEpoch: h.GetTerms().GetHomeEpoch()}); a.NeedsSignature() {
			signed = append(signed, say(h.GetId(), a.Digest()))
		}
	}
	_, err = c.Control("cp1").CreateSigningKey(ctx, &controlv1.CreateSigningKeyRequest{Tenant: tenant.GetId(), Purpose: string(policy.TenantKey), PublicKey: k.PublicKey, ApiKeys: signed,
		Certificate:     wire(policy.Sign(ed25519.NewKeyFromSeed(seed), k.Statement(st.GetClusterId(), id))),
		PolicySignature: wire(policy.Sign(key, policy.PolicyStatement(st.GetClusterId(), id, 1, hash)))})
	check(t, err)
	caughtUp(t, c)
}

// caughtUp waits until ie1's node holds what the voters do.
func caughtUp(t *testing.T, c *testcluster.Cluster) {
	t.Helper()
	until(t, 60*time.Second, "ie1 holds what the voters do", func() error {
		st, err := c.Control("cp1").Status(t.Context())
		if has := gauge(t, c, "ie1", "domicile_bundle_revision"); err == nil && uint64(has) < st.GetRevision() {
			err = fmt.Errorf("revision %v of %d", has, st.GetRevision())
		}
		return err
	})
}

// gauge reads one value of a process's metrics.
func gauge(t *testing.T, c *testcluster.Cluster, process, series string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(metrics(t, c, process))
	if m == nil {
		t.Fatalf("%s has no %s", process, series)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	check(t, err)
	return v
}

// takeOver runs an impostor in the place of cp1, which is stopped, and gives what it
// has written so far.
func takeOver(t *testing.T, c *testcluster.Cluster, tenant string) (end func(), wrote func() string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "impostor.log")
	log, err := os.Create(name)
	check(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), impostorOf+"="+c.Process("cp1").Config(), impostorTenant+"="+tenant)
	cmd.Stdout, cmd.Stderr = log, log
	check(t, errors.Join(cmd.Start(), log.Close()))
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	return end, func() string {
		raw, err := os.ReadFile(name)
		check(t, err)
		return string(raw)
	}
}

// A voter is taken over, with its certificate, the bundle key and its state, and the
// others are gone. The node of a region takes nothing from it that a tenant that
// signs, or the root, did not sign; it serves by its last good bundle, which grows
// old; and follows the honest voters again when they are back.
func TestINV35_ANodeRefusesWhatAVoterThatWasTakenOverForges(t *testing.T) {
	t.Parallel() // it waits for the most part
	c := start(t, testcluster.Options{Regions: []string{"ie1"}})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	tenant, home := place(t, c, "signing-ie", "ie1", "IE", nil)
	enrol(ctx, t, c, tenant)
	takes(ctx, t, "a call", home)
	revision := gauge(t, c, "ie1", "domicile_bundle_revision")

	check(t, c.Process("cp1").Stop())
	check(t, errors.Join(c.Process("cp2").Kill(), c.Process("cp3").Kill()))
	began := time.Now()
	end, wrote := takeOver(t, c, tenant.GetId())
	until(t, 60*time.Second, "every forgery is answered", func() error {
		if n := strings.Count(wrote(), "FORGED "); n < len(forgeries) {
			return fmt.Errorf("%d of %d: %s", n, len(forgeries), wrote())
		}
		return nil
	})
	for _, f := range forgeries {
		want := fmt.Sprintf("FORGED %s ack=0 nack=BAD_", f.name)
		if f.more != nil {
			want = fmt.Sprintf("FORGED %s ack=%d nack=\n", f.name, int(revision)+1)
		}
		if !strings.Contains(wrote(), want) {
			t.Errorf("%s: want %q in\n%s", f.name, want, wrote())
		}
	}
	if n := gauge(t, c, "ie1", `domicile_bundle_nacks_total{reason="BAD_SIGNATURE"}`); int(n) < len(forgeries)-2 { // one is a BAD_ROW: a policy stands at its tenant's home only
		t.Errorf("%v refusals are counted, want %d or more", n, len(forgeries)-2)
	}
	until(t, 30*time.Second, "the bundle grows old, whatever is forged", func() error {
		if age := gauge(t, c, "ie1", "domicile_bundle_age_seconds"); age < 3 {
			return fmt.Errorf("it is %v s old", age)
		}
		return nil
	})
	if now := gauge(t, c, "ie1", "domicile_bundle_revision"); now != revision+1 {
		t.Errorf("the node is at revision %v, and was at %v", now, revision)
	}
	if gauge(t, c, "ie1", `domicile_node_attestation{level="declared"}`) != 1 {
		t.Error("the node takes itself for more than it can show")
	}
	takes(ctx, t, "a call at home", home)
	stolen := &client.Region{BaseURL: home.BaseURL, Key: policy.KeyString("ie1", stolenKey, stolenSecret), HTTP: c.HTTP()}
	var e *policy.Error
	if _, err := stolen.Calls(ctx, client.Filter{}); !errors.As(err, &e) || e.Reason != policy.Unauthenticated {
		t.Errorf("a key that the impostor made: %v", err)
	}
	t.Logf("%d forgeries in %v", len(forgeries), time.Since(began).Round(time.Millisecond))

	end()
	for _, v := range c.Env.Voters() {
		check(t, c.Process(v).Start())
	}
	for _, v := range c.Env.Voters() {
		check(t, c.Process(v).WaitReady(ctx))
	}
	for i := range 3 { // past what the impostor had the node believe
		made(t, c.Control("cp1"), slug(9, i))
	}
	caughtUp(t, c)
	takes(ctx, t, "a call afterwards", home)
}
