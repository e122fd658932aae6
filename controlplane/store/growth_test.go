package store

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

var (
	growthTenants = flag.Int("growth.tenants", 10_000, "tenants of BenchmarkGrowth")
	growthChanges = flag.Int("growth.changes", 100_000, "changes of policies of BenchmarkGrowth, in turns over the tenants")
)

// BenchmarkGrowth says what a history of changes costs: bytes on disk and in a
// snapshot, and the time that snapshot, restore and start take. One run is one
// history, so give it -benchtime 1x.
func BenchmarkGrowth(b *testing.B) {
	for b.Loop() {
		f := grown(b, *growthTenants, *growthChanges)
		info, err := os.Stat(f.path)
		check(b, err)
		begin := time.Now()
		var image bytes.Buffer
		check(b, f.WriteSnapshot(&image))
		b.ReportMetric(time.Since(begin).Seconds(), "s/snapshot")
		b.ReportMetric(float64(info.Size())/1e6, "MB/state")
		b.ReportMetric(float64(image.Len())/1e6, "MB/snapshot")
		to := empty(b)
		begin = time.Now()
		check(b, to.Restore(&image))
		b.ReportMetric(time.Since(begin).Seconds(), "s/restore")
		info, err = os.Stat(to.path)
		check(b, err)
		b.ReportMetric(float64(info.Size())/1e6, "MB/restored")
		check(b, f.Close())
		begin = time.Now()
		again, err := Open(Options{Path: f.path})
		check(b, err)
		b.ReportMetric(time.Since(begin).Seconds(), "s/start")
		check(b, again.Close())
		for _, left := range []string{f.path, to.path} {
			check(b, os.RemoveAll(filepath.Dir(left)))
		}
	}
}

// grown is a store with tenants and changes of their policies, each a request of
// its own with an idempotency key, 64 to a transaction, a thousand a second.
func grown(t testing.TB, tenants, changes int) *fixture {
	t.Helper()
	f := seeded(t)
	var entries []Entry
	var last []Result
	add := func(p Payload) {
		f.index++
		f.now = f.now.Add(time.Millisecond)
		s := Stamp{Now: f.now, Actor: actor, IdempotencyKey: uuid(int(f.index)), RequestHash: hexHash(fmt.Sprint(f.index))}
		data, err := Encode(Command{Stamp: s, Payload: p})
		check(t, err)
		entries = append(entries, Entry{Index: f.index, Term: 1, Data: data})
	}
	apply := func() {
		t.Helper()
		var err error
		last, err = f.Apply(entries)
		check(t, err)
		for _, r := range last {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		entries = entries[:0]
	}
	for n := range tenants {
		if add(createTenant(n, "ie1")); len(entries) == 64 {
			apply()
		}
	}
	apply()
	if tenants == 0 {
		return f
	}
	have := got(f.Policy(id[policy.TenantID](policy.KindTenant, 0)))(t)
	etags := make([]string, tenants)
	for n := range tenants {
		etags[n] = got(f.Policy(id[policy.TenantID](policy.KindTenant, n)))(t).ETag
	}
	revision := f.Revision()
	for n := range changes {
		have.Tenant = id[policy.TenantID](policy.KindTenant, n%tenants)
		add(PutPolicy{Tenant: have.Tenant, IfMatch: etags[n%tenants], Policy: kept(have, policy.Seconds(1_000_000_000-n))})
		revision++
		etags[n%tenants] = etagOf(revision)
		if len(entries) == 64 || n == changes-1 || (n+1)%tenants == 0 {
			apply()
		}
	}
	return f
}
