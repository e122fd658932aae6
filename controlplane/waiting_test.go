package controlplane_test

import (
	"fmt"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// What a voter has for a node that the node has not answered, and what the node
// says of its region's outbox, are shown with the node while it is connected.
func TestNodesShowWhatWaits(t *testing.T) {
	c := prepare(t, 1)
	c.timing.Renew = time.Hour // a renewal is a push that nobody here would answer
	c.startAll()
	n := c.subscribe(0, "ie1", 0, "")
	p := n.next()
	for p.GetSeal() == nil {
		p = n.next()
	}
	shown := func(what string, fits func(node, outbox map[string]any) bool) {
		t.Helper()
		eventually(t, func() error {
			a := c.want(c.do(0, "GET", "/v1/nodes", nil, nil), 200, "")
			list, _ := a.Body["nodes"].([]any)
			for _, x := range list {
				node, _ := x.(map[string]any)
				if outbox, _ := node["outbox"].(map[string]any); fits(node, outbox) {
					return nil
				}
			}
			return fmt.Errorf("shown are %s", a.Raw)
		}, "%s is not shown", what)
	}
	shown("that it has answered, and said nothing of its outbox", func(node, outbox map[string]any) bool {
		return node["connected"] == true && outbox == nil && node["unanswered_pushes"] == 0.0
	})
	n.say(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: &controlv1.Ack{Revision: p.GetRevision(), Nonce: p.GetNonce(), Waiting: &controlv1.Waiting{Transfers: 7, Seconds: 42}}}})
	shown("its outbox", func(_, outbox map[string]any) bool {
		return outbox["transfers"] == 7.0 && outbox["waiting_seconds"] == 42.0
	})
	c.tenants(2, "ie1")
	shown("that pushes are not answered", func(node, _ map[string]any) bool {
		pushes, _ := node["unanswered_pushes"].(float64)
		return pushes >= 1
	})
	if err := n.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	shown("that it is gone", func(node, outbox map[string]any) bool {
		return node["connected"] == false && outbox == nil && node["unanswered_pushes"] == 0.0
	})
}
