package store

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// BenchmarkApplyPolicies applies policies that tighten, many in one transaction:
// as a batch of one entry, and as entries of 64 clients.
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
			b.ResetTimer()
			for n := 0; n < b.N; n += tenants {
				b.StopTimer()
				entries := round(b, f, have[:], seconds, how.one)
				seconds--
				b.StartTimer()
				results, err := f.Apply(entries)
				b.StopTimer()
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
