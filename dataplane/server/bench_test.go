package server

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

// benchLines are n records of about 1 KB, of 40,000 people.
func benchLines(round, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"native_id":"b-%d-%d","from":"+35387%07d","to":"+35386%07d","caller_name":"Person %d","direction":"inbound","status":"completed","start_time":"2026-03-%02dT09:%02d:%02dZ","duration_ms":60000,"billsec_ms":55000,"stir":{"attest":"A","orig_id":"%032x","verstat":"TN-Validation-Passed-A"},"recording_refs":["RE%032x"],"consent_ref":"consent-%d"}`,
			round, i, (i*7919)%20_000, (i*104729)%20_000, i, 1+i%28, i%60, (i/60)%60, i, i, i)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// BenchmarkBatch is the whole path: HTTPS, authentication, parsing, the gate,
// sealing, indexes and fsync. One iteration is one batch of 50,000 records.
func BenchmarkBatch(b *testing.B) {
	const n = 50_000
	r := start(b)
	size := 0
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		body := benchLines(i, n)
		size += len(body)
		b.StartTimer()
		status, _, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, bytes.NewReader(body))
		if status != http.StatusOK {
			b.Fatalf("%d %s", status, raw)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(size)/float64(n)/float64(b.N), "bytes/record")
}

// BenchmarkOne is single-record POSTs at 64 clients.
func BenchmarkOne(b *testing.B) {
	r := start(b)
	r.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if status, raw := r.post("/v1/calls", writer, native(newRequestID(), "completed", 1)); status != http.StatusCreated {
				b.Errorf("%d %s", status, raw)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
