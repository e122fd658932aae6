package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/policy"
)

// Whatever was acknowledged has a receipt, which proves offline, by a key that a
// node of the region certified, that it was stored.
func TestReceiptOverTheWire(t *testing.T) {
	r := start(t)
	status, raw := r.post("/v1/calls", writer, native("receipt-1", "completed", 7))
	var made data.Created
	must(t, json.Unmarshal(raw, &made))
	if status != http.StatusCreated || !policy.ValidID("RC", made.Receipt) {
		t.Fatalf("%d %s", status, raw)
	}
	status, raw = r.post("/v1/calls:batch", writer, lines(3000))
	var batch data.Counts
	must(t, json.Unmarshal(raw, &batch))
	if status != http.StatusOK || len(batch.Receipts) < 2 {
		t.Fatalf("%d %s", status, raw)
	}
	var point data.Checkpoint
	r.get("/v1/audit/checkpoint", "", &point) // anybody
	key, err := verify.ParseKey(point.Key)
	must(t, err)
	signature, err := base64.StdEncoding.DecodeString(point.Certificate)
	must(t, err)
	if err := verify.CertifiedByNode(key, signature, []byte(point.NodeCertificate), r.roots, time.Now()); err != nil {
		t.Errorf("the log's key: %v", err)
	}
	signature[9] ^= 1
	if verify.CertifiedByNode(key, signature, []byte(point.NodeCertificate), r.roots, time.Now()) == nil {
		t.Error("a certificate that was changed is taken")
	}
	counted := uint64(0)
	for _, id := range append([]string{made.Receipt}, batch.Receipts...) {
		var receipt verify.Receipt
		r.get("/v1/receipts/"+id, reader, &receipt)
		s, _, err := receipt.Check(key)
		if err != nil || s.Tenant != string(tenantID("a")) || s.Region != "ie1" || uint64(len(receipt.Records)) != s.Count {
			t.Fatalf("receipt %s: %+v with %d openings, %v", id, s, len(receipt.Records), err)
		}
		counted += s.Count
		if id == made.Receipt && receipt.Records[0].ID != made.ID {
			t.Errorf("the receipt is of %s and not of %s", receipt.Records[0].ID, made.ID)
		}
		// INV10, INV11
		foreign := r.refusal(policy.NotFound, http.MethodGet, "/v1/receipts/"+id, key2("b"), "")
		absent := r.refusal(policy.NotFound, http.MethodGet, "/v1/receipts/RC"+strings.Repeat("0", 32), key2("b"), "")
		if foreign.Detail != absent.Detail {
			t.Errorf("foreign %q and absent %q differ", foreign.Detail, absent.Detail)
		}
	}
	if counted != 3001 {
		t.Errorf("receipts count %d records, want 3001", counted)
	}
}

func key2(letter string) string { return key("ie1", letter, policy.RoleReader) }

// A tenant lists and proves what is about it, and nothing else.
func TestINV10_TenantSeesItsOwnLeaves(t *testing.T) {
	r := start(t)
	if status, raw := r.post("/v1/calls", writer, native("a", "completed", 7)); status != http.StatusCreated {
		t.Fatalf("%d %s", status, raw)
	}
	must(t, r.regionLog.Round(t.Context()))
	var mine, theirs data.LogLeaves
	r.get("/v1/audit/leaves", reader, &mine)
	r.get("/v1/audit/leaves", key2("b"), &theirs)
	if len(mine.Leaves) != 1 || mine.Size != 2 || len(theirs.Leaves) != 0 {
		t.Fatalf("%+v and %+v", mine, theirs)
	}
	path := fmt.Sprintf("/v1/audit/leaves/%d/proof", mine.Leaves[0].Index)
	var proof data.LogProof
	r.get(path, reader, &proof)
	if proof.Leaf != mine.Leaves[0].Leaf {
		t.Errorf("%+v proves another leaf than %+v", proof, mine)
	}
	r.refusal(policy.NotFound, http.MethodGet, path, key2("b"), "")
	r.refusal(policy.NotFound, http.MethodGet, "/v1/audit/leaves/0/proof", reader, "") // the region's own
	r.refusal(policy.NotFound, http.MethodGet, "/v1/audit/leaves/x/proof", reader, "")
	r.refusal(policy.InvalidArgument, http.MethodGet, "/v1/audit/consistency?from=9", reader, "")
	var grown data.LogConsistency
	r.get("/v1/audit/consistency?from=1&to=2", reader, &grown)
	if len(grown.Hashes) == 0 {
		t.Errorf("%+v", grown)
	}
}
