package store

import (
	"cmp"
	"encoding/binary"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// RowsChanged gives what changed in a region's bundle after revision from, as
// of the current revision (Delta.To). SNAPSHOT_GONE means that the change log
// does not reach back that far, or that from lies in the future: send a
// snapshot.
func (s *Store) RowsChanged(region policy.RegionID, from uint64) (Delta, error) {
	d, _, err := s.RowsChangedAnd(region, from, nil)
	return d, err
}

// RowsChangedAnd is RowsChanged and, of the same revision, the rows of other
// keys as well: those that the region does not have are in others.Removed.
func (s *Store) RowsChangedAnd(region policy.RegionID, from uint64, keys []string) (changed, others Delta, err error) {
	err = s.reading(s.since(from) + len(keys))(func(tx *bolt.Tx) error {
		to, _, err := load[uint64](tx, bucketMeta, metaRevision)
		if err != nil {
			return err
		}
		touches, err := touched(tx, region, from, to)
		if err != nil {
			return err
		}
		changed, others = Delta{From: from, To: to}, Delta{From: from, To: to}
		if err := changed.read(tx, region, touches); err != nil {
			return err
		}
		return others.read(tx, region, keys)
	})
	return changed, others, err
}

// RowsOf gives the rows of some keys as of the current revision; those that the
// region does not have are in Removed.
func (s *Store) RowsOf(region policy.RegionID, keys []string) (d Delta, err error) {
	err = s.reading(len(keys))(func(tx *bolt.Tx) error {
		if d.To, _, err = load[uint64](tx, bucketMeta, metaRevision); err != nil {
			return err
		}
		return d.read(tx, region, keys)
	})
	return d, err
}

// RowKeysChanged lists, in order, the keys that revisions from+1 to to touched;
// to is the current one. SNAPSHOT_GONE as RowsChanged.
func (s *Store) RowKeysChanged(region policy.RegionID, from uint64) (keys []string, to uint64, err error) {
	err = s.reading(s.since(from))(func(tx *bolt.Tx) error {
		if to, _, err = load[uint64](tx, bucketMeta, metaRevision); err != nil {
			return err
		}
		keys, err = touched(tx, region, from, to)
		return err
	})
	return keys, to, err
}

// since is how many revisions there are after one, about.
func (s *Store) since(from uint64) int {
	if now := s.Revision(); now > from {
		return int(min(now-from, LogRevisions))
	}
	return 0
}

func (d *Delta) read(tx *bolt.Tx, region policy.RegionID, keys []string) error {
	for _, key := range keys {
		row, err := rowAt(tx, region, key)
		switch {
		case err != nil:
			return err
		case row == nil:
			d.Removed = append(d.Removed, key)
		default:
			d.Rows = append(d.Rows, *row)
		}
	}
	return nil
}

// touched lists, in order, the row keys that (from, to] touched for a region.
func touched(tx *bolt.Tx, region policy.RegionID, from, to uint64) ([]string, error) {
	gone := policy.Errorf(policy.SnapshotGone, "the change log does not reach from revision %d to %d: take a snapshot", from, to)
	if from > to || to-from > LogRevisions {
		return nil, gone
	}
	var keys []string
	c := tx.Bucket(bucketLog).Cursor()
	want := from + 1
	for k, raw := c.Seek(revisionKey(want)); k != nil; k, raw = c.Next() {
		rec, err := decode[logRecord](bucketLog, k, raw)
		if err != nil {
			return nil, err
		}
		last := binary.BigEndian.Uint64(k)
		if cmp.Or(rec.First, last) > want || rec.Resync {
			return nil, gone
		}
		want = last + 1 // what a batch touched before that is listed, too: it is as it is now
		for _, t := range rec.Touches {
			if t.Region == region || t.Region == everyRegion {
				keys = append(keys, t.Row)
			}
		}
	}
	if want != to+1 {
		return nil, gone
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}
