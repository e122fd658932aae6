package overload

import (
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/admission"
)

// moreRSS is how much a node may grow under any load, by its limits: the budget of
// requests, and as much again that is not collected yet, beside its caches.
const moreRSS = 768 << 20

// What is acknowledged is there, once; what is refused is not; and a tenant that
// sends ten times its quota costs the others nothing. Nothing here depends on how
// fast the machine is.
func TestINV41_ATenantOverItsQuotaLosesNothingAndCostsNobody(t *testing.T) {
	n := openNode(t, func(c *dataplane.Config) {
		c.Admission.Tenant = admission.Quota{Requests: 20}
	})
	loud, quiet := n.tenant("loud"), n.tenant("quiet")
	before := n.rss()
	var all sync.WaitGroup
	var a, b *answers
	all.Go(func() { a = loud.open(t, 200, 3*time.Second) })
	all.Go(func() { b = quiet.open(t, 4, 3*time.Second) })
	all.Wait()
	t.Logf("loud: %d sent, %d taken, %d refused, %v; quiet: %d sent, %d taken", a.sent, len(a.ok), len(a.refused), a.other, b.sent, len(b.ok))
	if len(a.refused) < 50 || len(a.ok) < 20 {
		t.Errorf("no overload: %d of %d refused", len(a.refused), a.sent)
	}
	if len(b.ok) != b.sent || b.sent < 5 {
		t.Errorf("the quiet tenant: %d of %d taken; %v", len(b.ok), b.sent, b.other)
	}
	for _, s := range []*sender{loud, quiet} {
		if got, sure, unsure := n.stored(s.slug), s.acknowledged.Load(), s.unsure.Load(); got < sure || got > sure+unsure {
			t.Errorf("%s: %d calls are stored, %d were acknowledged, %d are not known", s.slug, got, sure, unsure)
		}
	}
	if grown := n.rss() - before; grown > moreRSS {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}
