package export

import (
	"errors"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// What was frozen while a basis was open does not leave after it fell, not even
// when it is open again, and neither does what was acknowledged meanwhile.
func TestFrozenTransferUnderAFallenBasisNeverLeaves(t *testing.T) {
	end := time.Date(2026, 11, 2, 10, 0, 30, 0, time.UTC)
	for name, c := range map[string]struct {
		state policy.BasisState
		ends  *time.Time
		why   string
	}{
		"revoked": {policy.BasisRevoked, nil, "BASIS_REVOKED"},
		"run out": {policy.BasisActive, &end, "BASIS_EXPIRED"}, // by the clock alone
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			check(t, r.round())
			r.road.down = true
			r.release("frozen", 20)
			_ = r.round()
			if x := r.transfers(); len(x) != 1 || x[0].State != Queued {
				t.Fatalf("nothing was frozen: %+v", x)
			}
			r.road.down = false
			if r.basis, r.basisEnds = c.state, c.ends; c.ends != nil && r.now.Before(*c.ends) {
				r.now = *c.ends
			}
			r.policy(2, allowed)
			check(t, r.round())
			if x := r.transfers(); r.road.rows != 0 || x[0].State != Refused || x[0].Why != c.why {
				t.Fatalf("%d rows left; %+v", r.road.rows, x[0])
			}
			r.release("meanwhile", 20)
			check(t, r.round())
			r.basis, r.basisEnds = policy.BasisActive, nil
			r.policy(3, allowed)
			r.after(2 * window)
			r.release("after", 15)
			check(t, r.round())
			if r.road.rows != 15 || r.road.refused != 1 {
				t.Fatalf("%d rows left, %d markers", r.road.rows, r.road.refused)
			}
		})
	}
}

// A transfer record names its basis, and under no other does the transfer leave.
func TestFrozenTransferLeavesUnderItsOwnBasisOnly(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.road.down = true
	r.release("old", 20)
	_ = r.round()
	r.policy(2, policy.EgressRule{Effect: policy.Allow, Basis: "SCC"})
	r.road.down = false
	check(t, r.round())
	if x := r.transfers(); r.road.rows != 0 || x[0].State != Refused || x[0].Why != "BASIS_CHANGED" {
		t.Fatalf("%d rows left; %+v", r.road.rows, x[0])
	}
}

// A suspension keeps the queue and its time: nothing leaves, nothing is lost.
func TestSuspensionKeepsTheQueue(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.road.down = true
	r.release("queued", 20)
	_ = r.round()
	r.road.down = false
	r.state = policy.TenantSuspended
	r.policy(2, allowed)
	r.after(window)
	if err := r.round(); !errors.Is(err, &policy.Error{Reason: policy.PermissionDenied}) {
		t.Fatalf("got %v", err)
	}
	if r.road.rows != 0 || r.transfers()[0].State != Queued {
		t.Fatalf("%d rows left; %+v", r.road.rows, r.transfers()[0])
	}
	r.state = policy.TenantActive
	r.policy(3, allowed)
	check(t, r.round())
	if r.road.rows != 20 || r.road.refused != 0 {
		t.Fatalf("%d rows left, %d markers", r.road.rows, r.road.refused)
	}
}
