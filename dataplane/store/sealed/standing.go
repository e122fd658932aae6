package sealed

import (
	"encoding/binary"
)

// LastGroups finds of each tenant the ingest time of its latest group, µs: an
// engine of several processes must know it before anybody writes to rows that
// were brought to it from an engine of one.
func LastGroups(read func(lower, upper []byte) (Rows, error)) (map[[16]byte]int64, error) {
	out := map[[16]byte]int64{}
	end := []byte{byte(kindFrame) + 1}
	for lower := []byte{byte(kindFrame)}; lower != nil && lower[0] == byte(kindFrame); {
		prefix, err := firstPrefix(read, lower, end)
		if err != nil || prefix == nil {
			return out, err
		}
		if out[[16]byte(prefix[1:])], err = lastGroup(read, prefix); err != nil {
			return out, err
		}
		lower = after(prefix)
	}
	return out, nil
}

// firstPrefix is kind and tenant of the first row; nil when there is none.
func firstPrefix(read func(lower, upper []byte) (Rows, error), lower, upper []byte) (prefix []byte, err error) {
	rows, err := read(lower, upper)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if rows.First() && len(rows.Key()) >= 17 {
		prefix = append(prefix, rows.Key()[:17]...)
	}
	return prefix, rows.Error()
}

// lastGroup is what a tenant's load finds.
func lastGroup(read func(lower, upper []byte) (Rows, error), prefix []byte) (last int64, err error) {
	rows, err := read(prefix, after(prefix))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if !rows.Last() {
		return 0, rows.Error()
	}
	last = int64(binary.BigEndian.Uint64(rows.Key()[17:])) + chunkAge.Microseconds()
	if value, err := rows.ValueAndErr(); err == nil && len(value) >= frameHeader && frameIngest(value) < last {
		last = frameIngest(value)
	}
	return last, rows.Error()
}
