package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/policy"
)

// The change log has one place for each batch. Whoever asks for what came after a
// revision gets that, and of the batch in whose middle it is at most all; and the log
// reaches back as far as it says, and hardly farther.
func TestTheChangeLogOfBatchesReachesBack(t *testing.T) {
	f := seeded(t)
	const tenants = 60
	var have [tenants]Policy
	for i := range have {
		have[i] = got(f.Policy(f.tenant(i, "ie1").ID))(t)
	}
	begin := f.Revision()
	touched := map[uint64]string{} // by revision: the row
	began := map[uint64]uint64{}   // by revision: the first one of its batch
	seconds := policy.Seconds(1_000_000_000)
	change := func(first, n int) {
		before := f.Revision()
		var payloads []Payload
		for i := range n {
			p := have[(first+i)%tenants]
			payloads = append(payloads, PutPolicy{Tenant: p.Tenant, IfMatch: p.ETag, Policy: kept(p, seconds)})
			have[(first+i)%tenants].ETag = etagOf(before + uint64(i) + 1)
			touched[before+uint64(i)+1], began[before+uint64(i)+1] = tenantRow(p.Tenant), before+1
		}
		seconds--
		if n == 1 {
			f.must(payloads[0])
			return
		}
		s := f.stamp()
		f.applyStamped(s, batchOf(t, s, payloads...))
		if f.Revision() != before+uint64(n) {
			t.Fatalf("a batch of %d changed %d", n, f.Revision()-before)
		}
	}
	look := func(t *rapid.T) {
		now := f.Revision()
		from := rapid.Uint64Range(max(begin, now-min(now, LogRevisions)), now).Draw(t, "from")
		keys, to, err := f.RowKeysChanged("ie1", from)
		if err != nil || to != now {
			t.Fatalf("from %d to %d: %v", from, now, err)
		}
		var least, most []string
		for rev := from + 1; rev <= now; rev++ {
			least = append(least, touched[rev])
		}
		most = slices.Clone(least)
		for rev := from; from < now && rev >= began[from+1]; rev-- {
			most = append(most, touched[rev])
		}
		slices.Sort(most)
		if want := slices.Compact(most); !slices.Equal(keys, want) {
			t.Fatalf("from %d to %d: %d keys and not %d", from, now, len(keys), len(want))
		}
		if now > LogRevisions {
			if _, _, err := f.RowKeysChanged("ie1", now-LogRevisions-1); !isReason(err, policy.SnapshotGone) {
				t.Fatalf("the log says that it reaches farther back than it does: %v", err)
			}
		}
	}
	for at := 0; f.Revision() < begin+LogRevisions+1000; {
		n := []int{1, 1, 7, tenants}[at%4]
		change(at*13, n)
		if at++; at%160 == 0 {
			rapid.Check(t, look)
		}
	}
	check(t, f.view(func(tx *bolt.Tx) error {
		k, _ := tx.Bucket(bucketLog).Cursor().First()
		if last := binary.BigEndian.Uint64(k); last+LogRevisions <= f.Revision() {
			return fmt.Errorf("at revision %d the log holds %d", f.Revision(), last)
		}
		return nil
	}))
}
