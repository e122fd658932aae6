package feed

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

var benchTenants = flag.Int("feed.tenants", 1_000_000, "tenants of the bundle that is measured")

// million is a bundle of -feed.tenants tenants as a replica holds it, each with
// the default policy and one key, taken in through encoding, sealing and
// verification as from the wire.
type million struct {
	replica  replica
	state    bundle.State
	signer   *bundle.Signer
	revision uint64
	until    time.Time
	each     uint64 // bytes of heap on the node for a tenant
}

func bigRow(i int) policy.Row {
	row := tenantRow(i, "ie1")
	row.Tenant.Slug = policy.Slug(fmt.Sprintf("tenant-%c%c%c%c", 'a'+i/17576%26, 'a'+i/676%26, 'a'+i/26%26, 'a'+i%26))
	row.Tenant.HomeURL = "https://api.ie1.example"
	row.Tenant.Policy.Revision = uint64(i + 1)
	return row
}

// parts sends rows in parts as a voter cuts them.
func (m *million) parts(tb testing.TB, n int, row func(int) policy.Row) {
	tb.Helper()
	part, size := &controlv1.SnapshotPart{}, 0
	send := func(last bool) {
		p := &controlv1.Push{Revision: m.revision, Change: &controlv1.Push_Part{Part: part}}
		if part.Last = last; last {
			m.seal(p)
		}
		m.take(tb, p)
		part, size = &controlv1.SnapshotPart{Number: part.GetNumber() + 1}, 0
	}
	add := func(r policy.Row) {
		key, body, err := bundle.Encode(r)
		if err != nil {
			tb.Fatal(err)
		}
		m.state.Put(key, body)
		if size+len(body) > bundle.MaxPartBytes {
			send(false)
		}
		part.Rows, size = append(part.Rows, body), size+len(body)
	}
	for _, r := range []policy.Region{region("ie1", "eu"), region("us1", "us")} {
		add(policy.Row{Region: &r})
	}
	for i := range n {
		add(row(i))
	}
	send(true)
}

func (m *million) seal(p *controlv1.Push) {
	p.Revision, p.FreshUntil = m.revision, m.until.Unix()
	p.Seal = m.signer.Seal("ie1", m.revision, m.state.Hash(), m.until)
}

func (m *million) take(tb testing.TB, p *controlv1.Push) {
	tb.Helper()
	s, refused := m.replica.take(p)
	if refused != nil {
		tb.Fatal(refused)
	}
	m.replica.commit(s)
}

func newMillion(t testing.TB) *million {
	signer, root := newSigner(t)
	return &million{signer: signer, revision: 1, until: time.Now().Add(time.Hour),
		replica: replica{expect: bundle.Expect{Cluster: cluster, Region: "ie1", Root: root}}}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // weak pointers and finalizers need the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

var built *million

// big builds the bundle once for all benchmarks.
func big(b *testing.B) *million {
	if built != nil {
		return built
	}
	m := newMillion(b)
	before, begin := heap(), time.Now()
	m.parts(b, *benchTenants, bigRow)
	took := time.Since(begin)
	m.state = *m.replica.good.rows.Clone() // shared, so that only the node's own is measured
	m.each = (heap() - before) / uint64(*benchTenants)
	b.Logf("%d tenants: %d bytes of heap for each on the node (view, rules, keys and hashes), snapshot encoded, sealed, verified and applied in %v",
		*benchTenants, m.each, took.Round(time.Millisecond))
	built = m
	return m
}

// BenchmarkApplyOneChange is P6: verify, decode and apply a delta of one row; and
// the memory that a tenant takes. make bench reads both.
func BenchmarkApplyOneChange(b *testing.B) {
	m := big(b)
	deltas := make([]*controlv1.Push, 0, 4096)
	for i := 0; b.Loop(); i++ {
		if i%4096 == 0 {
			b.StopTimer()
			deltas = deltas[:0]
			for j := range 4096 {
				row := bigRow((i + j*7919) % *benchTenants)
				row.Tenant.Policy.Revision = m.revision + 1
				key, body, err := bundle.Encode(row)
				if err != nil {
					b.Fatal(err)
				}
				m.state.Put(key, body)
				p := &controlv1.Push{Change: &controlv1.Push_Delta{Delta: &controlv1.Delta{FromRevision: m.revision, Rows: [][]byte{body}}}}
				m.revision++
				m.seal(p)
				deltas = append(deltas, p)
			}
			b.StartTimer()
		}
		m.take(b, deltas[i%4096])
	}
	for m.replica.good.view.Revision < m.revision { // what is left of the last batch
		m.take(b, deltas[len(deltas)-int(m.revision-m.replica.good.view.Revision)])
	}
	b.ReportMetric(float64(m.each), "B/tenant")
}

// BenchmarkResync applies the whole bundle again, of which nothing changed.
func BenchmarkResync(b *testing.B) {
	m := big(b)
	for b.Loop() {
		m.state = bundle.State{}
		m.revision++
		m.parts(b, *benchTenants, bigRow)
	}
}

// BenchmarkDecideHot and BenchmarkDecideRandom are P5, which make bench reads.
func BenchmarkDecideHot(b *testing.B)    { decideAt(b, 1) }
func BenchmarkDecideRandom(b *testing.B) { decideAt(b, *benchTenants) }

func decideAt(b *testing.B, among int) {
	v := big(b).replica.good.view
	ids := make([]policy.TenantID, 1<<20)
	for i := range ids {
		ids[i] = tenantID(int(uint64(i) * 2654435761 % uint64(among)))
	}
	q := policy.Request{Op: policy.Ingest, Class: policy.CallRecord, Region: "ie1", Attestation: policy.Declared}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		q.Tenant = ids[i&(1<<20-1)]
		if d := policy.Decide(v.Set, v.Topology, q); d.Effect != policy.Allow {
			b.Fatal(d.Reasons())
		}
	}
}
