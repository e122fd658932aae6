package server

import (
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// waits adds what missing nodes have said that they wait for. A node says it with
// each acknowledgement, so that who is not connected waits for nothing that is known.
func (h *hub) waits(op *controlv1.Operation) *controlv1.Operation {
	for _, n := range op.GetMissing() {
		if holds := h.heldAt(policy.NodeID(n.GetNode()), policy.RegionID(n.GetRegion()), op.GetId()); holds > 0 {
			n.WaitsFor, n.Holds = string(policy.LegalHold), holds
		}
	}
	return op
}

// heldAt is how many legal holds an order waits for at a node.
func (h *hub) heldAt(id policy.NodeID, region policy.RegionID, order string) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.nodes[id]
	if !ok || n.region != region || n.connected == 0 {
		return 0
	}
	return n.held[order]
}

// mayExcuse refuses to give up waiting for a node that is there: the tenant would be
// shown as destroyed while everything of it lies there. LEGAL_HOLD for one that has
// said that it waits for holds; others may be about to say it, or not have looked yet.
// That a node which is away was evicted, the state is asked (store.ExcuseNode).
func (h *hub) mayExcuse(op *controlv1.Operation, node string) error {
	for _, n := range h.waits(op).GetMissing() {
		switch {
		case n.GetNode() != node:
		case n.GetHolds() > 0:
			return policy.Errorf(policy.LegalHold, "the node is there, and waits until %d legal holds of the tenant are released (on it: domicile-dataplane region holds list); only a node that is gone with its disk is excused", n.GetHolds()).
				With("node", node).With("region", n.GetRegion())
		case h.isThere(policy.NodeID(node)):
			return fieldError("node", "is connected, so it is not gone with its disk, and may wait for a legal hold; evict it first if its receipt will never come")
		}
	}
	return nil
}

// isThere reports whether a node has a stream open.
func (h *hub) isThere(id policy.NodeID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.nodes[id]
	return ok && n.connected > 0
}
