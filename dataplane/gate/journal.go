package gate

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/policy"
)

// journalSize is how many decisions are kept, in memory only: the ledger and
// the transfer records are what lasts.
const journalSize = 1024

// Decided is one line of the decision journal. It holds no personal data.
type Decided struct {
	Time      time.Time
	Tenant    policy.TenantID
	Op        policy.Operation
	Class     policy.DataClass
	Recipient policy.RecipientID
	Revision  uint64
	Allowed   bool
	Reasons   []policy.RuleCode
}

// line is a decision as kept: without pointers, so that noting allocates nothing.
type line struct {
	request  policy.Request
	decision policy.Decision
}

// journal counts every decision and keeps the latest denials and exports. An
// allowed ingest or read is only counted: it is the hot path, and says nothing
// that the record's own revision does not.
type journal struct {
	allowed [8]atomic.Int64   // by operation
	denied  [256]atomic.Int64 // by rule
	unready atomic.Int64

	mu   sync.Mutex
	ring [journalSize]line
	n    uint64
}

func (j *journal) note(q policy.Request, d *policy.Decision) {
	if d.Effect == policy.Allow {
		j.allowed[q.Op].Add(1)
		if q.Op != policy.Export {
			return
		}
	} else {
		for _, code := range d.Reasons() {
			if code.Denies() {
				j.denied[code].Add(1)
			}
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring[j.n%journalSize] = line{q, *d}
	j.n++
}

// Decisions lists the latest denials of all kinds and the latest decisions on
// exports, newest first: at most n, and never more than 1024.
func (g *Gate) Decisions(n int) []Decided {
	j := &g.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	have := int(min(j.n, journalSize))
	out := make([]Decided, 0, max(0, min(n, have)))
	for i := 0; i < have && i < n; i++ {
		l := &j.ring[(j.n-1-uint64(i))%journalSize]
		out = append(out, Decided{Time: l.request.Now, Tenant: l.request.Tenant, Op: l.request.Op, Class: l.request.Class,
			Recipient: l.request.Recipient, Revision: l.decision.Revision,
			Allowed: l.decision.Effect == policy.Allow, Reasons: l.decision.Reasons()})
	}
	return out
}

var (
	allowedDesc = prometheus.NewDesc("domicile_decisions_allowed_total", "Permits given, by operation.", []string{"operation"}, nil)
	deniedDesc  = prometheus.NewDesc("domicile_decisions_denied_total", "Denying rules met, by rule; one decision can meet several.", []string{"rule"}, nil)
	unreadyDesc = prometheus.NewDesc("domicile_decisions_without_bundle_total", "Questions refused because there was no bundle yet.", nil, nil)
)

type collector struct{ g *Gate }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- allowedDesc
	ch <- deniedDesc
	ch <- unreadyDesc
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	j := &c.g.journal
	for _, op := range policy.Operations() {
		ch <- prometheus.MustNewConstMetric(allowedDesc, prometheus.CounterValue, float64(j.allowed[op].Load()), op.String())
	}
	for code := range j.denied {
		if n := j.denied[code].Load(); n > 0 {
			ch <- prometheus.MustNewConstMetric(deniedDesc, prometheus.CounterValue, float64(n), policy.RuleCode(code).String())
		}
	}
	ch <- prometheus.MustNewConstMetric(unreadyDesc, prometheus.CounterValue, float64(j.unready.Load()))
}
