package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/domicile-io/domicile/policy"
)

// batchOf encodes payloads as a batch of one stamp.
func batchOf(t testing.TB, s Stamp, payloads ...Payload) Batch {
	t.Helper()
	var b Batch
	for _, p := range payloads {
		data, err := Encode(Command{Stamp: Stamp{Now: s.Now, Actor: s.Actor}, Payload: p})
		check(t, err)
		b.Items = append(b.Items, BatchItem{Command: data})
	}
	return b
}

func kept(p Policy, seconds policy.Seconds) policy.ResidencyPolicy {
	doc := p.ResidencyPolicy
	doc.Classes = map[policy.DataClass]policy.ClassRule{policy.CallRecord: {Mode: policy.Sealed, Retention: seconds}}
	return doc
}

// Each item has its own outcome, revision and audit leaf; the key is the batch's.
func TestINV27_ABatchIsManyChanges(t *testing.T) {
	f := seeded(t)
	a, b := f.tenant(1, "ie1"), f.tenant(2, "ie1")
	pa, err := f.Policy(a.ID)
	check(t, err)
	pb, err := f.Policy(b.ID)
	check(t, err)
	before := f.Revision()
	s := f.stamp()
	s.IdempotencyKey, s.RequestHash = uuid(1), hexHash("batch")
	batch := batchOf(t, s, createTenant(3, "ie1"), createTenant(1, "ie1"),
		PutPolicy{Tenant: a.ID, IfMatch: pa.ETag, Policy: kept(pa, 1000)},
		PutPolicy{Tenant: b.ID, IfMatch: "ffff", Policy: kept(pb, 1000)},
		PutPolicy{Tenant: a.ID, IfMatch: etagOf(before + 2), Policy: kept(pa, 900)}) // sees the item before it
	batch.Items = append(batch.Items, BatchItem{Tenant: string(b.ID), Refused: policy.InvalidArgument})
	r := f.applyStamped(s, batch)
	want := []BatchOutcome{{Tenant: string(id[policy.TenantID](policy.KindTenant, 3)), ETag: etagOf(before + 1)}, {Reason: policy.AlreadyExists},
		{Tenant: string(a.ID), ETag: etagOf(before + 2)}, {Tenant: string(b.ID), Reason: policy.ETagMismatch},
		{Tenant: string(a.ID), ETag: etagOf(before + 3)}, {Tenant: string(b.ID), Reason: policy.InvalidArgument}}
	if d := cmp.Diff(want, body[[]BatchOutcome](t, r)); d != "" || r.Revision != before+3 {
		t.Fatalf("revision %d after %d: %s", r.Revision, before, d)
	}
	leaves, size, err := f.AuditLeaves(before, 10)
	check(t, err)
	if len(leaves) != 3 || size != before+3 {
		t.Errorf("%d audit leaves of %d for three changes", len(leaves), size)
	}
	again := f.applyStamped(s, batch)
	if !again.Replayed || string(again.Body) != string(r.Body) || f.Revision() != before+3 {
		t.Errorf("a repeat gave %+v", again)
	}
}

// A batch is no back door to what its caller was not asked about.
func TestINV12_ABatchHoldsOnlyWhatItSays(t *testing.T) {
	f := seeded(t)
	s := f.stamp()
	other := s
	other.Actor = id[string](policy.KindPrincipal, 9)
	var many []Payload
	for n := range MaxBatch + 1 {
		many = append(many, createTenant(n, "ie1"))
	}
	for name, b := range map[string]Batch{
		"nothing":           {},
		"too much":          batchOf(t, s, many...),
		"a token":           batchOf(t, s, CreateToken{Token: Token{SHA256: hexHash("x"), Principal: id[string](policy.KindPrincipal, 7)}}),
		"a batch":           batchOf(t, s, batchOf(t, s, createTenant(1, "ie1"))),
		"another's name":    batchOf(t, other, createTenant(1, "ie1")),
		"free text":         {Items: []BatchItem{{Refused: "call +353 1"}}},
		"something, beside": {Items: append(batchOf(t, s, createTenant(1, "ie1")).Items, BatchItem{Refused: "?"})},
	} {
		before := f.Revision()
		if r := f.applyStamped(s, b); r.Err == nil || r.Err.Reason != policy.InvalidArgument || f.Revision() != before {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
