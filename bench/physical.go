package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/policy"
)

// physical measures the disk under dir: 4 KiB appends, each with fdatasync.
func physical(dir string, r *report) error {
	f, err := os.Create(filepath.Join(dir, "fsync-probe"))
	if err != nil {
		return fmt.Errorf("make a probe: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := bytes.Repeat([]byte{'x'}, 4096)
	return r.rounds("fdatasync of a 4 KiB append", "1/s", "one writer; bounds every durable single write", 3, func() (float64, error) {
		n, start := 0, time.Now()
		for ; time.Since(start) < time.Second; n++ {
			if _, err := f.Write(block); err != nil {
				return 0, err
			}
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				return 0, err
			}
		}
		return rate(n, time.Since(start)), nil
	})
}

const benchTenants = 100_000

// decisions measures policy.Decide in process: one tenant again and again, and
// tenants at random.
func decisions(r *report) {
	region := policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}
	top, err := policy.NewTopology([]policy.Region{region})
	if err != nil {
		panic(err) // the literal above is good
	}
	rules := make([]*policy.Rules, benchTenants)
	for i := range rules {
		p := policy.DefaultPolicy(policy.TenantID(fmt.Sprintf("TN%032x", i)), region, "DOM-IE")
		rules[i] = policy.Compile(&p, policy.TenantActive)
	}
	set := (&policy.Set{}).With(1, rules, nil)
	measure := func(pick func(i int) policy.TenantID) func() (float64, error) {
		return func() (float64, error) {
			const n = 500_000
			q := policy.Request{Op: policy.Ingest, Class: policy.CallRecord, Region: "ie1", Attestation: policy.Declared}
			start := time.Now()
			for i := range n {
				q.Tenant = pick(i)
				if d := policy.Decide(set, top, q); d.Effect != policy.Allow {
					return 0, fmt.Errorf("denied: %v", d.Reasons())
				}
			}
			return float64(time.Since(start).Nanoseconds()) / n, nil
		}
	}
	_ = r.rounds("decision, one tenant", "ns", "policy.Decide in process", 5, measure(func(int) policy.TenantID { return rules[0].Tenant }))
	_ = r.rounds("decision, random tenants", "ns", fmt.Sprintf("of %d", benchTenants), 5,
		measure(func(i int) policy.TenantID { return rules[(i*7919+13)%benchTenants].Tenant }))
}
