package store

import (
	"testing"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// The hash of a block is made of what the edge remembers, and of leaves that are read
// where a restart has forgotten them: it is that of the leaves, wherever the restart.
func TestINV27_ABlockIsWhatItsLeavesSay(t *testing.T) {
	f := seeded(t)
	p := got(f.Policy(f.tenant(1, "ie1").ID))(t)
	seconds := policy.Seconds(1_000_000_000)
	restarts := map[uint64]bool{40: true, 41: true, audit.Block - 1: true, 2 * audit.Block: true, 2*audit.Block + 200: true}
	for f.Revision() < 4*audit.Block+1 {
		if restarts[f.Revision()] {
			delete(restarts, f.Revision())
			check(t, f.Close())
			f.Store = got(Open(Options{Path: f.path}))(t)
		}
		p = body[Policy](t, f.must(PutPolicy{Tenant: p.Tenant, IfMatch: p.ETag, Policy: kept(p, seconds)}))
		seconds--
	}
	auditOf(t, f.Store)
}
