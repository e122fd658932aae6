package gate

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/policy"
)

const (
	homeTenant  = policy.TenantID("TN0000000000000000000000000000000a")
	movedTenant = policy.TenantID("TN0000000000000000000000000000000b")
	recipient   = policy.RecipientID("RP0000000000000000000000000000000c")
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bundle is a Source whose freshness the test sets.
type bundle struct {
	view    *feed.View
	age     time.Duration
	suspect bool
}

func (b *bundle) Current() *feed.View { return b.view }
func (b *bundle) Age() time.Duration  { return b.age }
func (b *bundle) ClockSuspect() bool  { return b.suspect }

func region(id policy.RegionID, b policy.Boundary, url string) policy.Row {
	return policy.Row{Format: policy.FormatVersion, Region: &policy.Region{ID: id, Boundary: b, Country: "IE", BackupRegion: "none", Lifecycle: policy.Active, BaseURL: url}}
}

// rows is a bundle of ie1: a tenant at home that may export, one that moved to
// us1, one that came from us1, and an inbound pair.
func rows() []policy.Row {
	home := policy.Region{ID: "ie1", Boundary: "eu"}
	p := policy.DefaultPolicy(homeTenant, home, "IE-LTD")
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Cap, PerDay: 10, Basis: "SCC"}
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: recipient, Region: "us1", Purpose: "analytics", Transforms: "standard",
		Threshold: 10, Colluding: 3, AssessmentExpiry: noon.Add(time.Hour)}}}
	tenant := policy.TenantRow{ID: homeTenant, Slug: "acme", State: policy.TenantActive, Home: "ie1", HomeEpoch: 2, Policy: &p, Keys: []policy.APIKey{
		key(1, homeTenant, "ie1", policy.RoleAdmin, 2), key(2, homeTenant, "ie1", policy.RoleIngest, 1), key(3, homeTenant, "us1", policy.RoleAdmin, 1),
	}}
	expired := key(4, homeTenant, "ie1", policy.RoleReader, 2)
	expired.ExpiresAt = &noon
	tenant.Keys = append(tenant.Keys, expired)
	moved := policy.TenantRow{ID: movedTenant, Slug: "gone", State: policy.TenantActive, Home: "us1", HomeEpoch: 2, HomeURL: "https://moved.example",
		Keys: []policy.APIKey{key(5, movedTenant, "ie1", policy.RoleAdmin, 1)}}
	inbound := key(6, "TN0000000000000000000000000000000d", "ie1", policy.RoleRecipient, 1)
	inbound.Recipient = recipient
	pair := policy.InboundPair{Tenant: inbound.Tenant, Recipient: recipient, From: "us1", Purpose: "analytics", Keys: []policy.APIKey{inbound}}
	return []policy.Row{{Format: policy.FormatVersion, Basis: &policy.TransferBasis{ID: "SCC", State: policy.BasisActive}}, region("ie1", "eu", "https://ie.example"), region("us1", "us", "https://us.example"),
		{Format: policy.FormatVersion, Tenant: &tenant}, {Format: policy.FormatVersion, Tenant: &moved}, {Format: policy.FormatVersion, Pair: &pair}}
}

func testGate(t *testing.T, change func(*Options)) (*Gate, *bundle) {
	t.Helper()
	v, err := feed.NewView(7, rows())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{view: v}
	o := Options{Region: "ie1", Feed: b, BaseURLs: map[string]string{"ie1": "https://ie.config", "us1": "https://us.config"}, Clock: func() time.Time { return noon }}
	if change != nil {
		change(&o)
	}
	return New(o), b
}

func ask(op policy.Operation) Question {
	q := Question{Tenant: homeTenant, Op: op, Class: policy.CallRecord}
	if op == policy.Export {
		q.Egress, q.Recipient, q.Purpose = policy.PseudonymisedExport, recipient, "analytics"
	}
	return q
}

func reasonOf(err error) policy.Reason {
	var e *policy.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestCheckGivesPermits(t *testing.T) {
	g, _ := testGate(t, nil)
	for _, op := range policy.Operations() {
		p, err := g.Check(ask(op))
		if err != nil || !p.Allows(homeTenant, op, policy.CallRecord) {
			t.Errorf("%s: %v", op, err)
		}
	}
	p, _ := g.Check(ask(policy.Export))
	if p.To() != "us1" || p.Basis() != "SCC" || p.Transform() != policy.Pseudonymise {
		t.Errorf("permit of an export: %+v", p)
	}
}

func TestRefusalsSayWhere(t *testing.T) {
	g, b := testGate(t, nil)
	q := ask(policy.View)
	q.Tenant = movedTenant
	_, err := g.Check(q)
	var e *policy.Error
	if !errors.As(err, &e) || e.Reason != policy.WrongRegion || e.Metadata["base_url"] != "https://moved.example" {
		t.Errorf("moved tenant: %v", err)
	}
	q.Tenant = "TN00000000000000000000000000000000"
	if _, err := g.Check(q); reasonOf(err) != policy.NotFound {
		t.Errorf("unknown tenant: %v", err)
	}
	q = ask(policy.Export)
	q.SentToday = 10
	if _, err := g.Check(q); reasonOf(err) != policy.EgressDenied {
		t.Errorf("used up: %v", err)
	}
	b.view = nil
	if _, err := g.Check(ask(policy.Ingest)); reasonOf(err) != policy.NotReady {
		t.Errorf("no bundle: %v", err)
	}
	if d := g.Explain(ask(policy.Ingest)); d.Effect == policy.Allow || !d.Has(policy.RuleUnknownTenant) {
		t.Errorf("explain without a bundle: %v", d.Reasons())
	}
}

func TestTheJournalKeepsDenialsAndExports(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	g, b := testGate(t, func(o *Options) { o.Metrics = reg })
	for range 3 {
		_, _ = g.Check(ask(policy.Ingest))
	}
	_, _ = g.Check(ask(policy.Export))
	b.age = time.Hour
	_, _ = g.Check(ask(policy.Export))
	_ = g.Explain(ask(policy.Export))
	got := g.Decisions(10)
	if len(got) != 2 || got[0].Allowed || !got[1].Allowed || got[0].Recipient != recipient || got[0].Time != noon {
		t.Fatalf("%+v", got)
	}
	for range 2 * journalSize {
		_, _ = g.Check(ask(policy.Export))
	}
	if n := len(g.Decisions(1 << 20)); n != journalSize {
		t.Errorf("journal holds %d", n)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				counts[l.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if counts["ingest"] != 3 || counts["export"] != 1 || counts["STALE_EXPORT"] != 1+2*journalSize {
		t.Errorf("%v", counts)
	}
}

func BenchmarkCheckIngest(b *testing.B) {
	v, err := feed.NewView(7, rows())
	if err != nil {
		b.Fatal(err)
	}
	g := New(Options{Region: "ie1", Feed: &bundle{view: v}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Check(ask(policy.Ingest)); err != nil {
			b.Fatal(err)
		}
	}
}
