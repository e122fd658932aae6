package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// benchLines are n records as `make bench` sends them: about 850 bytes each, every
// caller new, of 10,000 called numbers.
func benchLines(from, n int) []byte {
	var b bytes.Buffer
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, `{"native_id":"%08x-5b1e-4c57-9d0f-%012x","leg":"a","from":"+35386%07d","to":"+3531555%04d","caller_name":"Caller %d","direction":"inbound","status":"completed",`,
			i, i*2654435761&0xffffffffffff, i*7919%10000000, i%10000, i)
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 37 * time.Millisecond)
		fmt.Fprintf(&b, `"start_time":%q,"answer_time":%q,"end_time":%q,"duration_ms":%d,"billsec_ms":%d,"sip_code":200,"q850_cause":16,`,
			at.Format(time.RFC3339Nano), at.Add(4*time.Second).Format(time.RFC3339Nano), at.Add(94*time.Second).Format(time.RFC3339Nano), 94000, 90000)
		fmt.Fprintf(&b, `"stir":{"attest":"A","orig_id":"%032x","verstat":"TN-Validation-Passed-A"},"recording_refs":[`, i)
		for j := range 6 {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"s3://recordings/2026/11/01/segment-%d/%016x.wav"`, j, i*31+j)
		}
		b.WriteString("]}\n")
	}
	return b.Bytes()
}

// processor is the processor time that this process has used: on a shared machine
// it says more than the clock does.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func perRecord(b *testing.B, used time.Duration, records int) {
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(records), "µs-cpu/record")
}

// BenchmarkBatch is the whole path: HTTPS, authentication, parsing, the gate,
// sealing, indexes and fsync. One iteration is 50 batches of 1000 records.
func BenchmarkBatch(b *testing.B) {
	const batches, each = 50, 1000
	r := start(b)
	size, next := 0, 0
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		bodies := make([][]byte, batches)
		for i := range bodies {
			bodies[i] = benchLines(next, each)
			next, size = next+each, size+len(bodies[i])
		}
		before := processor(b)
		b.StartTimer()
		for _, body := range bodies {
			if status, _, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, bytes.NewReader(body)); status != http.StatusOK {
				b.Fatalf("%d %s", status, raw)
			}
		}
		used += processor(b) - before
	}
	perRecord(b, used, next)
	b.ReportMetric(float64(size)/float64(next), "bytes/record")
}

// BenchmarkStream is the same path by gRPC: one iteration is a stream of 50 batches of
// 1000 records, each acknowledged before the next is sent.
func BenchmarkStream(b *testing.B) {
	const batches, each = 50, 1000
	r := start(b)
	next := 0
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		bodies := make([]string, batches)
		for i := range bodies {
			bodies[i], next = string(benchLines(next, each)), next+each
		}
		before := processor(b)
		b.StartTimer()
		st := r.stream(writer)
		for i, body := range bodies {
			if n := len(r.acked(st, uint64(i+1), body).GetOutcomes()); n != each {
				b.Fatalf("%d outcomes for %d records", n, each)
			}
		}
		must(b, st.CloseSend())
		used += processor(b) - before
	}
	perRecord(b, used, next)
}

// BenchmarkExport reads a file of everything that a tenant has, HTTPS and the
// client included. One iteration is 50,000 records.
func BenchmarkExport(b *testing.B) {
	const n = 50_000
	r := start(b)
	for from := 0; from < n; from += 1000 {
		if status, _, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, bytes.NewReader(benchLines(from, 1000))); status != http.StatusOK {
			b.Fatalf("%d %s", status, raw)
		}
	}
	for _, format := range []string{"ndjson", "csv"} {
		b.Run(format, func(b *testing.B) {
			done, before := 0, processor(b)
			for b.Loop() {
				q, err := http.NewRequest(http.MethodGet, "https://"+r.addr+"/v1/calls:export?format="+format, nil)
				if err != nil {
					b.Fatal(err)
				}
				q.Header.Set("Authorization", "Bearer "+reader)
				res, err := r.client.Do(q)
				if err != nil {
					b.Fatal(err)
				}
				size, err := io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || size < n*700 {
					b.Fatalf("%d, %d bytes, %v", res.StatusCode, size, err)
				}
				done += n
			}
			perRecord(b, processor(b)-before, done)
		})
	}
}

// BenchmarkOne is single-record POSTs at 64 clients, which hold their connections
// and have made their requests before.
func BenchmarkOne(b *testing.B) {
	const clients = 64
	r := start(b)
	bodies := bytes.SplitAfter(bytes.TrimSuffix(benchLines(0, b.N), []byte("\n")), []byte("\n"))
	asks := make([][]byte, b.N)
	for i, body := range bodies {
		asks[i] = fmt.Appendf(nil, "POST /v1/calls HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", r.addr, writer, len(body), body)
	}
	conns := make([]*tls.Conn, clients)
	for i := range conns {
		conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots})
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	var next, again atomic.Int64
	var all sync.WaitGroup
	before := processor(b)
	b.ResetTimer()
	for _, conn := range conns {
		all.Go(func() {
			in := bufio.NewReader(conn)
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				for status := 0; status != http.StatusCreated; {
					var err error
					if status, err = exchangeRaw(conn, in, asks[i]); err != nil || status != http.StatusCreated && status != http.StatusTooManyRequests {
						b.Errorf("%d, %v", status, err)
						return
					}
					if status == http.StatusTooManyRequests {
						again.Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	perRecord(b, processor(b)-before, b.N)
	b.ReportMetric(float64(again.Load())/float64(b.N), "refused/record")
}

func exchangeRaw(conn io.Writer, in *bufio.Reader, ask []byte) (status int, err error) {
	if _, err := conn.Write(ask); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, errors.Join(err, res.Body.Close())
}
