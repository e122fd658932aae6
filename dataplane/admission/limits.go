package admission

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Lane is a kind of work with turns of its own.
type Lane uint8

// The lanes.
const (
	Ingest Lane = iota
	Read
	Erase
	numLanes = iota
)

// String names a lane, for a metric's label.
func (l Lane) String() string { return [numLanes]string{"ingest", "read", "erase"}[l] }

// Units of the lanes' capacity. An ingest weighs the bytes of its body within
// MinWeight and MaxWeight: a stream is worked on piece by piece, and the smallest
// request costs what a request costs. Reads weigh 1, or Heavy for a page of many
// calls; erasures weigh 1.
const (
	MinWeight = 16 << 10
	MaxWeight = 256 << 10
	Heavy     = 4
)

// Quota is what one tenant may ask of one node. 0 is the default.
type Quota struct {
	Requests   int64 `yaml:"requests_per_second"` // taken in a second; default 20,000
	Records    int64 `yaml:"records_per_second"`  // taken in a second; default 500,000
	Bytes      int64 `yaml:"bytes_per_second"`    // of bodies, as they come; default 256 MiB
	Concurrent int   `yaml:"concurrent_requests"` // in flight at once; default 256
}

// Limits of a node. The zero value has the defaults.
type Limits struct {
	Tenant  Quota                     `yaml:"tenant"`  // of each tenant that is not in Tenants
	Tenants map[policy.TenantID]Quota `yaml:"tenants"` // what is 0 here is as for each tenant

	Requests int   `yaml:"requests"` // in flight at once, all tenants; default 1024
	Memory   int64 `yaml:"memory"`   // bytes that requests in flight may hold; default 256 MiB

	// Capacities of the lanes: what is worked on at once. 0 suits the machine's cores.

	Ingest int64 `yaml:"ingest"` // bytes of bodies that are taken in; default 1 MiB for each core, at least 2 MiB
	Read   int64 `yaml:"read"`   // requests that read; default 8 for each core, at least 16
	Erase  int64 `yaml:"erase"`  // requests that erase; default 4 for each core, at least 8

	QueueDelay time.Duration `yaml:"queue_delay"` // a queue in which somebody waits longer takes no more; default 200 ms
}

const (
	maxQueued     = 256             // requests of one tenant that wait in one lane
	maxErasures   = 64              // requests of one tenant in flight in the lane Erase
	queueLimit    = 5 * time.Second // nobody waits longer to be taken up: only when the disk or a peer stands still
	leastMemory   = 32 << 20
	burst         = 2 // seconds of quota that an idle tenant has saved
	defaultMemory = 256 << 20
)

// Check names every limit that cannot be, else nil.
func (l Limits) Check() error {
	var bad []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf("admission: "+format, args...))
		}
	}
	quota := func(of string, q Quota) {
		need(q.Requests >= 0 && q.Records >= 0 && q.Bytes >= 0 && q.Concurrent >= 0, "%s: no quota is negative; leave one out for its default", of)
	}
	quota("tenant", l.Tenant)
	for id, q := range l.Tenants {
		need(policy.ValidID(policy.KindTenant, string(id)), "tenants: give tenants' ids, TN and 32 hex digits")
		quota("tenants", q)
	}
	need(l.Requests >= 0 && l.Ingest >= 0 && l.Read >= 0 && l.Erase >= 0, "requests, ingest, read and erase must not be negative")
	need(l.Memory == 0 || l.Memory >= leastMemory, "memory: give at least %d bytes, or nothing", leastMemory)
	need(l.QueueDelay >= 0 && l.QueueDelay <= queueLimit, "queue_delay: from 0 to %v", queueLimit)
	return errors.Join(bad...)
}

// WithDefaults fills in what is 0.
func (l Limits) WithDefaults() Limits {
	cores := int64(runtime.GOMAXPROCS(0))
	l.Tenant = l.Tenant.or(Quota{Requests: 20_000, Records: 500_000, Bytes: 256 << 20, Concurrent: 256})
	l.Requests = cmp.Or(l.Requests, 1024)
	l.Memory = cmp.Or(l.Memory, defaultMemory)
	l.Ingest = cmp.Or(l.Ingest, max(2<<20, cores<<20))
	l.Read = cmp.Or(l.Read, max(16, 8*cores))
	l.Erase = cmp.Or(l.Erase, max(8, 4*cores))
	l.QueueDelay = cmp.Or(l.QueueDelay, 200*time.Millisecond)
	return l
}

// or is q with what is 0 taken from d.
func (q Quota) or(d Quota) Quota {
	return Quota{Requests: cmp.Or(q.Requests, d.Requests), Records: cmp.Or(q.Records, d.Records),
		Bytes: cmp.Or(q.Bytes, d.Bytes), Concurrent: cmp.Or(q.Concurrent, d.Concurrent)}
}

// of is a tenant's quota.
func (l *Limits) of(t policy.TenantID) Quota {
	q, ok := l.Tenants[t]
	if !ok {
		return l.Tenant
	}
	return q.or(l.Tenant)
}
