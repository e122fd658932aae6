package local_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// BenchmarkAppend prints records/s beside what the disk syncs per second:
// absolute numbers move between machines, their ratio less.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ batch, callers int }{{1, 64}, {100, 8}, {1000, 4}, {1000, 1}} {
		b.Run(fmt.Sprintf("batch=%d/callers=%d", c.batch, c.callers), func(b *testing.B) {
			syncs, dir := fdatasyncRate(b), b.TempDir()
			s, _ := openAt(b, dir, nil)
			permit := storetest.Permit(b, storetest.TenantA, policy.Ingest)
			var next atomic.Int64
			batches := make(chan []record.Record, 2*c.callers)
			total := b.N
			go func() {
				defer close(batches)
				for n := 0; n < total; n += c.batch {
					recs := make([]record.Record, min(c.batch, total-n))
					for i := range recs {
						recs[i] = benchRecord(int(next.Add(1)))
					}
					batches <- recs
				}
			}()
			for len(batches) < cap(batches) && int(next.Load()) < total {
				time.Sleep(time.Millisecond) // fills the queue before the clock starts
			}
			before := processor(b)
			b.ResetTimer()
			done := make(chan error, c.callers)
			for range c.callers {
				go func() {
					for recs := range batches {
						if _, err := s.Append(context.Background(), permit, recs); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range c.callers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(syncs, "fdatasync/s")
			b.ReportMetric(float64((processor(b)-before).Nanoseconds())/1000/float64(total), "µs-cpu/record")
			logs, tables := taken(b, filepath.Join(dir, "records"))
			b.ReportMetric(float64(logs)/float64(total), "log-B/record")
			b.ReportMetric(float64(tables)/float64(total), "table-B/record")
		})
	}
}

// processor is the processor time that this process has used, the making of records
// included: on a shared machine it says more than the clock does.
func processor(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// taken is what the store's logs and tables take of the disk.
func taken(b *testing.B, dir string) (logs, tables int64) {
	files, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, f.Name()), &st) != nil {
			continue // it went meanwhile
		}
		switch filepath.Ext(f.Name()) {
		case ".log":
			logs += st.Blocks * 512
		case ".sst":
			tables += st.Blocks * 512
		}
	}
	return logs, tables
}

// benchRecord is a record with a native payload of about 1 KB, of which a
// seventh is its own, as switches write them.
func benchRecord(n int) record.Record {
	r := storetest.Native(n)
	h := sha256.Sum256(fmt.Append(nil, n))
	r.From = record.Party{Raw: fmt.Sprintf("+35386%07d", int(h[0])<<12|int(h[1])<<4), Country: "IE"}
	r.From.E164 = r.From.Raw
	r.To.E164 = fmt.Sprintf("+35315%05d", int(h[2])<<8|int(h[3]))
	r.Native = fmt.Appendf(make([]byte, 0, 1100), `{"native_id":"call-%d","uuid":"%x","from":"%s","to":"%s","start":"%s","answer":"%s","end":"%s","billsec":90,"duration":95,`+
		`"direction":"inbound","status":"completed","sip_code":200,"q850":16,"codec_read":"PCMA","codec_write":"PCMA","context":"public","profile":"external",`+
		`"local_media_ip":"192.0.2.10","remote_media_ip":"198.51.100.%d","local_media_port":%d,"user_agent":"FreeSWITCH-mod_sofia/1.10.12-release","hangup_cause":"NORMAL_CLEARING",`+
		`"hangup_disposition":"recv_bye","rtp_audio_in_packet_count":%d,"rtp_audio_out_packet_count":%d,"rtp_audio_in_jitter_loss_rate":0.0,"rtp_audio_in_mos":4.5,`+
		`"variables":{"sip_network_ip":"198.51.100.7","sip_network_port":"5060","sip_invite_failure_status":"","endpoint_disposition":"ANSWER","originate_disposition":"SUCCESS",`+
		`"sip_term_status":"200","proto_specific_hangup_cause":"sip:200","last_bridge_hangup_cause":"NORMAL_CLEARING","process_cdr":"true","effective_caller_id_name":"Outbound Call"}}`,
		n, h[:16], r.From.Raw, r.To.E164, r.Start.Format(time.RFC3339Nano), r.Answer.Format(time.RFC3339Nano), r.End.Format(time.RFC3339Nano), h[4], 10000+int(h[5])<<6, 4400+int(h[6]), 4400+int(h[7]))
	return storetest.Hashed(r)
}

// fdatasyncRate measures 4 KiB appends, each synced, for a tenth of a second.
func fdatasyncRate(b *testing.B) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	n, start := 0, time.Now()
	for time.Since(start) < 100*time.Millisecond {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}
