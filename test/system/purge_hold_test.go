package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// A tenant that ends and over whom a legal hold stands: no node destroys anything,
// also not one that is killed meanwhile; the operation says what is waited for, and
// where. The tenant's keys are gone, so that a node's administrator releases the
// hold, of which the region's log tells; then everything goes within seconds.
func TestINV24_APurgeWaitsForALegalHold(t *testing.T) { onBothStores(t, purgeWaits) }

func purgeWaits(t *testing.T, store edit) {
	o := testcluster.Options{EditRegion: store, Regions: []string{"ie1"}}
	nodes := []string{"ie1"}
	if strings.HasSuffix(t.Name(), "sql") {
		o.Second, nodes = []string{"ie1"}, []string{"ie1", "ie1-2"}
	}
	c := start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tenant, region := place(t, c, "acme-ie", "ie1", "IE", nil)
	_, err := region.CreateCall(ctx, data.NewCall{NativeID: "1", From: "+353867391846", To: "+442079460001"})
	check(t, err)
	over, err := region.PutHold(ctx, data.HoldRequest{Everybody: true, Reason: "REGULATOR"})
	check(t, err)
	hold, err := region.PutHold(ctx, data.HoldRequest{SubjectRef: data.SubjectRef{Number: "+353867391846"}, Reason: "LITIGATION", Reference: "2026/114-b"})
	check(t, err)
	_, err = region.ReleaseHold(ctx, over.ID)
	check(t, err)
	for _, v := range c.Env.Variables() {
		t.Setenv(v[0], v[1])
	}
	d := desk{t: t, c: c, dir: t.TempDir()}
	if out, code := holdsVerb(t, c, "release", hold.ID); code != 1 || !strings.Contains(out, "domicile subjects holds release") {
		t.Errorf("the administrator releases a hold of a tenant that lives: %d %s", code, out)
	}

	control := c.Control("cp1")
	tenant, err = control.Tenant(ctx, tenant.GetId())
	check(t, err)
	op, err := control.PurgeTenant(ctx, &controlv1.PurgeTenantRequest{Tenant: tenant.GetId(), Delete: true}, tenant.GetEtag())
	check(t, err)
	waits := func() error { return allWait(ctx, control, op.GetId(), len(nodes)) }
	until(t, time.Minute, "every node waits for the hold", waits)
	_, err = control.ExcuseNode(ctx, tenant.GetId(), op.GetMissing()[0].GetNode())
	if !errors.Is(err, &policy.Error{Reason: policy.LegalHold}) {
		t.Errorf("a node that waits for a hold is excused: %v", err)
	}
	if out := d.must("tenants", "get", "acme-ie"); !strings.Contains(out, "waiting for a legal hold in ie1 (LEGAL_HOLD)") {
		t.Errorf("the tenant is shown as %s", out)
	}
	check(t, c.Process("ie1").Kill())
	check(t, c.Process("ie1").Start())
	check(t, c.Process("ie1").WaitReady(ctx))
	until(t, time.Minute, "every node waits after one was killed", waits)
	if n := metricOf(t, c, "domicile_purges_held"); n != 1 {
		t.Errorf("%v ends are held", n)
	}

	listed := listHolds(t, c)
	if len(listed) != 2 || listed[0].ID != over.ID || listed[0].Stands || !listed[1].Stands || listed[1].ID != hold.ID || listed[1].Reference != "2026/114-b" || listed[1].Order != op.GetId() {
		t.Fatalf("%+v", listed)
	}
	if out, code := holdsVerb(t, c, "release", "LH"+strings.Repeat("0", 32)); code != 1 {
		t.Errorf("a hold that is not there is released: %d %s", code, out)
	}
	if out, code := holdsVerb(t, c, "release", hold.ID); code != 0 || !strings.Contains(out, hold.ID) {
		t.Fatalf("release: %d %s", code, out)
	}
	until(t, 30*time.Second, "the purge goes on", func() error {
		now, err := control.Operation(ctx, op.GetId())
		if err == nil && !now.GetDone() {
			err = fmt.Errorf("%v", now)
		}
		return err
	})
	receipts, err := control.Receipts(ctx, tenant.GetId())
	check(t, err)
	calls := uint64(0)
	for _, r := range receipts {
		calls += r.GetCalls()
	}
	if len(receipts) != len(nodes) || calls != 1 {
		t.Errorf("%d calls were there when the purge went on, by %d receipts", calls, len(receipts))
	}
	until(t, 20*time.Second, "the region's log tells of it", func() error { return logTells(c, "tenant.purge_held", "hold.release", "tenant.purge") })
}

// allWait is nil when so many nodes are waited for, all of which wait for one hold.
func allWait(ctx context.Context, control *client.Control, operation string, nodes int) error {
	op, err := control.Operation(ctx, operation)
	if err != nil {
		return err
	}
	missing := op.GetMissing()
	if op.GetDone() || len(missing) != nodes || slices.ContainsFunc(missing, func(n *controlv1.OperationNode) bool {
		return n.GetWaitsFor() != "LEGAL_HOLD" || n.GetHolds() != 1
	}) {
		return fmt.Errorf("%v", op)
	}
	return nil
}

// holdsVerb runs a verb of `region holds` at the first node.
func holdsVerb(t *testing.T, c *testcluster.Cluster, verb string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "domicile-dataplane"), append([]string{"region", "holds", verb, "--config", c.Process("ie1").Config()}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func listHolds(t *testing.T, c *testcluster.Cluster) []dataplane.EndedHold {
	t.Helper()
	out, code := holdsVerb(t, c, "list", "-o", "json")
	var a dataplane.HoldsAnswer
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 {
		t.Fatalf("list: %d %s", code, out)
	}
	return a.Holds
}

func logTells(c *testcluster.Cluster, actions ...string) error {
	file, err := exec.Command(filepath.Join(bin, "domicile-dataplane"), "log", "export", "--config", c.Process("ie1").Config()).Output()
	if err != nil {
		return err
	}
	for _, action := range actions {
		if !strings.Contains(string(file), `"`+action+`"`) && !strings.Contains(string(file), `\"`+action+`\"`) {
			return fmt.Errorf("the log does not tell of %s", action)
		}
	}
	return nil
}
