package system

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// A node that stands still confirms nothing and may still export. Whoever revokes a
// basis is told so; once it goes on, and has the revocation, it is everywhere.
func TestARevokedBasisIsEverywhereWhenEveryNodeHasIt(t *testing.T) {
	t.Parallel() // it waits for the most part
	c := start(t, testcluster.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	control := c.Control("cp1")
	nodes, err := control.Nodes(ctx, "ie1", "")
	check(t, err)
	if len(nodes) != 1 || !nodes[0].GetConnected() {
		t.Fatalf("the region's nodes: %v", nodes)
	}
	check(t, c.Process("ie1").Signal(syscall.SIGSTOP))
	resume := func() error { return c.Process("ie1").Signal(syscall.SIGCONT) }
	defer func() { check(t, resume()) }()

	revoke := &controlv1.RevokeBasisRequest{Basis: "SCC", Enforce: true}
	asked := time.Now()
	r, err := control.RevokeBasis(ctx, revoke)
	check(t, err)
	if r.GetDistributed() || r.GetUnheardNodes() != 1 || len(r.GetUnheard()) != 1 || r.GetUnheard()[0].GetNode() != nodes[0].GetId() {
		t.Fatalf("while a node stands still: %v", r)
	}
	if end := r.GetExportsEndTime().AsTime(); end.Before(asked.Add(time.Minute)) || end.After(time.Now().Add(61*time.Second)) {
		t.Errorf("it may export until %s, and was asked at %s", end, asked)
	}

	check(t, resume())
	until(t, 30*time.Second, "every node has the revocation", func() error {
		r, err := control.RevokeBasis(ctx, revoke)
		if err == nil && (!r.GetDistributed() || r.GetUnheardNodes() > 0 || r.GetExportsEndTime() != nil) {
			err = errors.New(r.String())
		}
		return err
	})
}
