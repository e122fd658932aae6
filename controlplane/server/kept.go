package server

import (
	"slices"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// The causes of violations of a control plane that was restored: a region keeps
// what it had, because we offer again what was taken back.
const (
	restoredKey    = "RESTORED_KEY"
	restoredPolicy = "RESTORED_POLICY"
	restoredBasis  = "RESTORED_BASIS"
)

// keptOffence is the violation that something which a node keeps stands for.
func keptOffence(k *controlv1.Kept) (category, cause string) {
	switch k.GetWhat() {
	case "KEY":
		return "ACCESS", restoredKey
	case "BASIS":
		return "EGRESS", restoredBasis
	}
	return "EGRESS", restoredPolicy
}

// keptBy turns what one node's stream says that it keeps into violations.
type keptBy struct {
	hub  *hub
	node mtls.Identity
	last []string // ids of the last acknowledgement
	told bool     // there was one
}

func (b *keptBy) ack(a *controlv1.Ack) {
	now := make([]string, 0, len(a.GetKept()))
	for _, k := range a.GetKept() {
		now = append(now, k.GetId())
	}
	if b.told && slices.Equal(now, b.last) {
		return
	}
	for _, k := range a.GetKept() {
		if !slices.Contains(b.last, k.GetId()) {
			category, cause := keptOffence(k)
			b.hub.recorder.see(sighting{category: category, cause: cause, resource: k.GetId(), actor: string(b.node.Node), revision: a.GetRevision()})
		}
	}
	for _, v := range b.open() {
		if !slices.Contains(now, v.Resource) {
			b.hub.recorder.resolveBy(string(b.node.Node), v.Category, v.Resource)
		}
	}
	b.last, b.told = now, true
}

// open lists violations of a restore that are this region's to resolve.
func (b *keptBy) open() (out []store.Violation) {
	all, err := b.hub.store.Violations()
	if err != nil {
		return nil // the next acknowledgement that differs looks again
	}
	for _, v := range all {
		if v.State != store.ViolationResolved && b.ours(v) {
			out = append(out, v)
		}
	}
	return out
}

func (b *keptBy) ours(v store.Violation) bool {
	switch v.Cause {
	case restoredKey:
		k, err := b.hub.store.Key(policy.KeyID(v.Resource))
		return isReason(err, policy.NotFound) || err == nil && k.Region == b.node.Region
	case restoredPolicy:
		t, err := b.hub.store.Tenant(policy.TenantID(v.Resource))
		return err == nil && t.Home == b.node.Region
	case restoredBasis:
		return slices.Contains(b.last, v.Resource)
	}
	return false
}

// restoredRemedies is what a person types about such a violation. A key's tenant
// is looked up: its id does not name it.
func (c *core) restoredRemedies(v store.Violation) []string {
	switch v.Cause {
	case restoredKey:
		if k, err := c.store.Key(policy.KeyID(v.Resource)); err == nil {
			return []string{"domicile keys delete " + string(k.Tenant) + " " + v.Resource}
		}
	case restoredPolicy:
		return []string{"domicile policies get " + v.Resource, "domicile policies put " + v.Resource + " policy.json"}
	case restoredBasis:
		return []string{"domicile bases get " + v.Resource, "domicile bases revoke " + v.Resource + " --enforce"}
	}
	return nil
}
