package feed

import (
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// proof is the level that the node has verified of itself.
type proof struct {
	level policy.Attestation
	until time.Time // zero: no end
}

// Attestation is the level that this node can vouch for now: what the pinned
// root signed about its key, or what the cloud signed about its machine, as far
// as the control plane, too, says so. A control plane alone raises nothing.
func (f *Feed) Attestation() policy.Attestation {
	p := f.level.Load()
	if p == nil || (!p.until.IsZero() && !f.wall().Before(p.until)) {
		return policy.Declared
	}
	return p.level
}

// prove verifies the node's row in the current bundle against its own
// certificate, root and document.
func (f *Feed) prove() {
	v := f.Current()
	if v == nil {
		return
	}
	id := f.o.Material.Identity
	row := v.Node(id.Node)
	if row == nil {
		f.level.Store(&proof{level: policy.Declared})
		return
	}
	cloud := false
	if region, ok := v.Topology.Region(f.o.Region); ok && len(f.o.Document) > 0 {
		_, err := f.o.Instances.Verify(f.o.Document, region.Cloud, f.wall())
		cloud = err == nil
	}
	holder := policy.Holder{Node: id.Node, Region: f.o.Region, Keys: f.o.Material.Keys()}
	level, until := row.Proved(id.Cluster, f.o.RootPublicKey, holder, cloud, f.wall())
	if before := f.level.Swap(&proof{level: level, until: until}); before == nil || before.level != level {
		f.o.Logger.Info("attestation of this node", "level", level.String(), "control_plane_says", row.Level.String())
	}
}

func (f *Feed) wall() time.Time { return f.fresh.clock.Wall() }

// levelled notes for which level a push's bundle was made: a bundle of another
// level has other rows, so that no delta leads from one to the other.
func (r *replica) levelled(p *controlv1.Push, s step) {
	if s.next != nil {
		r.level = p.GetAttestation()
	}
}
