// Package store is the contract between a region's data plane and whatever
// keeps its records: [Store], its types, and (in storetest) the conformance
// suite that every implementation passes. dataplane/store/local keeps the rows in
// an embedded engine, dataplane/store/sql in the region's database;
// dataplane/store/sealed is what both have in common.
//
// Everything that is acknowledged is durable, sealed under its chunk's key, and
// indexed by time and by subject. Every method that touches personal data takes
// a policy.Permit and refuses one that does not cover it.
package store

import (
	"context"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// State is what became of one appended record.
type State string

// The states.
const (
	Stored     State = "stored"
	Duplicate  State = "duplicate"
	NewVersion State = "new_version"
)

// Appended says what became of one record: ID is the call's id (CA…), also for a duplicate.
type Appended struct {
	ID      string
	State   State
	Receipt string // RC…, of the batch that it was stored with; "" for a duplicate, which has the receipt of its first copy
}

// Call is the folded view of all versions and events of one call.
type Call struct {
	ID         string // CA + 32 hex, random
	Record     record.Record
	IngestedAt time.Time // of the first event
	UpdatedAt  time.Time // of the latest version or event
	ListedAt   time.Time // first event's start, else ingest; the call's place in lists; never moves
	Versions   int       // versions and events folded in
}

// Query selects calls of one tenant by ListedAt in [Start, End).
type Query struct {
	Start, End time.Time
	Status     record.Status    // "" any
	Direction  record.Direction // "" any
	Number     string           // E.164 or raw; home region only; "" any
	Subject    string           // SU…; "" any; not together with Number
	AnyVersion bool             // with Subject: also calls that only an earlier version or event names it in
	Newest     bool             // the other way round: the latest first
	PageSize   int              // 1…1000
	PageToken  string           // from the previous page; bound to tenant and query
}

// Page is one page of calls, in order of ListedAt, then of arrival; ascending,
// or exactly the other way round. NextPageToken is "" at the end. A page may be short, even empty, and have a
// token: then more calls remain to be looked at.
type Page struct {
	Calls         []Call
	Corrupt       int // calls of this page whose stored bytes are not what was written: left out, and counted here
	NextPageToken string
}

// Quarantined is one payload that was acknowledged but could not be parsed.
type Quarantined struct {
	ID          string // QU + 32 hex
	Source      record.SourceKind
	Instance    string
	Path        string // sub-path of the feed, e.g. "acc"
	ContentType string
	Problem     string // what is wrong, without the payload's words
	ReceivedAt  time.Time
	Payload     []byte // sealed at rest; only for the tenant itself
}

// Rollup is one row of the regional counters: the sum of calls' current
// contributions (contract §6).
type Rollup struct {
	Day       string // YYYY-MM-DD, UTC, of the call's start
	Direction record.Direction
	Country   string // of the external party, or ""
	Calls     int64
	Answered  int64
	Billsec   int64 // seconds, summed
}

// Feed is the settings of one source feed, kept at home.
type Feed struct {
	Source          record.SourceKind `json:"source"`
	Name            string            `json:"name"`
	TimeZone        string            `json:"time_zone"`        // IANA; "" is UTC, assumed
	DefaultCountry  string            `json:"default_country"`  // alpha-2; "" is the region's, assumed
	SignatureSecret string            `json:"signature_secret"` // write-only; Twilio's auth token
	SignatureURL    string            `json:"signature_url"`    // the URL that the source signs, when a proxy changes it
}

// Purged counts what Purge destroyed.
type Purged struct {
	Calls       uint64
	Quarantined uint64
	Items       uint64
	Keys        uint64 // of chunks and items
}

// Store keeps the records of one region.
type Store interface {
	// Append makes records durable, in order, and says what became of each. It
	// returns only after one fsync covers them all; records of concurrent callers
	// share it. An error means that none of them may be acknowledged: with
	// policy.OutcomeUnknown they may or may not be there, and the same records
	// can be sent again. The permit must cover Ingest of CallRecord.
	Append(ctx context.Context, permit policy.Permit, recs []record.Record) ([]Appended, error)

	// Quarantine makes an unparseable payload durable.
	Quarantine(ctx context.Context, permit policy.Permit, items []Quarantined) ([]string, error)
	// Quarantines lists; the permit must cover View or Erase.
	Quarantines(ctx context.Context, permit policy.Permit, pageSize int, pageToken string) ([]Quarantined, string, error)
	// Unquarantine removes an item after a successful replay, or for good. The
	// permit must cover Process or Erase.
	Unquarantine(ctx context.Context, permit policy.Permit, id string) error

	// List, Call and Rollups read; the permit must cover View of CallRecord. For a
	// list of one subject, Process or Erase will do; for a call, Erase.
	List(ctx context.Context, permit policy.Permit, q Query) (Page, error)
	// Scan is List for whoever writes calls out one by one: it yields those of the
	// page instead of answering them, and the page ends early when yield says so. A
	// call, and what it points to, is valid only until yield returns; yield must not
	// change it. When a page has ended and is not the last, turn is told of it and
	// says whether to go on with the next one; that one may be as old as the first, so
	// that who goes on for long must not mind. nil: no further. What Scan answers is
	// the page that it came to last, of which turn may have been told.
	Scan(ctx context.Context, permit policy.Permit, q Query, yield func(*Call) (more bool), turn func(Page) (more bool)) (Page, error)
	Call(ctx context.Context, permit policy.Permit, id string) (Call, error)
	Rollups(ctx context.Context, permit policy.Permit, firstDay, lastDay string) ([]Rollup, error)

	// Feed settings; NotFound when never set. The permits must cover Store and
	// Process of AccountConfig.
	PutFeed(ctx context.Context, permit policy.Permit, f Feed) error
	Feed(ctx context.Context, permit policy.Permit, source record.SourceKind, name string) (Feed, error)

	// Window yields the acknowledged versions of a tenant that were ingested in
	// [from, to), for an export; the permit must cover Export. A version that was
	// superseded within the window is yielded once, as its latest.
	Window(ctx context.Context, permit policy.Permit, from, to time.Time, yield func(Call) error) error

	// Rewrite drops or redacts calls for good: their chunks are sealed anew
	// without them, in place, under fresh keys, and the old keys are destroyed
	// before it returns. Refs, ids and everything of other calls stay as they are.
	// An event of such a call that arrives later, also one that was never seen, is
	// answered as a duplicate and not stored: a feed's retry brings nobody back.
	// An error leaves calls of which nothing has changed, and perhaps some that
	// are done; repeating it finishes. The permit must cover Erase of CallRecord.
	Rewrite(ctx context.Context, permit policy.Permit, w Rewrite) (Rewritten, error)
	// Reindex builds what a tenant's calls and numbers are found by anew, from its
	// records, under a fresh key, while it serves, and destroys the old key before
	// it returns: from then on no hash of anybody who was forgotten before it began
	// can be computed again. It reads every record: do it at most daily. Events of
	// calls that were dropped before would be taken for new ones after it. The
	// permit must cover Erase of CallRecord.
	Reindex(ctx context.Context, permit policy.Permit) error
	// Reindexed tells when the last Reindex began (or the first record came), and
	// since when something waits to be forgotten by the next one; zero when nothing
	// does. The permit must cover View, Process or Erase.
	Reindexed(ctx context.Context, permit policy.Permit) (began, waiting time.Time, err error)
	// Waiting lists the tenants of which something waits to be forgotten by a Reindex.
	Waiting(ctx context.Context) ([]policy.TenantID, error)
	// Aged lists the ids of calls whose place in lists is before a time, oldest
	// first, without opening them: for the end of a retention. The permit must
	// cover Erase of CallRecord.
	Aged(ctx context.Context, permit policy.Permit, before time.Time, pageSize int, pageToken string) (ids []string, next string, err error)
	// Owners finds who a number stood for and when: as E.164 and as a raw value at
	// every instance, or ("instance" given) as a raw value there. The permit must
	// cover View, Process or Erase.
	Owners(ctx context.Context, permit policy.Permit, number, instance string) ([]Owner, error)
	// Reassign records that a number went to somebody else at a time, durably, and
	// answers its owners: calls listed from then on get a new subject id, also late
	// ones, and those listed before belong to the former owner. NOT_FOUND when the
	// number leads to nobody, ALREADY_EXISTS when that change is recorded. The
	// permit must cover Process.
	Reassign(ctx context.Context, permit policy.Permit, number, instance string, at time.Time) ([]Owner, error)
	// Unlink makes a number and owners of it strangers, durably: it does not lead
	// to them any more, and the next record of their time gets a new id. Calls that
	// carry the old ids stay. Repeating it is harmless. The permit must cover Erase.
	Unlink(ctx context.Context, permit policy.Permit, u Unlinking) error

	// Items are sealed documents beside the records: what is known of recordings
	// and transcripts, legal holds, certificates.
	Items
	// Log is the rows of the region's log, written in the commits of the changes.
	Log

	// Mend is for records that were put back from a backup: what stands under keys
	// that were destroyed since is let go, with every row that leads there, and
	// rollups are counted anew. It says how many calls went. Those that are forgotten
	// do not come back by a feed's retry; the others can be brought in again.
	// Repeating it is harmless. The permit must cover Erase.
	Mend(ctx context.Context, permit policy.Permit, f Forgotten) (calls uint64, err error)

	// Holds reads every legal hold of a tenant, released ones included, for who
	// destroys; seen is for LookedAt. It takes no permit: what it answers goes to
	// nobody, and it must work when nothing is permitted any more.
	Holds(ctx context.Context, tenant policy.TenantID) (holds []Item, seen int, err error)
	// ReplaceHold replaces the version ifVersion of a legal hold, which must not be 0:
	// it places none. Else it is PutItem. It takes no permit, because a hold of a
	// tenant that ends is released when nothing of it is permitted any more, also
	// after a Purge that failed. NOT_FOUND: there is none, or it was purged.
	ReplaceHold(ctx context.Context, tenant policy.TenantID, hold Item, ifVersion uint64) (Item, error)
	// Purge destroys everything of a tenant: first the keys of its chunks and
	// items, then the rows. It waits for what is being written; whatever is
	// written after it began to destroy answers DESTROYED, in this process. With a
	// context of WithHolds it is refused, and nothing of the tenant has ended, when a
	// hold came that was not looked at; of WithBegin, it says when it begins. It can
	// be repeated: then it counts what was left. It takes no permit, because it moves
	// nothing and must work when nothing is permitted any more.
	Purge(ctx context.Context, tenant policy.TenantID) (Purged, error)

	// Healthy reports why the store cannot take or give records, else nil.
	Healthy() error
	Close() error
}

// Limits that every Store has.
const (
	MaxAppend   = 10_000  // records in one Append
	MaxNative   = 8 << 20 // bytes of one record's native payload, or of one quarantined one
	MaxPageSize = 1000    // of List and Quarantines; 0 means DefaultPage
	DefaultPage = 100
)
