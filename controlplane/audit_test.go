package controlplane_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/policy"
)

// checkpoint asks one voter, without a credential, and checks what it says as a
// stranger would who knows the operator's root key and nothing else.
func (c *cluster) checkpoint(voter int) verify.Checkpoint {
	c.t.Helper()
	a := c.want(c.do(voter, "GET", "/v1/audit/checkpoint", nil, headers{"Authorization": ""}), 200, "")
	key, err := verify.ParseKey(a.str("key"))
	if err != nil {
		c.t.Fatal(err)
	}
	certificate, err := hex.DecodeString(a.str("certificate"))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := verify.Certified(key, c.id, certificate, c.root); err != nil {
		c.t.Fatal(err)
	}
	at, err := verify.Open([]byte(a.str("note")), key)
	if err != nil || at.Origin != "domicile/"+c.id+"/control" {
		c.t.Fatalf("%+v, %v", at, err)
	}
	return at
}

// leaves reads the log by pages.
func (c *cluster) leaves(voter int) (out []string) {
	c.t.Helper()
	for next := ""; ; {
		a := c.want(c.do(voter, "GET", "/v1/audit/leaves?page_size=3&page_token="+next, nil, nil), 200, "")
		out = append(out, ids(a, "leaves", "record")...)
		if next = a.str("next_page_token"); next == "" {
			return out
		}
	}
}

func (c *cluster) verified(leaves []string, at ...verify.Checkpoint) error {
	l, err := verify.NewLog(at...)
	if err != nil {
		return err
	}
	for _, r := range leaves {
		if err := l.Add([]byte(r)); err != nil {
			return err
		}
	}
	return l.Done()
}

func TestINV26_TheLogVerifiesThroughTheAPI(t *testing.T) {
	c := newCluster(t, 3)
	before := c.checkpoint(0)
	c.tenant("acme", "ie1")
	key := headers{"Idempotency-Key": "6f9619ff-8b86-4011-b42d-00c04fc964ff"}
	body := map[string]any{"region": "ie1", "role": "ingest"}
	made := c.want(c.do(1, "POST", "/v1/tenants/acme/keys", body, key), 201, "")
	c.want(c.do(2, "POST", "/v1/tenants/acme/keys", body, key), 201, "")                                                                                  // a repeat: no leaf
	c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": "acme", "home_region": "ie1", "billing_country": "IE"}, nil), 409, policy.AlreadyExists) // refused: no leaf
	leaves := c.leaves(c.follower())
	var at []verify.Checkpoint
	for i := range 3 {
		eventually(t, func() error {
			if size := c.checkpoint(i).Size; size != before.Size+2 {
				return fmt.Errorf("voter %d has %d leaves", i, size)
			}
			return nil
		}, "the voters' logs end alike")
		at = append(at, c.checkpoint(i))
	}
	if at[0] != at[1] || at[1] != at[2] {
		t.Fatalf("the voters sign different logs: %+v", at)
	}
	if err := c.verified(leaves, append(at, before)...); err != nil {
		t.Fatal(err)
	}
	var last verify.Leaf
	if err := json.Unmarshal([]byte(leaves[len(leaves)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Action != "key.create" || last.Resource != made.str("id") || !strings.HasPrefix(last.Actor, "PR") {
		t.Errorf("the last leaf is %+v", last)
	}
	c.proofs(leaves, before, at[0])
}

// proofs checks inclusion and consistency as a client with little memory would.
func (c *cluster) proofs(leaves []string, before, at verify.Checkpoint) {
	c.t.Helper()
	for i, leaf := range leaves {
		a := c.want(c.do(0, "GET", sprintf("/v1/audit/proof?index=%d&size=%d", i, at.Size), nil, nil), 200, "")
		if err := verify.Inclusion(at, uint64(i), verify.RecordHash([]byte(a.str("leaf"))), hashesOf(c, a)); err != nil || a.str("leaf") != leaf {
			c.t.Errorf("leaf %d: %v", i, err)
		}
	}
	a := c.want(c.do(0, "GET", sprintf("/v1/audit/consistency?old_size=%d&size=%d", before.Size, at.Size), nil, nil), 200, "")
	if err := verify.Consistency(before, at, hashesOf(c, a)); err != nil {
		c.t.Error(err)
	}
	for _, bad := range []string{"proof?index=1000", "proof?index=0&size=1000", "proof?index=-1", "proof?index=x", "consistency?size=1", "consistency?old_size=1000",
		"leaves?start=-1", "leaves?page_size=1001", "leaves?count=1", "leaves?page_token=MQ", "checkpoint?size=1"} {
		c.want(c.do(0, "GET", "/v1/audit/"+bad, nil, nil), 400, policy.InvalidArgument)
	}
}

func hashesOf(c *cluster, a answer) (out []verify.Hash) {
	list, _ := a.Body["hashes"].([]any)
	for _, h := range list {
		b, err := hex.DecodeString(h.(string))
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, verify.Hash(b))
	}
	return out
}

// A voter that was away, a new leader and restarts continue the same log.
func TestINV26_LeaderChangesAndRestartsContinueTheLog(t *testing.T) {
	c := newCluster(t, 3)
	var at []verify.Checkpoint
	for n := range 3 {
		leader := c.leader()
		c.tenant(sprintf("before-%c", 'a'+n), "ie1")
		at = append(at, c.checkpoint(leader))
		c.stop(leader)
		eventually(t, func() error {
			a, err := c.try((leader+1)%3, "POST", "/v1/tenants", map[string]any{"slug": sprintf("during-%c", 'a'+n), "home_region": "ie1", "billing_country": "IE"}, nil)
			if err == nil && a.Status != 201 && a.Status != 409 {
				err = errStatus(a.Status)
			}
			return err
		}, "no write while a voter is away")
		c.start(leader)
		c.ready()
	}
	leaves := c.leaves(0)
	at = append(at, c.checkpoint(c.leader()))
	if newest := at[len(at)-1]; int(newest.Size) != len(leaves) || len(leaves) < 7 {
		t.Fatalf("%d leaves, checkpoint of %d", len(leaves), newest.Size)
	}
	if err := c.verified(leaves, at...); err != nil {
		t.Error(err)
	}
}

func TestAuditIsForInspectorsAndCheckpointsForEverybody(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("acme", "ie1")
	for role, allowed := range map[string]bool{"operator": true, "auditor": true, "terraform": false, "tenant_admin": false, "tenant_reader": false} {
		tenant := ""
		if strings.HasPrefix(role, "tenant") {
			tenant = "acme"
		}
		h := c.token(role, tenant)
		for _, path := range []string{"leaves", "proof?index=0", "consistency?old_size=1"} {
			if a := c.do(0, "GET", "/v1/audit/"+path, nil, h); (a.Status == 200) != allowed || !allowed && a.Status != 403 {
				t.Errorf("%s reads %s: %d", role, path, a.Status)
			}
		}
	}
	for _, path := range []string{"leaves", "proof?index=0", "consistency?old_size=1"} {
		c.want(c.do(0, "GET", "/v1/audit/"+path, nil, headers{"Authorization": ""}), 401, policy.Unauthenticated)
	}
	for _, auth := range []string{"", "Bearer x", "Bearer " + operatorToken} { // a credential changes nothing
		c.want(c.do(0, "GET", "/v1/audit/checkpoint", nil, headers{"Authorization": auth}), 200, "")
	}
	c.want(c.do(0, "POST", "/v1/audit/checkpoint", nil, headers{"Authorization": ""}), 405, policy.InvalidArgument)
	// A node's certificate opens nothing here: not even what is open to all.
	conn := c.dial(0, "ie1", "dp")
	_, err := controlv1.NewAuditServiceClient(conn).GetCheckpoint(t.Context(), &controlv1.GetCheckpointRequest{})
	if err == nil {
		t.Error("a data plane's certificate read the checkpoint over gRPC")
	}
}
