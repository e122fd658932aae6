package server

import (
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A node that is connected is not excused: not before it has said whether it waits for
// a legal hold, as after a change of the leader, and not afterwards.
func TestINV24_ANodeThatIsThereIsNotExcused(t *testing.T) {
	const id, order = "ND0123456789abcdef0123456789abcdef", "OP0123456789abcdef0123456789abcdef"
	h := &hub{feeds: map[audience]*feed{}, sessions: map[*session]struct{}{}, nodes: map[policy.NodeID]*node{}, ackedNow: make(chan struct{})}
	excuse := func() error {
		return h.mayExcuse(&controlv1.Operation{Id: order, Missing: []*controlv1.OperationNode{{Region: "ie1", Node: id}}}, id)
	}
	want := func(when string, reason policy.Reason) {
		t.Helper()
		if err := excuse(); reason == "" && err != nil || reason != "" && !isReason(err, reason) {
			t.Errorf("%s: %v", when, err)
		}
	}
	want("one that was never seen", "")
	disconnect := h.connect(newSession(standing{node: store.Node{ID: id, Region: "ie1"}}))
	want("one that has said nothing yet", policy.InvalidArgument)
	h.ack(id, &controlv1.Ack{Revision: 1, HeldPurges: []*controlv1.HeldPurge{{Order: order, Holds: 2}}})
	want("one that waits for holds", policy.LegalHold)
	h.ack(id, &controlv1.Ack{Revision: 2})
	want("one that waits no more", policy.InvalidArgument)
	disconnect()
	want("one that is away", "")
}
