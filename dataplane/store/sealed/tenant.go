package sealed

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// tenant is one tenant's committer and its keyed tags. Records wait in queue;
// one goroutine at a time, run, takes all that wait, makes a group of them and
// commits it. Whoever arrives while a sync is under way joins the next group:
// there is no timer.
type tenant struct {
	s   *Store
	id  policy.TenantID
	raw tenantRaw

	index atomic.Pointer[index] // changed under build

	rewriting sync.Mutex // held while chunks are sealed anew; taken before build

	shape   atomic.Uint64 // Standing.Shape that what is kept in memory is of
	fence   atomic.Uint64 // the shape that whoever has exclusive works on
	shaping sync.Mutex    // held while memory is brought up to a shape

	life  sync.RWMutex // held for reading while a write is built and applied
	ended bool         // purged: nothing is written any more

	items    sync.Mutex   // held while an item is compared and put
	holding  sync.RWMutex // held while a hold is placed, and, for reading, from a look at the holds to the destruction that it is for; after life
	itemless itemless

	mu      sync.Mutex // the queue
	queue   []*job
	waiting int // records in queue
	bytes   int // native bytes in queue
	running bool
	wake    chan struct{} // says that eagerRecords wait

	build  sync.Mutex // everything below: held while a group is stamped, built and applied
	loaded bool
	last   int64 // ingest time of the latest group, µs; strictly increasing
	chunk  *chunk
	nextN  uint64 // next version number of this writer
	cells  map[cellKey]cell
	known  map[[16]byte]bool // instances that are registered
}

// chunk is the chunk being written. It is never resumed after an error or a
// restart: its key and frame numbers are then no longer known to be fresh.
type chunk struct {
	start   int64
	key     store.KeyID
	aead    cipher.AEAD
	frames  int
	records int
	bytes   int
}

// job is one Append call on its way through a group.
type job struct {
	recs       []record.Record
	index      *index // that the tags are of
	tags       []recordTags
	bytes      int
	revision   uint64 // of the permit
	out        []store.Appended
	err        error
	from, upto int // its versions among the group's
	taken      bool
	gone       bool // the caller left before it was taken
	notify     chan struct{}
}

// Limits of one group: it is built in memory and written at once, and its rows fit into
// half of an engine's memtable.
const (
	groupRecords = 2048
	groupBytes   = 8 << 20
	// eagerRecords is how many waiting records make the next group begin while a
	// sync is still running; fewer wait for it and join.
	eagerRecords = 256
)

func (s *Store) newTenant(id policy.TenantID, raw tenantRaw) (*tenant, error) {
	t := &tenant{s: s, id: id, raw: raw, cells: map[cellKey]cell{}, known: map[[16]byte]bool{}, wake: make(chan struct{}, 1)}
	x, err := s.loadIndex(raw)
	if err != nil {
		return nil, err
	}
	t.index.Store(x)
	return t, nil
}

// deriveFor makes a tenant's own key for one use.
func deriveFor(key [32]byte, use string, t tenantRaw) [32]byte {
	mac := hmac.New(sha256.New, key[:])
	_, _ = io.WriteString(mac, "domicile index\x00"+use+"\x00")
	mac.Write(t[:])
	return [32]byte(mac.Sum(nil))
}

// tagger computes keyed tags; it is not safe for concurrent use, so each user
// takes one from the pool.
type tagger struct {
	fold, subject, place hash.Hash
	buf                  []byte
	sum                  [32]byte
}

func (g *tagger) tag(h hash.Hash, use byte, parts ...string) [16]byte {
	g.buf = append(g.buf[:0], use)
	for _, p := range parts {
		g.buf = binary.AppendUvarint(g.buf, uint64(len(p)))
		g.buf = append(g.buf, p...)
	}
	h.Reset()
	h.Write(g.buf)
	tag := [16]byte(h.Sum(g.sum[:0]))
	if use == tagFold || use == tagE164 || use == tagRaw {
		clear(tag[tagSize:])
	}
	return tag
}

// tagSize is how much of the tags of calls and parties stands in keys: there is a row
// for each call and each party, and 96 keyed bits keep 2^32 of a tenant's apart but
// for one chance in 2^33. The rest of such a tag is zero.
const tagSize = 12

// tagIn reads the tag in such a key, behind its tenant.
func tagIn(key []byte) (tag [16]byte) {
	copy(tag[:tagSize], key[17:])
	return tag
}

// Uses of tags; each begins the MAC's input.
const (
	tagFold     = 1
	tagEvent    = 2
	tagE164     = 3
	tagRaw      = 4
	tagInstance = 5
	tagCell     = 6
	tagFeed     = 7
)

// recordTags is what the committer needs of a record's identity.
type recordTags struct {
	fold     [16]byte
	key      [4]byte
	content  [8]byte
	from, to [16]byte
}

// tagAll computes the tags of records in the caller's goroutine, so that the
// committer does not have to.
func (t *tenant) tagAll(recs []record.Record) (*index, []recordTags) {
	x, g := t.tagger()
	defer x.tags.Put(g)
	out := make([]recordTags, len(recs))
	for i := range recs {
		r, o := &recs[i], &out[i]
		g.record(x.content, r, o)
		o.from, o.to = g.party(r.Key.Instance, &r.From), g.party(r.Key.Instance, &r.To)
	}
	return x, out
}

// record tags a record's call, event and content.
func (g *tagger) record(content cipher.Block, r *record.Record, o *recordTags) {
	callKey := r.CallKey
	if callKey == "" {
		callKey = r.Key.NativeID
	}
	o.fold = g.tag(g.fold, tagFold, string(r.Key.Source), r.Key.Instance, callKey)
	if r.Key.NativeID != callKey || r.Key.Leg != "" || r.Key.Event != "" {
		full := g.tag(g.fold, tagEvent, r.Key.NativeID, r.Key.Leg, r.Key.Event)
		copy(o.key[:], full[:])
	}
	var block [16]byte
	content.Encrypt(block[:], r.ContentHash[:16])
	copy(o.content[:], block[:])
}

// party tags a party by number, else by what its source called it; an
// anonymous party has no tag.
func (g *tagger) party(instance string, p *record.Party) [16]byte {
	switch {
	case p.E164 != "":
		return g.tag(g.subject, tagE164, p.E164)
	case p.Raw != "":
		return g.tag(g.subject, tagRaw, instance, p.Raw)
	}
	return [16]byte{}
}

// append queues one call's records and waits until they are durable. When ctx
// ends first, records that no group has taken yet are withdrawn.
func (t *tenant) append(ctx context.Context, recs []record.Record, size int, revision uint64) ([]store.Appended, error) {
	if err := t.ownIndex(); err != nil {
		return nil, err
	}
	j := &job{recs: recs, bytes: size, revision: revision, notify: make(chan struct{})}
	j.index, j.tags = t.tagAll(recs)
	t.mu.Lock()
	if t.waiting > 0 && (t.waiting+len(recs) > t.s.maxPending || t.bytes+size > t.s.maxPendingBytes) {
		t.mu.Unlock()
		return nil, policy.Errorf(policy.Overloaded, "%d records of this tenant wait to be stored; send them again in a moment", t.s.maxPending)
	}
	t.queue = append(t.queue, j)
	t.waiting, t.bytes = t.waiting+len(recs), t.bytes+size
	if t.waiting >= eagerRecords {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	if !t.running {
		t.running = true
		t.s.working.Add(1)
		go t.run()
	}
	t.mu.Unlock()
	select {
	case <-j.notify:
	case <-ctx.Done():
		if t.withdraw(j) {
			return nil, &policy.Error{Reason: policy.NotReady, Cause: ctx.Err(), Message: "the caller left before its records were stored; send them again"}
		}
		<-j.notify
	}
	return j.out, j.err
}

// withdraw takes a job back when no group has it yet.
func (t *tenant) withdraw(j *job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j.taken {
		return false
	}
	j.gone = true
	t.waiting, t.bytes = t.waiting-len(j.recs), t.bytes-j.bytes
	return true
}

// run commits groups until nothing waits. At most two are under way: one being
// synced, one being built. It does not end before the last is synced: a group of
// duplicates that the next run built would not know whom to wait for.
func (t *tenant) run() {
	defer t.s.working.Done()
	var previous *group
	for {
		if previous != nil && !t.many() {
			select {
			case <-previous.done:
				previous = nil
			case <-t.wake: // perhaps for what was taken already
			}
		}
		jobs := t.take(previous == nil)
		if jobs == nil && previous == nil {
			return
		}
		if jobs == nil {
			continue
		}
		g := t.commit(jobs)
		if previous != nil {
			<-previous.done
		}
		previous = g
		go g.finish(t.s)
	}
}

func (t *tenant) many() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting >= eagerRecords
}

// take hands out the jobs of the next group, or nil, which ends the run when last says so.
func (t *tenant) take(last bool) []*job {
	t.mu.Lock()
	defer t.mu.Unlock()
	var jobs []*job
	records, size, n := 0, 0, 0
	for _, j := range t.queue {
		if len(jobs) > 0 && (records+len(j.recs) > groupRecords || size+j.bytes > groupBytes) {
			break
		}
		n++
		if j.gone {
			continue
		}
		j.taken = true
		jobs = append(jobs, j)
		records, size = records+len(j.recs), size+j.bytes
	}
	t.queue = append(t.queue[:0:0], t.queue[n:]...)
	t.waiting, t.bytes = t.waiting-records, t.bytes-size
	if jobs == nil && last {
		t.running = false
	}
	return jobs
}

// load finds where the tenant's last process start stopped.
func (t *tenant) load() error {
	if t.loaded {
		return nil
	}
	prefix := keyOf(nil, kindFrame, t.raw)
	it, err := t.s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return t.s.readError(kindFrame, err)
	}
	defer it.Close()
	if it.Last() {
		t.last = int64(binary.BigEndian.Uint64(it.Key()[17:])) + chunkAge.Microseconds() // no frame of it is later
		value, err := it.ValueAndErr()
		_, covered := pointerIn(value)
		switch {
		case err == nil && covered: // what came after it was moved aside
		case err != nil || len(value) < frameHeader:
			if err := t.s.readError(kindFrame, err); !isCorrupt(err) {
				return err
			}
		case frameIngest(value) < t.last:
			t.last = frameIngest(value)
		}
	}
	if err := it.Error(); err != nil {
		return t.s.readError(kindFrame, err)
	}
	t.loaded = true
	return nil
}
