package sealed

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// group is one group commit: the jobs that share a batch and its sync.
type group struct {
	t    *tenant
	jobs []*job
	done chan struct{}
	err  error

	batch    Batch
	ahead    map[string][]byte // rows that were read before they are asked for; nil where there is none
	applied  bool
	ingest   int64
	folds    map[[16]byte]*foldState
	subjects map[[16]byte][16]byte // new in this group
	owned    map[[16]byte]tenures  // of numbers that changed hands, changed in this group
	deltas   map[cellKey]cell
	spills   map[string]ref // events past foldInline, new in this group
	rows     rowBuffer
	salts    []byte
	ids      []byte      // random, for subjects that are new
	content  *[32]byte   // hash of the record being added
	versions []committed // what was written, of every job
	key      []byte      // scratch
	value    []byte      // scratch
	calls    callSpace

	current *sealedFrame
	frames  []*sealedFrame
	sealing sync.WaitGroup
}

// foldState is one call as the group sees it.
type foldState struct {
	row   foldRow
	view  *entry // nil until it is needed
	dirty bool
}

// commit builds a group and applies it, so that the next group sees it; finish
// waits for the sync. An error leaves nothing behind but a skipped chunk. When
// another process got in between, the group is built anew.
func (t *tenant) commit(jobs []*job) *group {
	t.build.Lock()
	defer t.build.Unlock()
	for try := 1; ; try++ {
		g := t.tryCommit(jobs)
		if !isAgain(g.err) || try == maxTries {
			return g
		}
		backOff(try)
	}
}

// yieldEvery is after how many records the building of a group lets others have its
// processor, as parsers do: the scheduler would wait for 10 ms.
const yieldEvery = 32

func (t *tenant) tryCommit(jobs []*job) *group {
	g := &group{t: t, jobs: jobs, done: make(chan struct{}), folds: make(map[[16]byte]*foldState, countRecords(jobs)),
		subjects: map[[16]byte][16]byte{}, owned: map[[16]byte]tenures{}, deltas: map[cellKey]cell{}, spills: map[string]ref{}}
	n := t.nextN
	t.life.RLock()
	defer t.life.RUnlock()
	if g.err = t.alive(); g.err == nil {
		g.err = g.build()
	}
	g.folds, g.spills, g.deltas, g.ahead, g.versions = nil, nil, nil, nil, nil // the group is kept until it is synced
	g.calls.release()
	if g.err != nil {
		g.sealing.Wait()
		t.chunk = nil
		if !isReason(g.err, policy.OutcomeUnknown) { // else the numbers may be taken
			t.nextN = n
		}
		clear(t.cells)
		return g
	}
	for tag, id := range g.subjects {
		t.s.subjects.add(tag, id)
	}
	return g
}

// build takes the tenant's turn, makes the group and makes it visible.
func (g *group) build() error {
	t := g.t
	if err := t.s.usable(); err != nil {
		return err
	}
	u, err := t.begin()
	if err != nil {
		return err
	}
	defer u.end()
	if err := g.make(); err != nil || g.batch.Count() == 0 {
		return err
	}
	x := t.index.Load()
	u.reshape = !x.saved.Load()
	failpoint.At("store/write")
	if err := u.commit(g.batch); err != nil {
		return err
	}
	g.applied = true
	x.saved.Store(true)
	return nil
}

// finish waits until the group is durable, then answers its callers. The run
// calls it when the group before it is done: a group of nothing but duplicates
// has no sync of its own, and is acknowledged only when the first copies are
// durable (INV33); if they are not, the store has failed.
func (g *group) finish(s *Store) {
	defer close(g.done)
	if g.applied {
		failpoint.At("store/sync")
		if err := g.batch.Wait(); err != nil {
			g.err = s.fail(err)
		} else {
			_ = g.batch.Close()
		}
	}
	if err := s.usable(); err != nil && g.err == nil {
		g.err = err
	}
	failpoint.At("store/acknowledge")
	for _, j := range g.jobs {
		if j.err = g.err; g.err != nil {
			j.out = nil
		}
		close(j.notify)
	}
}

func (g *group) make() error {
	t := g.t
	if err := errors.Join(t.load(), t.ownIndex()); err != nil {
		return err
	}
	t.last = max(t.s.now().UnixMicro(), t.last+1)
	g.ingest = t.last
	g.batch = t.s.engine.NewBatch()
	records := countRecords(g.jobs)
	g.salts, g.versions = make([]byte, 16*records), make([]committed, 0, records)
	if _, err := io.ReadFull(t.s.rand, g.salts); err != nil {
		return err
	}
	for _, j := range g.jobs {
		if x := t.index.Load(); j.index != x {
			j.index, j.tags = t.tagAll(j.recs) // built anew since
		}
	}
	if err := g.lookAhead(); err != nil {
		return err
	}
	for _, j := range g.jobs {
		j.out = make([]store.Appended, len(j.recs))
		j.from = len(g.versions)
		for i := range j.recs {
			if i%yieldEvery == yieldEvery-1 {
				runtime.Gosched()
			}
			if i%warmed == 0 {
				t.s.seen.warm(j.tags[i:min(i+warmed, len(j.tags))])
			}
			var err error
			g.content = &j.recs[i].ContentHash
			if j.out[i], err = g.add(&j.recs[i], &j.tags[i]); err != nil {
				return err
			}
		}
		j.upto = len(g.versions)
	}
	return g.close()
}

// close seals the last frame and writes what the group changed.
func (g *group) close() error {
	g.flush()
	for tag, st := range g.folds {
		if !st.dirty {
			continue
		}
		g.key = append(g.t.index.Load().key(g.key, kindFold, g.t.raw), tag[:tagSize]...)
		g.value = st.row.append(g.value[:0])
		g.rows.set(g.key, g.value)
	}
	if err := g.t.saveIndex(g.batch); err != nil {
		return err
	}
	if err := g.writeCells(); err != nil {
		return err
	}
	if err := g.noteBatch(); err != nil {
		return err
	}
	if err := g.rows.moveTo(g.batch); err != nil {
		return err
	}
	g.sealing.Wait()
	for _, f := range g.frames {
		g.key = frameKey(g.key, g.t.raw, f.chunk.start, f.number)
		if err := g.batch.Set(g.key, f.value); err != nil {
			return err
		}
		putFrameSpace(f.value)
	}
	g.frames = nil
	return nil
}

func countRecords(jobs []*job) (n int) {
	for _, j := range jobs {
		n += len(j.recs)
	}
	return n
}

// add puts one record into the group and says what became of it.
func (g *group) add(r *record.Record, tags *recordTags) (store.Appended, error) {
	st, err := g.fold(tags.fold)
	if isCorrupt(err) {
		st, err = nil, nil // see next
	}
	if err != nil {
		return store.Appended{}, err
	}
	if st == nil {
		return g.first(r, tags)
	}
	if st.row.ended() {
		return store.Appended{ID: g.t.s.callID(g.t.raw, st.row.call), State: store.Duplicate}, nil
	}
	known, same, err := g.known(st, tags)
	if err != nil {
		return store.Appended{}, err
	}
	if same {
		return store.Appended{ID: g.t.s.callID(g.t.raw, st.row.call), State: store.Duplicate}, nil
	}
	if _, err := g.view(st); isCorrupt(err) {
		// The view does not open. A record is not refused for what a disk did: it
		// begins a call of its own, and the old one goes on being missed.
		return g.first(r, tags)
	}
	if err := g.next(st, r, tags); err != nil {
		return store.Appended{}, err
	}
	out := store.Appended{ID: g.t.s.callID(g.t.raw, st.row.call), State: store.Stored}
	if known {
		out.State = store.NewVersion
	}
	return out, nil
}

// first stores the first event of a call.
func (g *group) first(r *record.Record, tags *recordTags) (store.Appended, error) {
	self, err := g.place() // may move the group's stamp
	if err != nil {
		return store.Appended{}, err
	}
	listed := g.ingest
	if !r.Start.IsZero() {
		listed = r.Start.UnixMicro()
	}
	st := g.calls.next()
	e := st.view
	e.record = *r
	if err := g.identify(&e.record, tags, listed); err != nil {
		return store.Appended{}, err
	}
	e.kind, e.call, e.listed, e.first, e.count = versionAndView, self, listed, g.ingest, 1
	e.parts, e.adds = record.NewView(e.record).Parts, record.ContributionOf(&e.record, time.UnixMicro(listed))
	g.write(e, self)
	g.count(&e.adds, 1)
	st.dirty, st.row = true, foldRow{call: self, view: self, total: 1,
		events: append(st.row.events, foldEvent{key: tags.key, content: tags.content, at: self})}
	g.folds[tags.fold] = st
	g.index(e, nil)
	return store.Appended{ID: g.t.s.callID(g.t.raw, self), State: store.Stored}, nil
}

// next folds a later event or version into its call.
func (g *group) next(st *foldState, r *record.Record, tags *recordTags) error {
	view, err := g.view(st)
	if err != nil {
		return err
	}
	own := *r
	if err := g.identify(&own, tags, view.listed); err != nil {
		return err
	}
	folded := record.View{Record: view.record, Parts: view.parts}.Fold(own)
	e := &entry{kind: versionAndView, call: st.row.call, listed: view.listed, first: view.first, count: view.count + 1,
		parts: folded.Parts, adds: record.ContributionOf(&folded.Record, time.UnixMicro(view.listed)), record: folded.Record}
	replaced := own.Key.Source != record.Kamailio && !(own.Key.Source == record.Twilio && own.Sequence < view.record.Sequence)
	self, err := g.place()
	if err != nil {
		return err
	}
	at := self
	if !replaced {
		g.write(&entry{kind: versionOnly, call: st.row.call, record: own}, self)
		if at, err = g.place(); err != nil {
			return err
		}
		e.kind = viewOnly
	}
	g.write(e, at)
	g.count(&view.adds, -1)
	g.count(&e.adds, 1)
	g.remember(st, tags, self)
	st.row.view, st.view, st.dirty = at, e, true
	g.index(e, &at)
	g.post(&own, e) // the fold may have passed a party over
	return nil
}

// remember notes the event in the call's fold row, or in a row of its own.
func (g *group) remember(st *foldState, tags *recordTags, at ref) {
	st.row.total++
	if len(st.row.events) < foldInline {
		st.row.events = append(st.row.events, foldEvent{key: tags.key, content: tags.content, at: at})
		return
	}
	g.key = spillKey(g.key, g.t.index.Load(), g.t.raw, tags.fold, tags.key[:], tags.content[:])
	g.spills[string(g.key)] = at
	g.rows.set(g.key, at.append(nil))
}

// index writes the rows that find a call by time and by subject. view is nil
// when the call's first entry is its view.
func (g *group) index(e *entry, view *ref) {
	var value []byte
	if view != nil {
		value = view.append(nil)
	}
	g.key = timeKey(g.key, g.t.raw, e.listed, e.call)
	g.rows.set(g.key, value)
	g.post(&e.record, e)
}

// post writes the rows that find a call by the subjects that one of its records names.
func (g *group) post(r *record.Record, e *entry) {
	for _, p := range [...]*record.Party{&r.From, &r.To} {
		subject, ok := rawSubject(p.Subject)
		if !ok {
			continue
		}
		g.key = postingKey(g.key, g.t.raw, subject, e.listed, e.call)
		g.rows.set(g.key, nil)
	}
}

// place finds where the next entry goes, beginning a chunk or frame when needed.
func (g *group) place() (ref, error) {
	t := g.t
	if f := g.current; f != nil && (f.length() >= frameTarget || f.entries >= 1<<15) {
		g.flush()
	}
	c := t.chunk
	if g.current == nil && (c == nil || c.records >= chunkRecords || c.bytes > chunkBytes-frameTarget || c.frames >= 1<<16 ||
		g.ingest-c.start >= chunkAge.Microseconds()) || c != nil && c.records >= chunkRecords {
		g.flush()
		if err := g.newChunk(); err != nil {
			return ref{}, err
		}
		c = t.chunk
	}
	if g.current == nil {
		f := &sealedFrame{chunk: c, number: uint16(c.frames), ingest: g.ingest, plain: record.Form{Text: frameSpace(), Noise: noiseSpace()}}
		f.plain.Noise = frameHead(f.plain.Noise, t.s.writer, t.nextN)
		c.frames++
		g.current = f
	}
	return ref{c.start, g.current.number, uint16(g.current.entries)}, nil
}

// newChunk draws a key; the chunk is named by a time that no chunk had before.
func (g *group) newChunk() error {
	t := g.t
	id, key, err := t.s.keys.For(store.UseIngest).Draw()
	if err != nil {
		return err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	t.s.aeads.Add(id, aead)
	if t.chunk != nil && t.chunk.start >= g.ingest {
		g.ingest = t.chunk.start + 1
	}
	t.last = max(t.last, g.ingest)
	t.chunk = &chunk{start: g.ingest, key: id, aead: aead}
	return nil
}

// write appends an entry at the place that place gave.
func (g *group) write(e *entry, self ref) {
	f := g.current
	if e.kind != viewOnly {
		copy(e.salt[:], g.salts)
		g.salts = g.salts[16:]
		g.versions = append(g.versions, committed{salt: e.salt, n: g.t.nextN, content: *g.content, at: self})
		f.versions++
		g.t.nextN++
	}
	before := f.length()
	f.plain = appendSized(f.plain, e, self, g.ingest)
	f.entries++
	c := g.t.chunk
	c.records++
	c.bytes += f.length() - before
}

// appendSized writes an entry behind its length. The length is not known before
// the entry is written, so three bytes are kept for it, which hold 2 MiB; a
// longer entry is moved.
func appendSized(dst record.Form, e *entry, self ref, ingest int64) record.Form {
	at := len(dst.Text)
	dst.Text = append(dst.Text, 0, 0, 0)
	dst = e.append(dst, self, ingest)
	n, text := len(dst.Text)-at-3, dst.Text
	if n < 1<<21 {
		text[at], text[at+1], text[at+2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
		return dst
	}
	long := binary.AppendUvarint(nil, uint64(n))
	text = append(text, long[3:]...)
	copy(text[at+len(long):], text[at+3:at+3+n])
	copy(text[at:], long)
	dst.Text = text
	return dst
}

// flush gives the frame being filled to a sealing goroutine.
func (g *group) flush() {
	f := g.current
	if f == nil {
		return
	}
	g.current = nil
	g.frames = append(g.frames, f)
	if f.length() < frameTarget/4 {
		g.t.s.seal(f, g.t.raw)
		f.forget()
		return
	}
	g.sealing.Add(1)
	g.t.s.sealers <- struct{}{}
	go func() {
		defer g.sealing.Done()
		g.t.s.seal(f, g.t.raw)
		f.forget()
		<-g.t.s.sealers
	}()
}

// get reads one row; nil when there is none.
func (s *Store) get(k kind, key []byte) ([]byte, error) {
	value, err := s.engine.Get(key)
	if err != nil {
		return nil, s.readError(k, err)
	}
	return value, nil
}

// readError turns an error of the engine's reads into the store's: corruption and
// I/O errors alike are never served around.
func (s *Store) readError(k kind, err error) error {
	if err == nil || s.engine.Damaged(err) {
		return s.corrupt(k, err)
	}
	var said *policy.Error
	if errors.As(err, &said) {
		return err
	}
	return &policy.Error{Reason: policy.Internal, Message: "the store cannot be read; check the disk", Cause: err}
}
