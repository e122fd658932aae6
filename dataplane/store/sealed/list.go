package sealed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// maxScan bounds how many calls one page looks at: a rare status over a long
// time comes in short pages, each with a token, and never holds a reader up.
const maxScan = 20_000

// suffixSize is the tail that time rows and postings share, and what pages are
// ordered and resumed by: ListedAt 8, ref of the call 12.
const suffixSize = 8 + refSize

// List implements store.Store. One call that is not what was written does not
// take the rest of its page along; rows of the index that cannot be read do,
// because nobody can say how many calls they stood for. A page may be short, even empty, and still have
// a token: then more is to be looked at.
func (s *Store) List(ctx context.Context, permit policy.Permit, q store.Query) (store.Page, error) {
	var calls []store.Call
	bytes := 0
	page, err := s.walk(ctx, permit, &q, newRowQueue(1), func(t *tenant, subjects map[string]bool, suffix, value []byte) (bool, error) {
		c, err := s.callListed(t.raw, suffix, value)
		if err != nil || !matches(&c, &q, subjects) {
			return true, err
		}
		if calls == nil {
			calls = make([]store.Call, 0, min(q.PageSize, roomFor(subjects)))
		}
		calls = append(calls, c)
		bytes += len(c.Record.Native)
		return len(calls) < q.PageSize && bytes <= maxPageBytes, nil
	}, func(store.Page) bool { return false })
	if err != nil {
		return store.Page{}, err
	}
	page.Calls = calls
	return page, nil
}

// taker takes a row of a walk, and says whether its page goes on.
type taker func(t *tenant, subjects map[string]bool, suffix, value []byte) (more bool, err error)

// walk goes through the rows of a query, and tells take of each: the tail of its
// key, and its value, which is nil when the row is a posting. The page that it
// answers lacks its calls; it ends when take wants no more, and another begins when
// turn wants one. Meanwhile rows holds those that come next.
func (s *Store) walk(ctx context.Context, permit policy.Permit, q *store.Query, rows *rowQueue, take taker, turn func(store.Page) (more bool)) (page store.Page, err error) {
	ops := []policy.Operation{policy.View}
	if q.Subject != "" {
		ops = append(ops, policy.Process, policy.Erase)
	}
	t, err := s.enterAny(permit, ops...)
	if err != nil {
		return page, err
	}
	defer s.working.Done()
	if q.PageSize, err = pageSize(q.PageSize); err != nil {
		return page, err
	}
	last, err := s.openToken(t.raw, listScope(*q), q.PageToken, suffixSize)
	if err != nil {
		return page, err
	}
	prefixes, subjects, err := t.prefixes(*q)
	if err != nil {
		return page, err
	}
	m, err := s.merge(prefixes, *q, last)
	if err != nil {
		return page, err
	}
	defer m.close()
	more := true
	last = nil
	for scanned := 0; ; scanned++ {
		row, err := rows.next(m, subjects != nil)
		if err != nil || row == nil {
			return page, err
		}
		if !more || scanned == maxScan || scanned%256 == 255 && ctx.Err() != nil {
			page.NextPageToken, err = s.sealToken(t.raw, listScope(*q), last)
			if err != nil || ctx.Err() != nil || !turn(page) {
				return page, err
			}
			page, scanned = store.Page{}, 0
		}
		last = append(last[:0], row.suffix[:]...)
		more, err = take(t, subjects, last, row.value)
		switch {
		case errors.Is(err, errNoEntry): // dropped since the rows were read
			more = true
		case isCorrupt(err):
			page.Corrupt++
			more = true
		case err != nil:
			return page, err
		}
	}
}

// roomFor is how many calls a page is expected to have: of a time it is full as a
// rule, of a person it is not. Growing to a thousand costs as much as half of the rest.
func roomFor(subjects map[string]bool) int {
	if subjects != nil {
		return 16
	}
	return store.MaxPageSize
}

func matches(c *store.Call, q *store.Query, subjects map[string]bool) bool {
	r := &c.Record
	return (q.Status == "" || r.Status == q.Status) &&
		(q.Direction == "" || r.Direction == q.Direction) &&
		(subjects == nil || q.AnyVersion || subjects[r.From.Subject] || subjects[r.To.Subject])
}

func pageSize(n int) (int, error) {
	if n == 0 {
		return store.DefaultPage, nil
	}
	if n < 0 || n > store.MaxPageSize {
		return 0, policy.Errorf(policy.InvalidArgument, "page size must be 1 to %d", store.MaxPageSize)
	}
	return n, nil
}

// prefixes are the rows that a query reads: all by time, or those of the
// subjects that a number stands for. A raw number means another subject at each
// instance, so each is tried.
func (t *tenant) prefixes(q store.Query) (prefixes [][]byte, subjects map[string]bool, err error) {
	var ids [][16]byte
	switch id, ok := rawSubject(q.Subject); {
	case q.Number != "" && q.Subject != "":
		return nil, nil, policy.Errorf(policy.InvalidArgument, "ask for a number or for a subject, not for both")
	case q.Subject != "" && !ok:
		return nil, nil, policy.Errorf(policy.InvalidArgument, "a subject is SU and 32 hex digits")
	case q.Subject != "":
		ids = append(ids, id)
	case q.Number != "":
		found, err := t.linkedTo(q.Number, "")
		if err != nil {
			return nil, nil, err
		}
		seen := map[[16]byte]bool{}
		for _, f := range found {
			for _, own := range f.tenures {
				for _, id := range own.ids {
					if !seen[id] {
						seen[id] = true
						ids = append(ids, id)
					}
				}
			}
		}
	default:
		return [][]byte{keyOf(nil, kindTime, t.raw)}, nil, nil
	}
	subjects = map[string]bool{}
	for _, id := range ids {
		subjects[subjectID(id)] = true
		prefixes = append(prefixes, append(keyOf(nil, kindPosting, t.raw), id[:8]...))
	}
	return prefixes, subjects, nil
}

// instances opens the names of the feeds that raw numbers came from.
func (t *tenant) instances() (names []string, err error) {
	err = t.s.scan(kindInstance, keyOf(nil, kindInstance, t.raw), func(key, value []byte) error {
		plain, err := t.s.openRow(kindInstance, t.raw, key, value)
		names = append(names, string(plain))
		return err
	})
	return names, err
}

// scan yields every row with a prefix; key and value are valid only in yield.
func (s *Store) scan(k kind, prefix []byte, yield func(key, value []byte) error) error {
	it, err := s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return s.readError(k, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return s.readError(k, err)
		}
		if err := yield(it.Key(), value); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return s.readError(k, err)
	}
	return nil
}

// merged walks several runs of rows in the order of their suffixes, and gives a
// call that stands in more than one (a caller who called himself) once.
type merged struct {
	s     *Store
	iters []Rows
	heads [][]byte // suffixes; nil when a run has ended
	last  []byte
	down  bool // from the latest to the earliest
}

// merge opens the runs from the query's start, or behind last.
func (s *Store) merge(prefixes [][]byte, q store.Query, last []byte) (*merged, error) {
	m := &merged{s: s, down: q.Newest}
	lower := timeBytes(ceilMicro(q.Start, math.MinInt64))
	upper := timeBytes(ceilMicro(q.End, math.MaxInt64))
	switch {
	case last != nil && m.down:
		upper = last
	case last != nil:
		lower = append(bytes.Clone(last), 0)
	}
	for _, p := range prefixes {
		it, err := s.engine.Rows(append(bytes.Clone(p), lower...), append(bytes.Clone(p), upper...))
		if err != nil {
			m.close()
			return nil, s.readError(kindTime, err)
		}
		if m.down {
			it.Last()
		} else {
			it.First()
		}
		m.iters, m.heads = append(m.iters, it), append(m.heads, nil)
		m.head(len(m.iters) - 1)
	}
	return m, nil
}

func (m *merged) head(i int) {
	m.heads[i] = nil
	if it := m.iters[i]; it.Valid() && len(it.Key()) >= suffixSize {
		k := it.Key()
		m.heads[i] = k[len(k)-suffixSize:]
	}
}

// next gives the next suffix and the row's value, both valid until the next call.
func (m *merged) next() (suffix, value []byte, ok bool, err error) {
	for i := range m.iters {
		if m.last != nil && m.heads[i] != nil && (len(m.iters) == 1 || bytes.Equal(m.heads[i], m.last)) {
			m.move(i)
		}
	}
	first := -1
	for i, it := range m.iters {
		if err := it.Error(); err != nil {
			return nil, nil, false, m.s.readError(kindTime, err)
		}
		if m.heads[i] != nil && (first < 0 || bytes.Compare(m.heads[i], m.heads[first]) < 0 != m.down) {
			first = i
		}
	}
	if first < 0 {
		return nil, nil, false, nil
	}
	value, err = m.iters[first].ValueAndErr()
	if err != nil {
		return nil, nil, false, m.s.readError(kindTime, err)
	}
	m.last = append(m.last[:0], m.heads[first]...)
	return m.last, value, true, nil
}

// move goes on to the next row of a run.
func (m *merged) move(i int) {
	if m.down {
		m.iters[i].Prev()
	} else {
		m.iters[i].Next()
	}
	m.head(i)
}

func (m *merged) close() {
	for _, it := range m.iters {
		_ = it.Close()
	}
}

// ceilMicro is t in µs, rounded up so that [start, end) keeps its meaning; the
// zero time stands for an open end.
func ceilMicro(t time.Time, open int64) int64 {
	if t.IsZero() {
		return open
	}
	us := t.UnixMicro()
	if t.After(time.UnixMicro(us)) {
		us++
	}
	return us
}

func timeBytes(us int64) []byte { return binary.BigEndian.AppendUint64(nil, orderedTime(us)) }
