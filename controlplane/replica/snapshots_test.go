package replica

import "testing"

func TestASnapshotIsDueWhenItIsWorthIt(t *testing.T) {
	o := Options{SnapshotThreshold: 1000, SnapshotBytes: 1 << 20}
	for name, c := range map[string]struct {
		entries, bytes, size uint64
		want                 bool
	}{
		"nothing new":                          {size: 1 << 20},
		"little new":                           {entries: 10, bytes: 10_000},
		"enough entries":                       {entries: 1000, bytes: 100_000, want: true},
		"a few large entries":                  {entries: 10, bytes: 2 << 20, want: true},
		"too little for so large a state":      {entries: 1000, bytes: 100_000, size: 1 << 20},
		"enough for so large a state":          {entries: 1000, bytes: 300_000, size: 1 << 20, want: true},
		"a long log of small entries":          {entries: 16_000, bytes: 1, size: 1 << 30, want: true},
		"bytes alone, and too little of state": {entries: 10, bytes: 2 << 20, size: 1 << 30},
	} {
		if got := o.due(c.entries, c.bytes, c.size); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
