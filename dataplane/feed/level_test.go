package feed

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/instance/instancetest"
	"github.com/domicile-io/domicile/policy"
)

// place is a realm whose node has a row in its bundle.
type place struct {
	*realm
	v *voter
	n *node
	b *book
}

func newPlace(t *testing.T) *place {
	t.Helper()
	r := newRealm(t)
	v := r.voter("cp")
	return &place{realm: r, v: v, n: r.node(v), b: r.book(2)}
}

// row is what the control plane says of the node.
func (p *place) row(level policy.Attestation, admission *policy.NodeAdmission) policy.Row {
	id := p.n.o.Material.Identity
	return policy.Row{Node: &policy.NodeRow{ID: id.Node, Region: id.Region, Level: level, Admission: admission}}
}

func (p *place) admission(until time.Time) *policy.NodeAdmission {
	id := p.n.o.Material.Identity
	a := &policy.NodeAdmission{Node: id.Node, Region: id.Region, Level: policy.OperatorSigned, KeySHA256: p.n.o.Material.Keys()[0],
		IssuedAt: until.Add(-time.Hour).Unix(), NotAfter: until.Unix()}
	a.Signature = policy.Sign(p.rootKey, a.Statement(cluster))
	return a
}

// A voter that holds the bundle key seals whatever it likes about a node. The
// node believes the pinned root and nobody else.
func TestINV06_ACompromisedVoterRaisesNoNode(t *testing.T) {
	p := newPlace(t)
	f, s := p.n.synced(p.v, p.b)
	want := func(level policy.Attestation, why string) {
		t.Helper()
		if got := f.Attestation(); got != level {
			t.Errorf("%s: the node takes itself for %s, want %s", why, got, level)
		}
	}
	want(policy.Declared, "without a row")
	say := func(r policy.Row) {
		t.Helper()
		acked(t, s.push(t, p.b.delta(nil, r)), p.b.revision)
	}
	say(p.row(policy.CloudSigned, nil))
	want(policy.Declared, "by a voter's word alone")
	forged := p.admission(time.Now().Add(time.Hour))
	forged.NotAfter++
	say(p.row(policy.OperatorSigned, forged))
	want(policy.Declared, "by an altered word of the root")
	say(p.row(policy.CloudSigned, p.admission(time.Now().Add(time.Hour))))
	want(policy.OperatorSigned, "by the root's word")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = p.n.open() // the voters may be away
	want(policy.OperatorSigned, "after a restart, from the cache")
}

func TestTheRootsWordEnds(t *testing.T) {
	p := newPlace(t)
	now := time.Now()
	p.n.o.Clock.Wall = func() time.Time { return now }
	p.b.put(p.row(policy.OperatorSigned, p.admission(now.Add(time.Minute))))
	f, _ := p.n.synced(p.v, p.b)
	if got := f.Attestation(); got != policy.OperatorSigned {
		t.Fatalf("before its end: %s", got)
	}
	now = now.Add(time.Minute)
	if got := f.Attestation(); got != policy.Declared {
		t.Errorf("at its end: %s", got)
	}
}

// The cloud's document counts for the node only if the node itself verified it.
func TestANodeVerifiesItsOwnDocument(t *testing.T) {
	home, abroad := instancetest.New(t, "eu-west-1"), instancetest.New(t, "eu-west-1")
	for name, c := range map[string]struct {
		document []byte
		config   instance.Config
		level    policy.Attestation // that the control plane says
		want     policy.Attestation
	}{
		"good":                          {home.Document("i-0123456789abcdef0"), home.Config(), policy.CloudSigned, policy.CloudSigned},
		"not confirmed":                 {home.Document("i-0123456789abcdef0"), home.Config(), policy.Declared, policy.Declared},
		"of another cloud":              {abroad.Document("i-0123456789abcdef0"), home.Config(), policy.CloudSigned, policy.Declared},
		"with nothing to hold it to":    {home.Document("i-0123456789abcdef0"), instance.Config{}, policy.CloudSigned, policy.Declared},
		"none, whatever the voter says": {nil, home.Config(), policy.CloudSigned, policy.Declared},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			a, err := instance.Load(c.config)
			if err != nil {
				t.Fatal(err)
			}
			p.n.o.Document, p.n.o.Instances = c.document, a
			here := region("ie1", "eu")
			here.Cloud = "aws-eu-west-1"
			p.b.put(policy.Row{Region: &here})
			p.b.put(p.row(c.level, nil))
			f := p.n.open()
			f.Start()
			s := p.v.next(t)
			if string(s.hello.GetInstanceDocument()) != string(c.document) {
				t.Error("the node does not show its document")
			}
			for _, push := range p.b.snapshot(1) {
				s.push(t, push)
			}
			if got := f.Attestation(); got != c.want {
				t.Errorf("the node takes itself for %s, want %s", got, c.want)
			}
		})
	}
}

// A tenant whose policy is left out is known, its keys too, and everything is denied.
func TestATenantThatDemandsMoreIsDenied(t *testing.T) {
	p := newPlace(t)
	f, s := p.n.synced(p.v, p.b)
	row := tenantRow(0, "ie1")
	row.Tenant.Policy.MinAttestation = policy.OperatorSigned
	acked(t, s.push(t, p.b.delta(nil, row.For(policy.Declared))), p.b.revision)
	v := f.Current()
	q := policy.Request{Tenant: tenantID(0), Op: policy.Ingest, Class: policy.CallRecord, Region: "ie1", Now: time.Now(), Attestation: f.Attestation()}
	d := policy.Decide(v.Set, v.Topology, q)
	if err := d.Err(); err == nil || err.Reason != policy.PermissionDenied || !d.Has(policy.RuleAttestation) {
		t.Errorf("decided %v", err)
	}
	if _, known := v.Key(policy.KeyID(row.Tenant.Keys[0].ID)); !known {
		t.Error("its key is not known any more, so that it would be told to show a valid one")
	}
	q.Tenant = tenantID(1)
	if d := policy.Decide(v.Set, v.Topology, q); d.Effect != policy.Allow {
		t.Errorf("another tenant: %v", d.Reasons())
	}
	both := row
	t2 := *row.Tenant
	t2.Demands = policy.OperatorSigned // and the policy as well
	both.Tenant = &t2
	nacked(t, s.push(t, p.b.delta(nil, both)), v.Revision, badRow)
}
