package store

import (
	"context"

	"github.com/domicile-io/domicile/policy"
)

// Entry is what the region's log (dataplane/log) is to say of one change. It
// holds opaque ids, codes and counts, and nothing that a person could be known by.
type Entry struct {
	Action   string          // noun.verb, of package audit's closed form
	Resource string          // an opaque id, of package audit's closed form
	Tenant   policy.TenantID // whose leaf it is; "" the region's own
	Detail   []byte          // what the leaf commits to beside that; at most MaxDetail
	Done     Rewritten       // what a Rewrite destroyed; the store fills it in
	Once     string          // with Note and WithBegin: an entry whose Once was noted before is passed over; "" none
}

// MaxDetail is how long an entry's Detail may be, a batch's receipts excepted.
const MaxDetail = 4 << 10

// Noted is an entry that is durable and waits for its place in the log.
type Noted struct {
	Entry
	Seq  uint64 // names it for good; grows with time, but later ones may be seen first
	Time int64  // when it was noted, µs since 1970
}

// LogHead is how far a region's log is.
type LogHead struct {
	ID    string // names the log until a restore begins another: 16 hex digits; "" before the first leaf
	Epoch uint64 // counts the logs that this one goes on from, from 1; 0 before the first leaf
	Size  uint64 // leaves
	Key   string // hex, the public key that signs it
}

// LogLeaf is one leaf with what it commits to.
type LogLeaf struct {
	Index  uint64
	Tenant policy.TenantID // "" the region's own
	Record []byte          // as package audit packs it
	Detail []byte          // what it commits to
	Parts  []byte          // of receipts: the batches that it gathers
	Seqs   []uint64        // of receipts: the noted entries that it gathers; only with Enter
}

// LogHash is a stored hash of the log's tree, by package audit's numbering.
type LogHash struct {
	Number uint64
	Value  [32]byte
}

// Entering is one growth of the log.
type Entering struct {
	From, To LogHead  // From must be the head as it is
	Taken    []uint64 // noted entries that have their place now
	Leaves   []LogLeaf
	Hashes   []LogHash
}

// Log keeps the rows of the region's log beside the records: so that an entry is
// durable if and only if the change is that it is about. How entries become
// leaves, and what is signed, is dataplane/log's.
//
// A call that gets its context from WithEntry notes that entry in the commit of
// its change; when it changes nothing, or is refused, it notes none.
// Rewrite notes one for each of its commits, with what that one destroyed in
// Done. So do PutItem, ConvertItem, DeleteItem, Unquarantine, Reassign, Unlink,
// Mend and, with its last commit, Purge. Append notes what it stored by itself
// (see Batch).
type Log interface {
	// Note makes entries durable in a commit of their own, all or none.
	Note(ctx context.Context, entries ...Entry) error
	// Noted lists what waits, oldest first, at most limit.
	Noted(ctx context.Context, limit int) ([]Noted, error)
	// Enter makes leaves durable, and the entries that they are of not waiting any
	// more, in one commit. ETAG_MISMATCH: the head is not From; somebody else was
	// faster.
	Enter(ctx context.Context, e Entering) error
	// LogHead says how far the log is.
	LogHead(ctx context.Context) (LogHead, error)
	// LogLeaf finds a leaf, or NOT_FOUND.
	LogLeaf(ctx context.Context, index uint64) (LogLeaf, error)
	// LogLeaves lists leaves from an index on, of one tenant or ("") all, without Parts.
	LogLeaves(ctx context.Context, tenant policy.TenantID, from uint64, limit int) ([]LogLeaf, error)
	// LogLeafOf finds the leaf that gathers a tenant's noted entry, or NOT_FOUND.
	LogLeafOf(ctx context.Context, tenant policy.TenantID, seq uint64) (uint64, error)
	// LogHashOf finds a stored hash, or NOT_FOUND.
	LogHashOf(ctx context.Context, number uint64) ([32]byte, error)
	// Opened reads the versions that a part of a tenant's batch commits to, in
	// order; none when one of them was erased, changed or expired since. The permit
	// must cover View of CallRecord.
	Opened(ctx context.Context, permit policy.Permit, writer [16]byte, part BatchPart) ([]Opened, error)
	// LogWritable returns when something written now would be durable, else why not.
	LogWritable(ctx context.Context) error
}

type entryKey struct{}

// WithEntry makes the next change that is asked for with the context note an
// entry: see Log. Give it to one call only.
func WithEntry(ctx context.Context, e Entry) context.Context {
	return context.WithValue(ctx, entryKey{}, e)
}

// EntryIn is the entry that a change is to note.
func EntryIn(ctx context.Context) (Entry, bool) {
	e, ok := ctx.Value(entryKey{}).(Entry)
	return e, ok
}

type beginKey struct{}

// WithBegin makes a Purge with the context note an entry, durably, once it is decided
// that it destroys and before it destroys anything; when it is refused, it notes none.
// An entry whose Once was noted before is passed over, so that a Purge that is
// repeated begins once.
func WithBegin(ctx context.Context, e Entry) context.Context {
	return context.WithValue(ctx, beginKey{}, e)
}

// BeginIn is the entry that a Purge is to note as it begins.
func BeginIn(ctx context.Context) (Entry, bool) {
	e, ok := ctx.Value(beginKey{}).(Entry)
	return e, ok
}
