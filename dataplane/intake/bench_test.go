package intake

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
)

// batch is n native records of about 1 KB with different numbers.
func batch(n int) []byte {
	var out bytes.Buffer
	for i := range n {
		fmt.Fprintf(&out, `{"native_id":"3f1c9b8a-51c2-4f0b-9b75-%012d","leg":"a","from":"+35386%07d","to":"+35315%06d","caller_name":"Customer %d",`+
			`"direction":"inbound","status":"completed","start_time":"2026-03-14T09:26:53.120391Z","ring_time":"2026-03-14T09:26:55Z",`+
			`"answer_time":"2026-03-14T09:27:01.004112Z","end_time":"2026-03-14T09:31:40.431245Z","duration_ms":287310,"billsec_ms":279427,"sip_code":200,"q850_cause":16,`+
			`"stir":{"attest":"A","orig_id":"0f3c1a52-7777-4444-9999-0123456789ab","verstat":"TN-Validation-Passed-A","spc":"709J"},`+
			`"recording_refs":["/var/lib/recordings/2026/03/14/%012d-a-leg-mixed-stereo.wav","/var/lib/recordings/2026/03/14/%012d-b-leg-mixed-stereo.wav"],`+
			`"consent_ref":"consent/2026/03/14/%012d/announcement-played-and-accepted-by-keypress-of-the-caller-in-language-en-IE-version-7-of-the-text"}`+"\n",
			i, 1234567+i%5000, 551000+i%900, i, i, i, i)
	}
	return out.Bytes()
}

// BenchmarkNDJSON is the ingest path up to the store: split, parse strictly,
// read numbers, hash.
func BenchmarkNDJSON(b *testing.B) {
	const n = 10000
	body := batch(n)
	s := Settings{Source: record.Native, Instance: "native", DefaultCountry: "IE", Numbers: NewNumbers(0)}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	records := 0
	for b.Loop() {
		err := NDJSON(context.Background(), s, bytes.NewReader(body), func(it Item) error {
			if it.Err != nil {
				return it.Err
			}
			records++
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(records), "µs/record")
}

// BenchmarkNumbers reads numbers that were never seen before.
func BenchmarkNumbers(b *testing.B) {
	var n *Numbers
	i := 0
	for b.Loop() {
		i++
		n.Party(fmt.Sprintf("+35386%07d", i%10000000), "")
	}
}
