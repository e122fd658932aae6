package sealed

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
)

// A row of the subject index holds the owners of one party, one after the
// other. With one owner since ever, which is nearly all rows, it is the 16 bytes
// of the subject id; else
//
//	format | n × (since µs 8, as in keys | number of ids | ids 16 each)
//
// The first id of an owner is what ingest gives. Those behind it are of calls
// that were ingested before the change of hands was recorded. An owner without
// ids was let go; the next record of its time gets a new one.

type tenure struct {
	since int64 // µs; math.MinInt64 since ever
	ids   [][16]byte
}

type tenures []tenure

// maxTenures and maxAlso bound a row. A number that changes hands more often is
// refused.
const (
	maxTenures = 64
	maxAlso    = 64
)

func single(id [16]byte) tenures { return tenures{{math.MinInt64, [][16]byte{id}}} }

// plain is the one id that a row stands for at any time.
func (ts tenures) plain() (id [16]byte, ok bool) {
	if len(ts) == 1 && len(ts[0].ids) == 1 {
		return ts[0].ids[0], true
	}
	return id, false
}

// at finds the owner at a time.
func (ts tenures) at(us int64) *tenure {
	for i := len(ts) - 1; i > 0; i-- {
		if us >= ts[i].since {
			return &ts[i]
		}
	}
	return &ts[0]
}

// until is when the tenure at i ends.
func (ts tenures) until(i int) int64 {
	if i+1 < len(ts) {
		return ts[i+1].since
	}
	return math.MaxInt64
}

func (ts tenures) append(dst []byte) []byte {
	if id, ok := ts.plain(); ok {
		return append(dst, id[:]...)
	}
	dst = append(dst, format)
	for _, t := range ts {
		dst = append(binary.BigEndian.AppendUint64(dst, orderedTime(t.since)), byte(len(t.ids)))
		for _, id := range t.ids {
			dst = append(dst, id[:]...)
		}
	}
	return dst
}

func readTenures(b []byte) (ts tenures, ok bool) {
	if len(b) == 16 {
		return single([16]byte(b)), true
	}
	c := cursorOf(b)
	if c.byte() != format {
		return nil, false
	}
	for len(c.b) > 0 && !c.bad {
		at := c.take(8)
		if at == nil {
			return nil, false
		}
		t := tenure{since: unorderedTime(binary.BigEndian.Uint64(at))}
		for range c.byte() {
			if id := c.take(16); id != nil {
				t.ids = append(t.ids, [16]byte(id))
			}
		}
		if len(ts) > 0 && t.since <= ts[len(ts)-1].since || len(ts) == maxTenures {
			return nil, false
		}
		ts = append(ts, t)
	}
	return ts, !c.bad && len(ts) > 0
}

// owners is a row in the form of the contract.
func (ts tenures) owners(raw bool, instance string) []store.Owner {
	out := make([]store.Owner, 0, len(ts))
	for i, t := range ts {
		o := store.Owner{Since: tenureTime(t.since), Until: tenureTime(ts.until(i)), Raw: raw, Instance: instance}
		for n, id := range t.ids {
			if n == 0 {
				o.Subject = subjectID(id)
			} else {
				o.Also = append(o.Also, subjectID(id))
			}
		}
		if len(t.ids) > 0 || len(ts) > 1 {
			out = append(out, o)
		}
	}
	return out
}

func tenureTime(us int64) time.Time {
	if us == math.MinInt64 || us == math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// split begins a new owner at a time: a new first id, and behind it the ids that
// calls of the time have had so far. False when one begins there already, or
// the row is full.
func (ts tenures) split(us int64, id [16]byte) (tenures, bool) {
	if len(ts) == maxTenures {
		return nil, false
	}
	for i := range ts {
		if ts[i].since == us {
			return nil, false
		}
	}
	before := ts.at(us)
	also := slices.Clone(before.ids)
	if len(also) >= maxAlso {
		return nil, false
	}
	out := append(slices.Clone(ts), tenure{us, append([][16]byte{id}, also...)})
	slices.SortFunc(out, func(a, b tenure) int {
		if a.since < b.since {
			return -1
		}
		return 1
	})
	return out, true
}

// without lets owners go in their own times: whoever had the number before and
// after them keeps it. It reports whether it changed anything.
func (ts tenures) without(owners []store.Owner) (out tenures, changed bool) {
	out = slices.Clone(ts)
	for _, o := range owners {
		since, until := int64(math.MinInt64), int64(math.MaxInt64)
		if !o.Since.IsZero() {
			since = o.Since.UnixMicro()
		}
		if !o.Until.IsZero() {
			until = o.Until.UnixMicro()
		}
		cut := out.cut(since).cut(until)
		hit := false
		for i := range cut {
			theirs := slices.ContainsFunc(cut[i].ids, func(id [16]byte) bool { return slices.Contains(o.Subjects(), subjectID(id)) })
			if theirs && cut[i].since >= since && cut.until(i) <= until {
				cut[i].ids, hit = nil, true
			}
		}
		if hit {
			out, changed = cut, true
		}
	}
	return out, changed
}

// cut makes an owner's time end and begin again at us, with the same ids.
func (ts tenures) cut(us int64) tenures {
	for i := range ts {
		if ts[i].since < us && us < ts.until(i) {
			return slices.Insert(slices.Clone(ts), i+1, tenure{us, ts[i].ids})
		}
	}
	return slices.Clone(ts)
}

// gone reports that nobody is left in the row and there are no times to tell apart.
func (ts tenures) gone() bool { return len(ts) == 1 && len(ts[0].ids) == 0 }
