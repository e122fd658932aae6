package feed

import (
	"math"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// jumped is a node that has seen key 1 revoked, and then a bundle that whoever holds
// the bundle key has sealed at a revision that there is not.
func jumped(t *testing.T, revision uint64) (b *book, f *Feed, s *session, answer *controlv1.NodeMessage) {
	t.Helper()
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n := w.node(v)
	b = w.book(3)
	f, s = n.synced(v, b)
	acked(t, s.push(t, b.delta(nil, edited(1, noKeys))), b.revision)
	honest := b.revision
	b.revision = revision
	answer = s.pushAll(t, b.snapshot(2))
	b.revision = honest
	return b, f, s, answer
}

// A stolen bundle key reaches no revision that leaves no room for a restore.
func TestINV35_NoSealReachesTheEndOfAllRevisions(t *testing.T) {
	tomorrow := newestEpoch(time.Now().Add(24 * time.Hour))
	for name, revision := range map[string]uint64{"the last number": math.MaxUint64, "the last epoch": policy.RevisionOf(policy.MaxEpoch, 1), "tomorrow's": policy.RevisionOf(tomorrow+1, 1)} {
		t.Run(name, func(t *testing.T) {
			b, f, s, m := jumped(t, revision)
			nacked(t, m, b.revision, badSignature)
			b.put(edited(2, tight))
			b.revision++
			acked(t, s.pushAll(t, b.snapshot(2)), b.revision) // a voter's answer to a refusal
			if f.Current().Revision != b.revision {
				t.Errorf("the node is at %d", f.Current().Revision)
			}
		})
	}
}

// What a stolen key did reach locks honest voters out until a restore begins a later
// epoch, which may be the next day's; and then the node still knows what was revoked.
func TestINV35_ARestoreLeadsOutOfWhatAStolenKeySealed(t *testing.T) {
	h := &hands{wall: time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC), elapsed: time.Hour}
	for name, revision := range map[string]uint64{
		"within the epoch":  policy.RevisionOf(1, policy.EpochSpan-1),
		"as far as it goes": policy.RevisionOf(newestEpoch(h.wall), policy.EpochSpan-1),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			v := w.voter(mtls.ControlPlane)
			n := w.node(v)
			n.o.Clock = h.clock()
			b := w.book(3)
			f, s := n.synced(v, b)
			acked(t, s.push(t, b.delta(nil, edited(1, noKeys))), b.revision)
			honest := b.revision
			b.revision = revision
			acked(t, s.pushAll(t, b.snapshot(2)), revision)
			b.revision = honest
			nacked(t, s.push(t, b.delta(nil, edited(2, tight))), revision, belowFloor)

			check(t, f.Close())
			h.pass(24 * time.Hour)
			f = n.open()
			f.Start()
			s = v.next(t)
			b.put(tenantRow(1, "ie1")) // a backup of before: the key is offered again
			b.revision = policy.RevisionOf(policy.EpochOf(revision)+1, honest)
			acked(t, s.pushAll(t, b.snapshot(2)), b.revision)
			if _, works := f.Current().Key(keyID(1)); works || f.Current().Revision != b.revision {
				t.Errorf("at %d; the revoked key works: %t", f.Current().Revision, works)
			}
		})
	}
}

func TestTheNewestEpochIsOfADay(t *testing.T) {
	for at, want := range map[time.Time]uint64{
		time.Unix(0, 0): 1000,
		time.Date(2026, 1, 1, 23, 59, 59, 0, time.UTC): 1000,
		time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC):    1001,
		time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC):    policy.MaxEpoch,
	} {
		if got := newestEpoch(at); got != want {
			t.Errorf("at %s: %d, want %d", at, got, want)
		}
	}
}
