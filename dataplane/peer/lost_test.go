package peer

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Both refusals of a sequence say where this side is, across the wire.
func TestSequenceOfAnotherLifeIsRefusedWithOurMark(t *testing.T) {
	r := newRoad(t)
	s := r.sender("ie1", mtls.DataPlane, cluster)
	send := func(out Outgoing) (uint64, error) { return s.Send(context.Background(), permit(t), out) }
	for n := range uint64(3) {
		_, err := send(outgoing(t, n+1, 1))
		check(t, err)
	}
	wants := func(out Outgoing, reason policy.Reason, mark string) {
		t.Helper()
		_, err := send(out)
		var e *policy.Error
		if !errors.As(err, &e) || e.Reason != reason || e.Metadata[MetadataMark] != mark {
			t.Fatalf("got %v", err)
		}
	}
	stranger := outgoing(t, 2, 1)
	stranger.ID = "EX" + strings.Repeat("f", 32)
	wants(stranger, policy.AlreadyExists, "3")
	wants(outgoing(t, 6, 1), policy.InvalidArgument, "3")

	// The same transfer under a later sequence is known, and taken once.
	again := outgoing(t, 2, 1)
	again.Sequence = 4
	if mark, err := send(again); err != nil || mark != 4 {
		t.Fatalf("mark %d, %v", mark, err)
	}
	// A marker closes every gap up to its sequence; an old one changes nothing.
	for _, m := range []struct{ sequence, mark uint64 }{{9, 9}, {5, 9}} {
		if mark, err := send(Outgoing{ID: "EX" + strings.Repeat("e", 32), Sequence: m.sequence, Refused: true}); err != nil || mark != m.mark {
			t.Fatalf("marker %d: mark %d, %v", m.sequence, mark, err)
		}
	}
	if mark, err := send(outgoing(t, 10, 1)); err != nil || mark != 10 {
		t.Fatalf("mark %d, %v", mark, err)
	}
	rows, _, err := r.receiver.Inbox().Page(tenant, recipient, "", 100)
	check(t, err)
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4", len(rows))
	}
}

func TestTransferUnderAnotherBasisIsRefused(t *testing.T) {
	r := newRoad(t)
	r.pair.Basis = "SCC"
	_, err := r.sender("ie1", mtls.DataPlane, cluster).Send(context.Background(), permit(t), outgoing(t, 1, 1))
	if !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
		t.Fatalf("got %v", err)
	}
}

// The sender's gate let it go, by a bundle from before the revocation. The
// receiver knows better; once the basis is open again the sequence goes on.
func TestTransferUnderABasisThatIsNotOpenIsRefused(t *testing.T) {
	r := newRoad(t)
	s := r.sender("ie1", mtls.DataPlane, cluster)
	for rule, reason := range map[policy.RuleCode]policy.Reason{policy.RuleBasisRevoked: policy.EgressDenied,
		policy.RuleBasisExpired: policy.EgressDenied, policy.RuleBasisUnknown: policy.NotReady} {
		r.basis = rule
		_, err := s.Send(context.Background(), permit(t), outgoing(t, 1, 1))
		if !errors.Is(err, &policy.Error{Reason: reason}) {
			t.Errorf("%s: got %v", rule, err)
		}
	}
	if rows, _, err := r.receiver.Inbox().Page(tenant, recipient, "", 10); err != nil || len(rows) != 0 {
		t.Errorf("%d rows were stored, %v", len(rows), err)
	}
	if mark, err := s.Send(context.Background(), permit(t), Outgoing{ID: "EX" + strings.Repeat("a", 32), Sequence: 1, Refused: true}); err != nil || mark != 1 {
		t.Errorf("a marker brings nothing and is refused: %d, %v", mark, err)
	}
	r.basis = 0
	if mark, err := s.Send(context.Background(), permit(t), outgoing(t, 2, 1)); err != nil || mark != 2 {
		t.Errorf("mark %d, %v", mark, err)
	}
}
