package server

import (
	"bytes"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// BenchmarkLine writes lines of an export of calls that are in memory.
func BenchmarkLine(b *testing.B) {
	var calls []store.Call
	now := time.Date(2026, 11, 1, 10, 0, 0, 123456000, time.UTC)
	settings := intake.Settings{Source: record.Native, Instance: "api", Location: time.UTC, DefaultCountry: "IE", AssumedCountry: true}
	for _, raw := range bytes.SplitAfter(benchLines(0, 256), []byte("\n"))[:256] {
		r, err := intake.Native(settings, raw)
		if err != nil {
			b.Fatal(err)
		}
		r.From.Subject, r.To.Subject = "SU000102030405060708090a0b0c0d0e0f", "SU100102030405060708090a0b0c0d0e0f"
		calls = append(calls, store.Call{ID: "CA00112233445566778899aabbccddeeff", Record: r, Versions: 1, IngestedAt: now, UpdatedAt: now, ListedAt: r.Start})
	}
	l := lineFile{region: "ie1"}
	out := make([]byte, 0, pageBytes+64<<10)
	n, before := 0, processor(b)
	for ; b.Loop(); n++ {
		if len(out) > pageBytes {
			out = out[:0]
		}
		var err error
		if out, err = l.call(out, &calls[n%len(calls)], 7); err != nil {
			b.Fatal(err)
		}
	}
	perRecord(b, processor(b)-before, n)
}
