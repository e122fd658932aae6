package dataplane

import (
	"maps"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// What a node tells of ends that wait is of orders that are given now.
func TestHeldEndsAreForgotten(t *testing.T) {
	var h heldEnds
	first, second := policy.TenantID("TN000102030405060708090a0b0c0d0e0f"), policy.TenantID("TN100102030405060708090a0b0c0d0e0f")
	if !h.set("OP1", 2) || !h.set("OP2", 1) || h.set("OP2", 1) || !h.set("OP2", 3) {
		t.Error("a change is not told, or what is no change")
	}
	orders := map[policy.TenantID]*policy.PurgeOrder{first: {ID: "OP1"}, second: {ID: "OP3"}}
	h.keep(orders)
	if got := h.list(); !maps.Equal(got, map[string]int{"OP1": 2}) {
		t.Errorf("%v are kept", got)
	}
	if !h.set("OP1", 0) || h.any() {
		t.Error("an end that waits for nothing is kept")
	}
	h.keep(nil)
}
