package policy

import "testing"

func TestINV35_RevisionsOfALaterEpochAreHigher(t *testing.T) {
	for _, x := range []struct{ revision, epoch, count uint64 }{
		{0, 1, 0}, {1, 1, 1}, {EpochSpan - 1, 1, EpochSpan - 1}, {EpochSpan + 7, 2, 7}, {2*EpochSpan + 1, 3, 1},
	} {
		if EpochOf(x.revision) != x.epoch || CountOf(x.revision) != x.count || RevisionOf(x.epoch, x.count) != x.revision {
			t.Errorf("revision %d: epoch %d, count %d, and back %d", x.revision, EpochOf(x.revision), CountOf(x.revision), RevisionOf(x.epoch, x.count))
		}
	}
	if RevisionOf(2, 1) <= RevisionOf(1, EpochSpan-1) {
		t.Error("the first revision of an epoch is not above the last of the one before")
	}
	if RevisionOf(MaxEpoch, EpochSpan-1) >= 1<<53 {
		t.Error("the last revision does not fit a JSON number")
	}
}
