package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// exportWorld is a tenant that may export, and a request that is allowed.
func exportWorld(t testing.TB) (*Set, *Topology, Request) {
	t.Helper()
	p := validPolicy()
	p.Revision, p.HomeEpoch = 7, 3
	p.Recipients.List[0].AssessmentExpiry = testNow.Add(time.Hour)
	var empty *Set
	return empty.With(9, []*Rules{Compile(p, TenantActive)}, nil), testTopology(t),
		Request{Tenant: p.Tenant, Op: Export, Class: CallRecord, Region: "ie1", Egress: PseudonymisedExport,
			Recipient: recipientN(1), Purpose: "fraud", Now: testNow, Attestation: Declared}
}

func TestPermitOfAnExportSaysEverything(t *testing.T) {
	set, top, q := exportWorld(t)
	d := Decide(set, top, q)
	p := d.Permit()
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(p.Tenant(), p.Operation(), p.Class(), p.Region(), p.Recipient(), p.To(), p.Purpose(), p.Basis(), p.Transform(), p.Revision(), p.HomeEpoch())
	want := fmt.Sprint(tenantN(1), Export, CallRecord, "ie1", recipientN(1), "us1", "fraud", "SCC", Pseudonymise, 7, 3)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !d.Has(RuleMustPseudonymise) || d.Has(RuleAtHome) || d.Revision != 7 || d.Home != "ie1" {
		t.Errorf("decision %+v", d)
	}
}

func TestTheZeroPermitAllowsNothing(t *testing.T) {
	var p Permit
	if !p.Empty() || p.Allows("", 0, 0) || p.Allows(tenantN(1), Ingest, CallRecord) {
		t.Error("the zero permit permits something")
	}
}

func TestAPermitCoversOnlyWhatWasAsked(t *testing.T) {
	set, top, q := exportWorld(t)
	d := Decide(set, top, q)
	p := d.Permit()
	if !p.Allows(q.Tenant, Export, CallRecord) || p.Allows(tenantN(2), Export, CallRecord) ||
		p.Allows(q.Tenant, View, CallRecord) || p.Allows(q.Tenant, Export, Recording) || p.Allows("", Export, CallRecord) {
		t.Error("the permit covers too much or too little")
	}
}

func TestWrongRegionNamesHomeAndForeignTenantsTellNothing(t *testing.T) {
	set, top, q := exportWorld(t)
	q.Op, q.Region = Ingest, "us1"
	d := Decide(set, top, q)
	if e := d.Err(); e.Reason != WrongRegion || e.Metadata["home_region"] != "ie1" || e.Metadata["rules"] != "OUTSIDE_HOME" {
		t.Errorf("%v %v", e, e.Metadata)
	}
	q.Tenant = tenantN(2)
	d = Decide(set, top, q)
	if e := d.Err(); e.Reason != NotFound || len(e.Metadata) != 0 {
		t.Errorf("%v %v", e, e.Metadata)
	}
	var zero Decision
	if e := zero.Err(); !errors.Is(e, &Error{Reason: PermissionDenied}) {
		t.Errorf("the zero decision: %v", e)
	}
}

// What will not change by itself is told before what passes with time.
func TestPermanentRefusalsAreToldFirst(t *testing.T) {
	set, top, q := exportWorld(t)
	q.BundleAge, q.Purpose = time.Hour, "ads"
	d := Decide(set, top, q)
	if e := d.Err(); e.Reason != EgressDenied || e.Metadata["rules"] != "STALE_EXPORT,PURPOSE_MISMATCH" {
		t.Errorf("%v %v", e, e.Metadata)
	}
}

func TestDecideDeniesWithoutASetOrTopology(t *testing.T) {
	set, top, q := exportWorld(t)
	if d := Decide(nil, top, q); !d.Has(RuleUnknownTenant) || d.Effect != Deny {
		t.Errorf("without a set: %v", d.Reasons())
	}
	if d := Decide(set, nil, q); !d.Has(RuleUnknownRegion) || d.Effect != Deny {
		t.Errorf("without a topology: %v", d.Reasons())
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	set, top, q := exportWorld(t)
	ingest := q
	ingest.Op = Ingest
	refused := ingest
	refused.Region = "us1"
	for name, q := range map[string]Request{"export": q, "ingest": ingest, "refused": refused} {
		if n := testing.AllocsPerRun(1000, func() { d := Decide(set, top, q); sink = d.Permit() }); n != 0 {
			t.Errorf("%s: %v allocations per decision", name, n)
		}
	}
}

var sink Permit

func BenchmarkDecideHot(b *testing.B) {
	set, top, q := exportWorld(b)
	for _, op := range []Operation{Ingest, Export} {
		b.Run(op.String(), func(b *testing.B) {
			q.Op = op
			b.ReportAllocs()
			for b.Loop() {
				d := Decide(set, top, q)
				sink = d.Permit()
			}
		})
	}
}

// BenchmarkDecideRandom asks about random ones of a million tenants, so that
// each decision misses the processor's caches.
func BenchmarkDecideRandom(b *testing.B) {
	const tenants = 1_000_000
	top := testTopology(b)
	rules := make([]*Rules, tenants)
	for i := range rules {
		p := DefaultPolicy(tenantN(i), ireland, "DOM-IE")
		rules[i] = Compile(&p, TenantActive)
	}
	var empty *Set
	set := empty.With(1, rules, nil)
	order := rand.New(rand.NewPCG(1, 2)).Perm(tenants)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d := Decide(set, top, Request{Tenant: rules[order[i]].Tenant, Op: Ingest, Class: CallRecord, Region: "ie1", Attestation: Declared})
		sink = d.Permit()
		if i++; i == tenants {
			i = 0
		}
	}
}
