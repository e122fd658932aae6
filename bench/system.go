package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/testcluster"
)

const (
	batchRecords  = 1000
	batchWriters  = 4
	singleWriters = 64
	policyWriters = 64
	rounds        = 3
)

// system measures three voters and three regions as separate processes, loaded
// from this one over HTTPS on loopback: client and servers share the cores.
func system(ctx context.Context, dir, bin string, length time.Duration, r *report) error {
	c, err := testcluster.Open(ctx, testcluster.Options{Dir: filepath.Join(dir, "data"), Bin: bin})
	if err != nil {
		return err
	}
	defer c.Close()
	region, err := place(ctx, c, "bench-ie", "ie1", "IE")
	if err != nil {
		return err
	}
	each := length / rounds
	if err := r.rounds("NDJSON ingest over HTTPS", "records/s", fmt.Sprintf("%d writers × %d records of ~1 KB, sealed, deduplicated, indexed, synced", batchWriters, batchRecords), rounds,
		func() (float64, error) { return ingest(ctx, region, each) }); err != nil {
		return err
	}
	return r.rounds("single-record ingest over HTTPS", "records/s", fmt.Sprintf("%d writers", singleWriters), rounds,
		func() (float64, error) { return singles(ctx, region, each) })
}

func place(ctx context.Context, c *testcluster.Cluster, slug, home, country string) (*client.Region, error) {
	control := c.Control("cp1")
	if _, err := control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: home, BillingCountry: country}); err != nil {
		return nil, err
	}
	key, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: slug, Region: home, Role: "admin"})
	if err != nil {
		return nil, err
	}
	return c.Region(home, key.Secret), nil
}

// serial makes every record of a run a new one.
var serial atomic.Int64

// line is one record of about 1 KB, as a switch would fill it in.
func line(buf []byte, n int64) []byte { return lineTo(buf, n, callees) }

const callees = 10000 // numbers that are called

// startOf is when a record's call began.
func startOf(n int64) time.Time {
	return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 37 * time.Millisecond)
}

func callee(n, numbers int64) string { return fmt.Sprintf("+3531%07d", 5550000+n%numbers) }

// lineTo is the same, to one of so many numbers.
func lineTo(buf []byte, n int64, numbers int) []byte {
	buf = fmt.Appendf(buf, `{"native_id":"%08x-5b1e-4c57-9d0f-%012x","leg":"a","from":"+35386%07d","to":%q,"caller_name":"Caller %d","direction":"inbound","status":"completed",`,
		n&0xffffffff, n*2654435761&0xffffffffffff, n*7919%10000000, callee(n, int64(numbers)), n)
	at := startOf(n)
	buf = fmt.Appendf(buf, `"start_time":%q,"answer_time":%q,"end_time":%q,"duration_ms":%d,"billsec_ms":%d,"sip_code":200,"q850_cause":16,`,
		at.Format(time.RFC3339Nano), at.Add(4*time.Second).Format(time.RFC3339Nano), at.Add(94*time.Second).Format(time.RFC3339Nano), 94000, 90000)
	buf = fmt.Appendf(buf, `"stir":{"attest":"A","orig_id":"%032x","verstat":"TN-Validation-Passed-A"},"recording_refs":[`, n)
	for i := range 6 {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = fmt.Appendf(buf, `"s3://recordings/2026/11/01/segment-%d/%016x.wav"`, i, n*31+int64(i))
	}
	return append(buf, "]}\n"...)
}

// batches are made before the clock starts, so that only the sending is timed.
func ingest(ctx context.Context, region *client.Region, length time.Duration) (float64, error) {
	const prepared = 400
	bodies := make([][]byte, prepared)
	for i := range bodies {
		var b []byte
		for range batchRecords {
			b = line(b, serial.Add(1))
		}
		bodies[i] = b
	}
	var next, done atomic.Int64
	took, err := load(ctx, batchWriters, length, func(ctx context.Context) (bool, error) {
		i := next.Add(1) - 1
		if i >= prepared {
			return false, nil
		}
		counts, err := region.Batch(ctx, client.Upload{Body: bytes.NewReader(bodies[i])})
		if err == nil && counts.Accepted != batchRecords {
			err = fmt.Errorf("%+v of %d accepted", counts, batchRecords)
		}
		done.Add(int64(counts.Accepted))
		return true, err
	})
	return rate(int(done.Load()), took), err
}

func tenants(ctx context.Context, c *testcluster.Cluster, length time.Duration) (float64, error) {
	status, err := c.Control("cp1").Status(ctx)
	if err != nil {
		return 0, err
	}
	control := c.Control(status.Leader)
	var done atomic.Int64
	took, err := load(ctx, policyWriters, length, func(ctx context.Context) (bool, error) {
		n := serial.Add(1)
		_, err := control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: fmt.Sprintf("b-%s", letters(n)), HomeRegion: "au1", BillingCountry: "AU"})
		done.Add(1)
		return true, err
	})
	return rate(int(done.Load()), took), err
}

// letters writes a number without digits, because a slug must not hold a phone number.
func letters(n int64) string {
	var b []byte
	for ; n > 0; n /= 26 {
		b = append(b, 'a'+byte(n%26))
	}
	return string(b)
}

// load runs writers until length has passed, work ends, or one of them fails.
func load(ctx context.Context, writers int, length time.Duration, once func(context.Context) (more bool, err error)) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	start := time.Now()
	for range writers {
		all.Go(func() {
			for time.Since(start) < length && ctx.Err() == nil {
				more, err := once(ctx)
				if err != nil {
					cancel(err)
				}
				if !more {
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(start), context.Cause(ctx)
}
