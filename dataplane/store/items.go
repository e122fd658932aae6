package store

import (
	"context"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// ItemKind is what an item is, of a closed list.
type ItemKind string

// The kinds of items.
const (
	RecordingItem      ItemKind = "recording"       // what is known of a recording; its sound is a blob
	TranscriptItem     ItemKind = "transcript"      // what is known of a transcript, and hashes of its words
	TranscriptTextItem ItemKind = "transcript_text" // its words
	UploadItem         ItemKind = "upload"          // the state of an upload that goes on later
	HoldItem           ItemKind = "hold"            // a legal hold
	CertificateItem    ItemKind = "certificate"     // what an erasure did
	OwnershipItem      ItemKind = "ownership"       // from when until when a number was whose
	DeletionItem       ItemKind = "deletion"        // that a call is being deleted
)

// itemKind is the row of one kind: what ids it has, and which class of data a
// permit must cover.
type itemKind struct {
	id    policy.IDKind
	class policy.DataClass
}

var itemKinds = map[ItemKind]itemKind{
	RecordingItem:      {policy.KindRecording, policy.Recording},
	TranscriptItem:     {"TR", policy.Transcript},
	TranscriptTextItem: {"TT", policy.Transcript},
	UploadItem:         {"UP", policy.Recording},
	HoldItem:           {"LH", policy.AccountConfig},
	CertificateItem:    {"EC", policy.AccountConfig},
	OwnershipItem:      {"OW", policy.AccountConfig},
	DeletionItem:       {"DL", policy.AccountConfig},
}

// IDKind is how ids of the kind begin; "" for no kind of the list.
func (k ItemKind) IDKind() policy.IDKind { return itemKinds[k].id }

// Class is the class of data that items of the kind are.
func (k ItemKind) Class() policy.DataClass { return itemKinds[k].class }

// Item is a sealed document of one tenant. Body is opaque to the store, and may
// be personal: each version is sealed under a key of its own, which is
// destroyed when the version is replaced or deleted.
type Item struct {
	Kind    ItemKind
	ID      string    // two capitals of the kind and 32 hex digits, random; the caller draws it
	Version uint64    // 1 when created; one more with each put
	Call    string    // the call (CA…) that it belongs to; "" none; never changes
	Created time.Time // stamped by the store; the item's place in lists; never moves
	Updated time.Time // of this version

	// Unique is a keyed tag of at most 32 bytes, random to who has not its key, that
	// no two items of a tenant and kind share; empty: none. It never changes.
	Unique []byte
	// Keys belong to the item (the keys of its blobs) and die with it: each is
	// destroyed when the item is deleted, or put without it, or purged.
	Keys []KeyID

	Body []byte // at most MaxItem
}

// Limits of items.
const (
	MaxItem       = 1 << 20
	MaxItemKeys   = 16
	MaxItemUnique = 32
)

// ItemQuery selects items of one tenant and kind, created in [Start, End).
type ItemQuery struct {
	Kind       ItemKind
	Call       string    // only those of this call; "" all
	Start, End time.Time // the zero End is for ever
	Newest     bool      // the latest first
	PageSize   int       // 1…1000; 0 means DefaultPage
	PageToken  string    // from the previous page; bound to tenant and query
}

// ItemPage is one page of items, in order of Created, or exactly the other way
// round. NextPageToken is "" at the end; a page is short when its bodies are large.
type ItemPage struct {
	Items         []Item
	NextPageToken string
}

// Items keeps sealed documents beside the records. All methods are safe for
// concurrent use, and what they answer is durable. The permits must cover the
// kind's class.
type Items interface {
	// PutItem creates an item (ifVersion 0), or replaces the version ifVersion of
	// it. It answers the item as it is now. ALREADY_EXISTS: the id or the Unique
	// tag is taken; the error's metadata "id" names the item that has it.
	// ETAG_MISMATCH: the item is at another version. NOT_FOUND: it is gone. The
	// permit must cover Ingest, Store, Process or Erase.
	PutItem(ctx context.Context, permit policy.Permit, item Item, ifVersion uint64) (Item, error)
	// ConvertItem creates an item in the place of another of the same class, of
	// which it deletes the version oldVersion, in one commit: there is never both
	// or neither. Keys that both name live on. Errors as of PutItem and
	// DeleteItem; then both are as before. The permit is as for PutItem.
	ConvertItem(ctx context.Context, permit policy.Permit, old ItemKind, oldID string, oldVersion uint64, item Item) (Item, error)
	// Item finds one; the permit must cover View, Process or Erase.
	Item(ctx context.Context, permit policy.Permit, kind ItemKind, id string) (Item, error)
	// Items lists; the permit must cover View, Process or Erase.
	Items(ctx context.Context, permit policy.Permit, q ItemQuery) (ItemPage, error)
	// DeleteItem removes an item and destroys its keys; when it answers, no copy of
	// the item opens any more. ifVersion 0 is any. NOT_FOUND when it is gone
	// already. The permit must cover Erase.
	DeleteItem(ctx context.Context, permit policy.Permit, kind ItemKind, id string, ifVersion uint64) error
}
