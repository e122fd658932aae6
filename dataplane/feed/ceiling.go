package feed

import (
	"time"

	"github.com/domicile-io/domicile/policy"
)

// A seal shows that its maker holds a bundle key, not how many changes there were:
// whoever has stolen one could seal the last revision that there can be, and no
// restore could begin an epoch above it. Checkpoints of the audit log are signed with
// the same key, so they bound nothing. Time does: a restore is a day's work, and an
// epoch costs one. What a thief can reach today is below what a restore may begin
// tomorrow, whenever today is.
const spareEpochs = 1000 // beside one a day: no cluster is restored so often

// epochsBegan is the day from which on epochs are counted, one a day.
var epochsBegan = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newestEpoch is the latest cluster epoch that a node takes at a time. A wall clock
// that is behind leaves the spare ones, which is enough for every honest cluster.
func newestEpoch(now time.Time) uint64 {
	days := max(0, now.Sub(epochsBegan)/(24*time.Hour))
	return min(policy.MaxEpoch, spareEpochs+uint64(days))
}

// tooFar refuses a revision that no control plane can have reached by now. Without a
// clock, while the cache is loaded, there is nothing to refuse: it was taken before.
func (r *replica) tooFar(revision uint64) *refusal {
	if r.wall == nil {
		return nil
	}
	if newest := newestEpoch(r.wall()); policy.EpochOf(revision) > newest {
		return refuse(badSignature, "revision %d is of cluster epoch %d, and none above %d can have begun by now: whoever sealed it holds a bundle key and is no control plane; after a restore with too late an --epoch wait for its day (docs/operations/distribution.md)",
			revision, policy.EpochOf(revision), newest)
	}
	return nil
}
