package controlplane_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// finished waits, by the API's own waiting, until an operation is done.
func (c *cluster) finished(id string) answer {
	c.t.Helper()
	var a answer
	eventually(c.t, func() error {
		a = c.want(c.do(c.anyone(), "POST", "/v1/operations/"+id+":wait", map[string]any{"timeout": 5}, nil), 200, "")
		if a.Body["done"] != true {
			return fmt.Errorf("%s", a.Raw)
		}
		return nil
	}, "operation %s does not end", id)
	return a
}

// anyone gives a voter that does not lead or, alone, the one.
func (c *cluster) anyone() int {
	if len(c.planes) == 1 {
		return 0
	}
	return c.follower()
}

func (c *cluster) endsAs(id, state, cause string) answer {
	c.t.Helper()
	a := c.finished(id)
	failure, _ := a.Body["error"].(map[string]any)
	if got, _ := failure["cause"].(string); a.str("state") != state || got != cause || (cause != "") != (failure != nil) || cause != "" && failure["message"] == "" {
		c.t.Errorf("want %s %s: %s", state, cause, a.Raw)
	}
	return a
}

// A voter that does not lead takes a backup into its folder, verifies what is
// there, and finds what was damaged. The operation is the same at every voter.
func TestBackupsAreOperations(t *testing.T) {
	c := prepare(t, 3)
	folder := t.TempDir()
	_, recipient := newRecipient(t)
	for i := range c.configs { // the schedule itself takes one at the start, and then none for hours
		c.configs[i].Backup = &controlplane.Backup{Folder: filepath.Join(folder, c.configs[i].Name), Recipients: []string{recipient}, Interval: 24 * time.Hour}
	}
	c.startAll()
	voter := c.configs[c.follower()].Name
	began := c.want(c.do(0, "POST", "/v1/backups:take", map[string]any{"voter": voter}, nil), 200, "")
	a := c.endsAs(began.str("id"), "succeeded", "")
	file := a.Body["response"].(map[string]any)["file"].(string)
	if _, err := os.Stat(filepath.Join(folder, voter, file)); err != nil || a.str("voter") != voter || a.str("kind") != "backup.take" {
		t.Errorf("%v: %s", err, a.Raw)
	}
	verified := c.endsAs(c.want(c.do(0, "POST", "/v1/backups:verify", map[string]any{"voter": voter}, nil), 200, "").str("id"), "succeeded", "")
	if n := verified.Body["response"].(map[string]any)["good"].(float64); n < 1 {
		t.Errorf("nothing was read: %s", verified.Raw)
	}
	path := filepath.Join(folder, voter, file)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c.endsAs(c.want(c.do(0, "POST", "/v1/backups:verify", map[string]any{"voter": voter}, nil), 200, "").str("id"), "failed", "DAMAGED")
	for i := range c.planes {
		list := c.want(c.do(i, "GET", "/v1/operations?filter=kind%3Dbackup.verify", nil, nil), 200, "").Body["operations"].([]any)
		if len(list) != 2 {
			t.Errorf("voter %d lists %v", i+1, list)
		}
	}
	c.want(c.do(0, "POST", "/v1/backups:take", map[string]any{"voter": "cp9"}, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", "/v1/operations/"+began.str("id")+":cancel", map[string]any{}, nil), 409, policy.AlreadyExists)
	c.audited("operation.begin", "operation.report")
}

func TestAnOperationOfAVoterWithoutAFolderSaysSo(t *testing.T) {
	c := newCluster(t, 1)
	c.endsAs(c.want(c.do(0, "POST", "/v1/backups:take", map[string]any{}, nil), 200, "").str("id"), "failed", "NO_FOLDER")
}

// What a voter had begun before it was started anew is ended by it.
func TestInterruptedOperationsEnd(t *testing.T) {
	c := newCluster(t, 1)
	id := mustID(t, policy.KindOperation)
	res, err := c.planes[0].Propose(context.Background(), store.Command{Stamp: store.Stamp{Now: time.Now().UTC(), Actor: "bootstrap"},
		Payload: store.BeginOperation{ID: id, Kind: store.OperationImport, Voter: "cp1", Total: 9}}) // nobody has its list
	if err != nil || res.Err != nil {
		t.Fatal(err, res.Err)
	}
	c.endsAs(id, "failed", "INTERRUPTED")
}

// A voter that has an interrupted operation to report, and nobody to report it to,
// waits with one report, however long it waits.
func TestAnInterruptedOperationIsReportedOnceAtATime(t *testing.T) {
	c := prepare(t, 3)
	c.startAll()
	leads := c.leader()
	var all []any
	for i := range 5000 {
		all = append(all, map[string]any{"slug": fmt.Sprintf("cut-%d", i), "home_region": "ie1", "billing_country": "IE"})
	}
	c.want(c.do(leads, "POST", "/v1/tenants:import", map[string]any{"requests": all}, nil), 200, "")
	for i := range c.planes {
		if i != leads {
			c.stop(i)
		}
	}
	c.stop(leads)
	c.start(leads)
	reports := 0
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var stacks bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
			t.Fatal(err)
		}
		reports = max(reports, bytes.Count(stacks.Bytes(), []byte("(*work).report(")))
	}
	if reports != 1 {
		t.Errorf("%d reports of one operation wait for a leader", reports)
	}
}

// An invitation is an operation until its member has what it is to have.
func TestJoinAndRemovalAreOperations(t *testing.T) {
	c := autopiloted(t, 3, quickly)
	invite := func(name string) (token, id string) {
		a := c.want(c.do(c.leader(), "POST", "/v1/members:invite", map[string]any{"name": name}, nil), 201, "")
		return a.str("token"), a.str("operation")
	}
	token, id := invite("cp4")
	if a := c.want(c.do(0, "GET", "/v1/operations/"+id, nil, nil), 200, ""); a.str("phase") != "invited" || a.Body["cancellable"] != true || a.str("member") != "cp4" {
		t.Errorf("%s", a.Raw)
	}
	c.want(c.do(c.follower(), "POST", "/v1/operations/"+id+":cancel", map[string]any{}, nil), 200, "")
	c.endsAs(id, "cancelled", "CANCEL_REQUESTED")
	late := c.newcomer("cp4", token)
	c.start(late)
	c.ends(late, "does not work")

	_, replaced := invite("cp5")
	token, id = invite("cp5")
	c.endsAs(replaced, "cancelled", "REPLACED")
	i := c.newcomer("cp5", token)
	c.start(i)
	a := c.endsAs(id, "succeeded", "")
	if m := c.members()["cp5"]; m["suffrage"] != "voter" {
		t.Errorf("%v after %s", m, a.Raw)
	}
	c.want(c.do(0, "POST", "/v1/operations/"+id+":cancel", map[string]any{}, nil), 409, policy.AlreadyExists)
	demoted := c.want(c.do(c.leader(), "POST", "/v1/members/cp5:demote", nil, nil), 200, "").str("operation")
	c.endsAs(demoted, "succeeded", "")
	promoted := c.want(c.do(c.leader(), "POST", "/v1/members/cp5:promote", nil, nil), 200, "").str("operation")
	c.endsAs(promoted, "succeeded", "")
	gone := c.want(c.do(c.leader(), "DELETE", "/v1/members/cp5", nil, nil), 200, "").str("operation")
	c.endsAs(gone, "succeeded", "")
	if _, there := c.members()["cp5"]; there {
		t.Error("cp5 is there after its removal has succeeded")
	}
	c.ends(i, controlplane.ErrRemoved.Error())
}

// An import goes on after its answer; what is refused is counted, a repeat of the
// call with its key begins nothing, and a second sending places nothing twice.
func TestImportsAreOperations(t *testing.T) {
	c := prepare(t, 3)
	c.timing.Heartbeat = 3 * time.Second // an import ends where its voter leads no more, as one that is late does
	c.startAll()
	c.tenant("bulk-3", "ie1")
	var all []any
	for i := range 600 {
		all = append(all, map[string]any{"slug": fmt.Sprintf("bulk-%d", i), "home_region": "ie1", "billing_country": "IE"})
	}
	once := headers{"Idempotency-Key": "22222222-2222-4333-8444-555555555555"}
	began := c.want(c.do(c.follower(), "POST", "/v1/tenants:import", map[string]any{"requests": all}, once), 200, "")
	a := c.endsAs(began.str("id"), "succeeded", "")
	r := a.Body["response"].(map[string]any)
	if r["good"].(float64) != 599 || r["refused"].(float64) != 1 || a.Body["progress"].(map[string]any)["completed"].(float64) != 600 {
		t.Errorf("%s", a.Raw)
	}
	if again := c.want(c.do(0, "POST", "/v1/tenants:import", map[string]any{"requests": all}, once), 200, ""); again.str("id") != began.str("id") {
		t.Errorf("the repeat began %s", again.Raw)
	}
	c.want(c.do(0, "GET", "/v1/tenants/bulk-599", nil, nil), 200, "")
	c.want(c.do(0, "POST", "/v1/tenants:import", map[string]any{"requests": []any{map[string]any{"slug": "no-region", "billing_country": "IE"}}}, nil), 400, policy.RegionRequired)
	second := c.endsAs(c.want(c.do(0, "POST", "/v1/tenants:import", map[string]any{"requests": all[:2]}, nil), 200, "").str("id"), "succeeded", "")
	if n := second.Body["response"].(map[string]any)["refused"].(float64); n != 2 {
		t.Errorf("%s", second.Raw)
	}
}

// A call that waits answers when its time is over, holds up nobody, and the end
// of a tenant cannot be cancelled.
func TestWaitingIsBounded(t *testing.T) {
	c := newCluster(t, 1)
	node := c.holder("ie1")
	c.want(c.do(0, "POST", "/v1/nodes/"+string(node.id)+":admit", map[string]any{"region": "ie1"}, nil), 200, "")
	made := c.tenant("acme", "ie1")
	op := c.want(c.do(0, "DELETE", "/v1/tenants/acme?purge=true", nil, headers{"If-Match": made.Header.Get("ETag")}), 200, "")
	if op.str("state") != "running" || op.str("phase") != "purging" || op.Body["progress"].(map[string]any)["total"].(float64) != 1 {
		t.Errorf("%s", op.Raw)
	}
	began := time.Now()
	a := c.want(c.do(0, "POST", "/v1/operations/"+op.str("id")+":wait", map[string]any{"timeout": 1}, nil), 200, "")
	if took := time.Since(began); a.Body["done"] != false || took < time.Second || took > 10*time.Second {
		t.Errorf("after %v: %s", took, a.Raw)
	}
	refused := c.want(c.do(0, "POST", "/v1/operations/"+op.str("id")+":cancel", map[string]any{}, nil), 409, policy.AlreadyExists)
	if !strings.Contains(refused.str("detail"), "excuse") {
		t.Errorf("the refusal does not say what to do: %s", refused.Raw)
	}
	waited := make(chan answer, 1)
	go func() {
		a, _ := c.try(0, "POST", "/v1/operations/"+op.str("id")+":wait", map[string]any{"timeout": 20}, nil)
		waited <- a
	}()
	excused := map[string]any{"node": string(node.id)}
	if early := c.want(c.do(0, "POST", "/v1/tenants/acme:excuseNode", excused, nil), 400, policy.InvalidArgument); !strings.Contains(early.Raw, "nodes evict") {
		t.Errorf("the refusal does not say what to do: %s", early.Raw)
	}
	c.want(c.do(0, "POST", "/v1/nodes/"+string(node.id)+":evict", map[string]any{"reason_code": "LOST"}, nil), 200, "")
	c.want(c.do(0, "POST", "/v1/tenants/acme:excuseNode", excused, nil), 200, "")
	select {
	case a := <-waited:
		if a.Body["done"] != true || a.str("phase") != "deleted" || a.str("state") != "succeeded" {
			t.Errorf("%s", a.Raw)
		}
	case <-time.After(patience):
		t.Error("the waiting call does not hear of the end")
	}
}
