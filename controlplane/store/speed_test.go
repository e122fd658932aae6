package store

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// BenchmarkApplyPolicies applies policies that tighten, many in one transaction:
// as a batch of one entry, and as entries of 64 clients. It reports the processor
// time of this process, too.
func BenchmarkApplyPolicies(b *testing.B) {
	for _, how := range []struct {
		name string
		one  bool // an entry holds them all
	}{{"batch", true}, {"entries", false}} {
		b.Run(how.name, func(b *testing.B) {
			f := seeded(b)
			const tenants = 100
			var have [tenants]Policy
			for i := range tenants {
				have[i] = got(f.Policy(f.tenant(i, "ie1").ID))(b)
			}
			seconds := policy.Seconds(1_000_000_000)
			used := time.Duration(0)
			b.ResetTimer()
			for n := 0; n < b.N; n += tenants {
				b.StopTimer()
				entries := round(b, f, have[:], seconds, how.one)
				seconds--
				before := processorTime()
				b.StartTimer()
				results, err := f.Apply(entries)
				b.StopTimer()
				used += processorTime() - before
				check(b, err)
				for _, r := range results {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
				for i := range have {
					have[i].ETag = etagOf(results[len(results)-1].Revision - uint64(tenants-1-i))
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "µs-processor/op")
		})
	}
}

// round encodes one more policy of each tenant.
func round(b *testing.B, f *fixture, have []Policy, seconds policy.Seconds, one bool) []Entry {
	var payloads []Payload
	for _, p := range have {
		payloads = append(payloads, PutPolicy{Tenant: p.Tenant, IfMatch: p.ETag, Policy: kept(p, seconds)})
	}
	s := f.stamp()
	if one {
		payloads = []Payload{batchOf(b, s, payloads...)}
	}
	var entries []Entry
	for _, p := range payloads {
		f.index++
		s.IdempotencyKey, s.RequestHash = uuid(int(f.index)), hexHash("request")
		data, err := Encode(Command{Stamp: s, Payload: p})
		check(b, err)
		entries = append(entries, Entry{Index: f.index, Term: 1, Data: data})
	}
	return entries
}

// BenchmarkApplyAmongMany applies policies of 64 clients in groups, as voters get
// them, in a state of some size: 6400 tenants and the idempotency records of 20,000
// changes. It reports the processor time of this process, too.
func BenchmarkApplyAmongMany(b *testing.B) {
	const all, clients = 6400, 64
	f := seeded(b)
	var have [clients]Policy
	var ids []policy.TenantID
	for i := range all {
		ids = append(ids, f.tenant(i, "ie1").ID)
	}
	for i := range have {
		have[i] = got(f.Policy(ids[i*all/clients]))(b)
	}
	seconds := policy.Seconds(1_000_000_000)
	at := 0
	turn := func(group int) (used time.Duration) {
		entries := []Entry{}
		for len(entries) < group {
			entries = append(entries, round(b, f, have[at%clients:][:1], seconds, false)...)
			seconds--
			at++
			have[(at-1)%clients].ETag = etagOf(f.Revision() + uint64(len(entries)))
		}
		before := processorTime()
		results, err := f.Apply(entries)
		used = processorTime() - before
		check(b, err)
		for _, r := range results {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		return used
	}
	for range 1000 {
		turn(20)
	}
	for _, group := range []int{20, 60, 200} {
		b.Run(fmt.Sprint("groups of ", group), func(b *testing.B) {
			used := time.Duration(0)
			n := 0
			for ; n < b.N; n += group {
				used += turn(group)
			}
			b.ReportMetric(float64(used.Microseconds())/float64(n), "µs-processor/op")
		})
	}
}

// BenchmarkApplyBatches applies batches as bench/ sends them: 64 clients with a
// hundred tenants each, whose policies say something of call records and of nothing
// else. It reports the processor time of this process, too.
func BenchmarkApplyBatches(b *testing.B) {
	const clients, each = 64, 100
	f := seeded(b)
	have := make([]Policy, clients*each)
	for i := range have {
		p := got(f.Policy(f.tenant(i, "ie1").ID))(b)
		p.Egress, p.Classes = map[policy.EgressClass]policy.EgressRule{}, map[policy.DataClass]policy.ClassRule{policy.CallRecord: {Mode: policy.Sealed, Retention: 1_000_000_001}}
		have[i] = body[Policy](b, f.must(PutPolicy{Tenant: p.Tenant, IfMatch: p.ETag, Policy: p.ResidencyPolicy}))
	}
	seconds, used := policy.Seconds(1_000_000_000), time.Duration(0)
	b.ResetTimer()
	for n, at := 0, 0; n < b.N; n, at = n+each, (at+each)%len(have) {
		b.StopTimer()
		mine := have[at : at+each]
		entries := round(b, f, mine, seconds, true)
		seconds--
		before := processorTime()
		b.StartTimer()
		results, err := f.Apply(entries)
		b.StopTimer()
		used += processorTime() - before
		check(b, err)
		for i, o := range body[[]BatchOutcome](b, results[0]) {
			if o.Reason != "" {
				b.Fatal(o.Reason)
			}
			mine[i].ETag = o.ETag
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "µs-processor/op")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
