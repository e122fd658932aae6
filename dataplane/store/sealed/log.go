package sealed

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Rows of the region's log. All stand in clear: they hold nothing that a person
// could be known by, and what was changed in them shows in the signed root.

const logHeadRow = "m/log"

// logHead is the head's row. Last is the greatest number of an entry that has
// its place in the log: numbers are never given out twice.
type logHead struct {
	store.LogHead
	Last uint64
}

func notedKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{byte(kindNoted)}, seq) }
func leafKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(kindLeaf)}, index)
}
func hashKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{byte(kindHash)}, n) }
func tenantLeafKey(t tenantRaw, index uint64) []byte {
	return binary.BigEndian.AppendUint64(keyOf(nil, kindTenantLeaf, t), index)
}
func leafOfKey(t tenantRaw, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(keyOf(nil, kindLeafOf, t), seq)
}
func onceKey(once string) []byte {
	sum := sha256.Sum256([]byte(once))
	return append([]byte{byte(kindOnce)}, sum[:16]...)
}

// openLog finds where the numbers of entries go on.
func (s *Store) openLog() error {
	head, err := s.logHead()
	if err != nil {
		return err
	}
	last := head.Last
	it, err := s.engine.Rows([]byte{byte(kindNoted)}, []byte{byte(kindNoted) + 1})
	if err != nil {
		return s.readError(kindNoted, err)
	}
	defer it.Close()
	if it.Last() && len(it.Key()) == 9 {
		last = max(last, binary.BigEndian.Uint64(it.Key()[1:]))
	}
	s.logSeq.Store(last)
	if err := s.readErrorOrNil(kindNoted, it.Error()); err != nil {
		return err
	}
	return s.openSeqs()
}

// Processes that share rows number entries side by side: of each 1,024 numbers
// each has one, by how many began before it. Two would have the same if one
// went on while 1,024 others began.
const (
	seqShared = 1024
	startsRow = "m/starts"
)

func (s *Store) openSeqs() error {
	s.seqStep = 1
	if !s.engine.Shared() {
		return nil
	}
	s.seqStep = seqShared
	return s.inLog(func(b Batch) error {
		raw, err := s.get(kindMeta, []byte(startsRow))
		if err != nil {
			return err
		}
		if len(raw) == 8 {
			s.seqOwn = binary.BigEndian.Uint64(raw)
		}
		starts := s.seqOwn + 1
		s.seqOwn %= s.seqStep
		return b.Set([]byte(startsRow), binary.BigEndian.AppendUint64(nil, starts))
	})
}

func (s *Store) readErrorOrNil(k kind, err error) error {
	if err == nil {
		return nil
	}
	return s.readError(k, err)
}

// nextSeq numbers an entry: the time in µs, or the next number that is its own.
func (s *Store) nextSeq() uint64 {
	for {
		last := s.logSeq.Load()
		next := max(uint64(s.now().UnixMicro()), last+1)
		next += (s.seqOwn + s.seqStep - next%s.seqStep) % s.seqStep
		if s.logSeq.CompareAndSwap(last, next) {
			return next
		}
	}
}

// note adds an entry to the commit of the change that it is about.
func (s *Store) note(b Batch, e *store.Entry) (seq uint64, err error) {
	if len(e.Detail) > store.MaxDetail && e.Action != store.BatchAction {
		return 0, policy.Errorf(policy.InvalidArgument, "an entry's detail may have %d bytes", store.MaxDetail)
	}
	n := store.Noted{Entry: *e, Time: s.now().UnixMicro()}
	seq = s.nextSeq()
	return seq, b.Set(notedKey(seq), n.Append(nil))
}

// noteFor is note for a change that was asked for with WithEntry.
func (s *Store) noteFor(ctx context.Context, b Batch, done store.Rewritten) error {
	e, ok := store.EntryIn(ctx)
	if !ok {
		return nil
	}
	e.Done = done
	_, err := s.note(b, &e)
	return err
}

// noteBegin notes what store.WithBegin asks for, durably. It takes no turn of the
// log: the caller has one of a tenant, of the same kind, and whoever else begins the
// same waits for that.
func (s *Store) noteBegin(ctx context.Context) error {
	e, ok := store.BeginIn(ctx)
	if !ok {
		return nil
	}
	b := s.engine.NewBatch()
	if err := s.noteAll(b, []store.Entry{e}); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := s.engine.Write(b); err != nil {
		return s.fail(err)
	}
	if err := s.engine.Settle(false); err != nil {
		return s.fail(err)
	}
	return b.Close()
}

// inLog commits what fill puts into a batch, durably, while nobody else on any
// node compares rows of the log and puts them.
func (s *Store) inLog(fill func(Batch) error) error {
	b, err := s.commitLog(fill)
	for try := 1; isAgain(err) && try < maxTries; try++ {
		backOff(try)
		b, err = s.commitLog(fill)
	}
	if err != nil {
		return err
	}
	return s.sync(b)
}

func (s *Store) commitLog(fill func(Batch) error) (b Batch, err error) {
	s.logOnce.Lock()
	defer s.logOnce.Unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	turn, err := s.engine.Begin([16]byte{}, WriteTurn)
	if err != nil {
		return nil, s.fail(err)
	}
	defer turn.End()
	b = s.engine.NewBatch()
	if err = fill(b); err == nil {
		if err = turn.Commit(b, turn.Standing()); err != nil {
			err = s.fail(err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Note implements store.Store.
func (s *Store) Note(_ context.Context, entries ...store.Entry) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.working.Done()
	return s.inLog(func(b Batch) error { return s.noteAll(b, entries) })
}

func (s *Store) noteAll(b Batch, entries []store.Entry) error {
	for i := range entries {
		if once := entries[i].Once; once != "" {
			known, err := s.get(kindOnce, onceKey(once))
			if err != nil {
				return err
			}
			if known != nil {
				continue
			}
			if err := b.Set(onceKey(once), nil); err != nil {
				return err
			}
		}
		if _, err := s.note(b, &entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// Noted is read from a little before the last entry that was taken, because
// many deleted rows stand before it; now and then from the front, for a commit
// that took longer than that.
const (
	notedBack = uint64(2 * time.Minute / time.Microsecond)
	notedFull = 64 // one reading in so many is from the front
)

// Noted implements store.Store. What it shows may not be durable yet; what Enter
// makes durable then makes it so, too, because both are in one log.
func (s *Store) Noted(_ context.Context, limit int) (out []store.Noted, err error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.working.Done()
	head, err := s.logHead()
	if err != nil {
		return nil, err
	}
	lower := notedKey(0)
	if s.logReads.Add(1)%notedFull != 1 && head.Last > notedBack {
		lower = notedKey(head.Last - notedBack)
	}
	it, err := s.engine.Rows(lower, []byte{byte(kindNoted) + 1})
	if err != nil {
		return nil, s.readError(kindNoted, err)
	}
	defer it.Close()
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, s.readError(kindNoted, err)
		}
		if len(it.Key()) != 9 {
			return nil, s.corrupt(kindNoted, nil)
		}
		n, err := store.ReadNoted(binary.BigEndian.Uint64(it.Key()[1:]), append([]byte(nil), value...))
		if err != nil {
			return nil, s.corrupt(kindNoted, err)
		}
		out = append(out, n)
	}
	return out, s.readErrorOrNil(kindNoted, it.Error())
}

func (s *Store) logHead() (h logHead, err error) {
	raw, err := s.get(kindMeta, []byte(logHeadRow))
	if err != nil || raw == nil {
		return h, err
	}
	if json.Unmarshal(raw, &h) != nil {
		return h, s.corrupt(kindLeaf, nil)
	}
	return h, nil
}

// LogHead implements store.Store.
func (s *Store) LogHead(context.Context) (store.LogHead, error) {
	if err := s.hold(); err != nil {
		return store.LogHead{}, err
	}
	defer s.working.Done()
	h, err := s.logHead()
	return h.LogHead, err
}

// Enter implements store.Store.
func (s *Store) Enter(_ context.Context, e store.Entering) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.working.Done()
	return s.inLog(func(b Batch) error { return s.enterLog(b, &e) })
}

func (s *Store) enterLog(b Batch, e *store.Entering) error {
	head, err := s.logHead()
	if err != nil {
		return err
	}
	if head.LogHead != e.From {
		return policy.Errorf(policy.ETagMismatch, "the region's log has grown meanwhile; read its head again")
	}
	head.LogHead = e.To
	for _, seq := range e.Taken {
		head.Last = max(head.Last, seq)
		if err := b.Delete(notedKey(seq)); err != nil {
			return err
		}
	}
	for i := range e.Leaves {
		if err := setLeaf(b, &e.Leaves[i]); err != nil {
			return err
		}
	}
	for _, h := range e.Hashes {
		if err := b.Set(hashKey(h.Number), h.Value[:]); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(head)
	if err != nil {
		return err
	}
	return b.Set([]byte(logHeadRow), raw)
}

func setLeaf(b Batch, l *store.LogLeaf) error {
	if err := b.Set(leafKey(l.Index), l.Append(nil)); err != nil || l.Tenant == "" {
		return err
	}
	t, err := rawTenant(l.Tenant)
	if err != nil {
		return err
	}
	if err := b.Set(tenantLeafKey(t, l.Index), nil); err != nil {
		return err
	}
	for _, seq := range l.Seqs {
		if err := b.Set(leafOfKey(t, seq), binary.BigEndian.AppendUint64(nil, l.Index)); err != nil {
			return err
		}
	}
	return nil
}

var errNoLeaf = policy.Errorf(policy.NotFound, "there is no such record in the region's log")

// LogLeaf implements store.Store.
func (s *Store) LogLeaf(_ context.Context, index uint64) (store.LogLeaf, error) {
	if err := s.hold(); err != nil {
		return store.LogLeaf{}, err
	}
	defer s.working.Done()
	return s.logLeaf(index)
}

func (s *Store) logLeaf(index uint64) (store.LogLeaf, error) {
	raw, err := s.get(kindLeaf, leafKey(index))
	if err != nil {
		return store.LogLeaf{}, err
	}
	if raw == nil {
		return store.LogLeaf{}, errNoLeaf
	}
	l, err := store.ReadLogLeaf(index, raw)
	if err != nil {
		return l, s.corrupt(kindLeaf, err)
	}
	return l, nil
}

// LogLeaves implements store.Store.
func (s *Store) LogLeaves(_ context.Context, tenant policy.TenantID, from uint64, limit int) (out []store.LogLeaf, err error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.working.Done()
	lower, upper := leafKey(from), append(leafKey(math.MaxUint64), 0)
	if tenant != "" {
		t, err := rawTenant(tenant)
		if err != nil {
			return nil, err
		}
		lower, upper = tenantLeafKey(t, from), append(tenantLeafKey(t, math.MaxUint64), 0)
	}
	it, err := s.engine.Rows(lower, upper)
	if err != nil {
		return nil, s.readError(kindLeaf, err)
	}
	defer it.Close()
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		l, err := s.logLeaf(binary.BigEndian.Uint64(it.Key()[len(it.Key())-8:]))
		if err != nil {
			return nil, err
		}
		l.Parts = nil
		out = append(out, l)
	}
	return out, s.readErrorOrNil(kindLeaf, it.Error())
}

// LogLeafOf implements store.Store.
func (s *Store) LogLeafOf(_ context.Context, tenant policy.TenantID, seq uint64) (uint64, error) {
	if err := s.hold(); err != nil {
		return 0, err
	}
	defer s.working.Done()
	t, err := rawTenant(tenant)
	if err != nil {
		return 0, err
	}
	raw, err := s.get(kindLeafOf, leafOfKey(t, seq))
	if err == nil && len(raw) != 8 {
		err = errNoLeaf
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(raw), nil
}

// LogHashOf implements store.Store.
func (s *Store) LogHashOf(_ context.Context, number uint64) (h [32]byte, err error) {
	if err := s.hold(); err != nil {
		return h, err
	}
	defer s.working.Done()
	raw, err := s.get(kindHash, hashKey(number))
	if err == nil && len(raw) != len(h) {
		err = errNoLeaf
	}
	copy(h[:], raw)
	return h, err
}

// LogWritable implements store.Store: it waits for a sync.
func (s *Store) LogWritable(context.Context) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.working.Done()
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.engine.Writable(); err != nil {
		return s.fail(err)
	}
	return nil
}

// checkLogRow is what a scrub can see of a row of the log; whether it is what
// was written, the signed root says.
func (s *Store) checkLogRow(k kind, key, value []byte) (err error) {
	switch {
	case k == kindNoted && len(key) == 9:
		_, err = store.ReadNoted(0, value)
	case k == kindLeaf && len(key) == 9:
		_, err = store.ReadLogLeaf(0, value)
	}
	if err != nil || k == kindHash && len(value) != 32 || k == kindLeafOf && len(value) != 8 {
		return s.corrupt(k, err)
	}
	return nil
}
