package local_test

import (
	"context"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// BenchmarkAlone says how many bytes on disk a byte of JSON takes when records come
// one by one, some seconds apart, before and after they are merged, in tables
// that are as small as they get, indexes included; and what a merge and a read cost.
// -benchtime=20000x is how many records.
func BenchmarkAlone(b *testing.B) {
	for _, apart := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		b.Run(apart.String(), func(b *testing.B) {
			clock := storetest.NewClock()
			s, _ := openAt(b, b.TempDir(), clocked(clock))
			json := 0
			var ids []string
			for n := range b.N {
				r := benchRecord(n)
				json += len(r.Native)
				out, err := ingest(b, s, r)
				if err != nil {
					b.Fatal(err)
				}
				ids = append(ids, out[0].ID)
				clock.Advance(apart)
			}
			size := func() float64 {
				n, err := s.CompactAll()
				if err != nil {
					b.Fatal(err)
				}
				return float64(n) / float64(json)
			}
			before, readBefore := size(), reads(b, s, ids)
			clock.Advance(2 * time.Hour)
			b.ResetTimer()
			var all sealed.Merged
			for more := true; more; {
				m, err := s.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{})
				if err != nil {
					b.Fatal(err)
				}
				all.Add(m)
				more = m.More
			}
			b.StopTimer()
			b.ReportMetric(before, "before/JSON")
			b.ReportMetric(size(), "after/JSON")
			b.ReportMetric(float64(all.Before)/float64(json), "frames/JSON")
			b.ReportMetric(float64(all.After)/float64(json), "covers/JSON")
			b.ReportMetric(float64(readBefore.Microseconds()), "µs/read-before")
			b.ReportMetric(float64(reads(b, s, ids).Microseconds()), "µs/read-after")
		})
	}
}

// reads is what a read of one call takes that nobody has read lately.
func reads(b *testing.B, s *local.Store, ids []string) time.Duration {
	b.Helper()
	permit := storetest.Permit(b, storetest.TenantA, policy.View)
	n, began := 0, time.Now()
	for i := 0; i < len(ids); i += max(1, len(ids)/200) {
		s.ForgetFrames()
		if _, err := s.Call(context.Background(), permit, ids[i]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return time.Since(began) / time.Duration(n)
}
