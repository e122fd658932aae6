package store

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func violationID(n int) string { return id[string](policy.KindViolation, n) }

func sighting(n int, resource string) SettleViolation {
	return SettleViolation{To: ViolationOpen, ID: violationID(n), Category: "ENCRYPTION", Resource: resource, Cause: "STATE_HASH", Revision: 7}
}

// A noisy node costs one write a minute, whoever proposes.
func TestSightingsOfAViolationAreOne(t *testing.T) {
	f := seeded(t)
	nd := string(nodeID(1))
	first := body[Violation](t, f.must(sighting(1, nd)))
	at := f.Revision()
	f.now = f.now.Add(59 * time.Second)
	f.must(sighting(2, nd))
	if f.Revision() != at {
		t.Error("a second sighting within a minute was written")
	}
	f.now = f.now.Add(time.Second)
	again := sighting(3, nd)
	again.Count, again.Cause = 40, "BAD_ROW"
	v := body[Violation](t, f.must(again))
	if v.ID != first.ID || v.Count != 41 || v.Cause != "BAD_ROW" || !v.FirstSeen.Equal(first.FirstSeen) || !v.LastSeen.Equal(f.now) {
		t.Errorf("after a minute: %+v", v)
	}
	if list := got(f.Violations())(t); len(list) != 1 {
		t.Errorf("%d violations", len(list))
	}
}

func TestViolationsAreAcknowledgedAndResolved(t *testing.T) {
	f := seeded(t)
	nd := string(nodeID(1))
	v := body[Violation](t, f.must(sighting(1, nd)))
	ack := SettleViolation{To: ViolationAcknowledged, ID: v.ID, ReasonCode: "INVESTIGATING"}
	f.refused(SettleViolation{To: ViolationAcknowledged, ID: v.ID, ReasonCode: "call Aoife"}, policy.InvalidArgument)
	f.refused(SettleViolation{To: ViolationAcknowledged, ID: violationID(9), ReasonCode: "INVESTIGATING"}, policy.NotFound)
	f.refused(SettleViolation{To: ViolationAcknowledged, ID: v.ID, ReasonCode: "INVESTIGATING", IfMatch: "1"}, policy.ETagMismatch)
	v = body[Violation](t, f.must(ack))
	if v.State != ViolationAcknowledged || v.AcknowledgedBy != actor || v.AcknowledgedAt == nil {
		t.Errorf("acknowledged: %+v", v)
	}
	f.now = f.now.Add(2 * time.Minute)
	if v := body[Violation](t, f.must(sighting(2, nd))); v.ID != violationID(1) || v.State != ViolationAcknowledged {
		t.Errorf("seen again: %+v", v)
	}
	resolve := SettleViolation{To: ViolationResolved, Category: "ENCRYPTION", Resource: nd}
	if v := body[Violation](t, f.must(resolve)); v.State != ViolationResolved || v.ResolvedAt == nil {
		t.Errorf("resolved: %+v", v)
	}
	at := f.Revision()
	f.must(resolve)
	if f.Revision() != at {
		t.Error("nothing to resolve took a revision")
	}
	f.refused(ack, policy.AlreadyExists)
	if v := body[Violation](t, f.must(sighting(3, nd))); v.ID != violationID(3) || v.State != ViolationOpen {
		t.Errorf("after it was resolved: %+v", v)
	}
	for _, bad := range []SettleViolation{{}, {To: "closed"}, sighting(4, "Aoife Byrne"), {To: ViolationOpen, ID: violationID(4), Category: "NOISE", Resource: nd, Cause: "X"},
		{To: ViolationOpen, ID: violationID(4), Category: "EGRESS", Resource: nd, Cause: "what he said"}, {To: ViolationOpen, ID: "VI", Category: "EGRESS", Resource: nd, Cause: "X"},
		{To: ViolationOpen, ID: violationID(1), Category: "EGRESS", Resource: nd, Cause: "X"}, {To: ViolationResolved, Category: "NOISE", Resource: nd}} {
		f.refused(bad, policy.InvalidArgument)
	}
}

// The list is bounded: what is resolved goes first, then what a person knows.
func TestViolationsAreBounded(t *testing.T) {
	f := seeded(t)
	for i := range MaxViolations {
		f.now = f.now.Add(time.Second)
		f.must(sighting(i, string(nodeID(i))))
	}
	f.must(SettleViolation{To: ViolationAcknowledged, ID: violationID(400), ReasonCode: "INVESTIGATING"})
	f.must(SettleViolation{To: ViolationResolved, Category: "ENCRYPTION", Resource: string(nodeID(700))})
	for i, goes := range []int{700, 400, 0, 1} {
		f.must(sighting(5000+i, string(nodeID(5000+i))))
		if _, err := f.Violation(violationID(goes)); !isReason(err, policy.NotFound) {
			t.Errorf("violation %d is still there: %v", goes, err)
		}
		if list := got(f.Violations())(t); len(list) != MaxViolations {
			t.Errorf("%d violations", len(list))
		}
	}
	// One that went is opened anew.
	if v := body[Violation](t, f.must(sighting(6000, string(nodeID(0))))); v.ID != violationID(6000) {
		t.Errorf("opened anew: %+v", v)
	}
}
