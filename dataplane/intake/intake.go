package intake

import (
	"context"
	"io"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// Limits of one item. They bound memory, not the body: a stream of any length
// passes through.
const (
	MaxItem  = 1 << 20  // bytes of one JSON record, form or over-long CSV row; beyond it PAYLOAD_TOO_LARGE
	MaxRow   = 64 << 10 // bytes of one CSV row; a longer one, up to MaxItem, is quarantined
	MaxField = 16 << 10 // bytes of one text field that the record keeps
	MaxRefs  = 64       // recording references of one record
	MaxDepth = 32       // nesting of JSON
	MaxPairs = 1000     // pairs of one form
)

// Settings are what is known of a source before its body is read.
type Settings struct {
	Source         record.SourceKind
	Instance       string         // name of the feed, part of every key
	Location       *time.Location // of local times; nil is UTC
	DefaultCountry string         // alpha-2, for numbers without a country code; "" reads none
	AssumedZone    bool           // Location was not set by anybody
	AssumedCountry bool           // DefaultCountry was not set by anybody
	Numbers        *Numbers       // shared by requests; nil parses every number anew (slow)
}

// Item is one record, or what could not become one.
type Item struct {
	Record      record.Record
	Err         error  // nil, or a Problem: quarantine Raw with its text
	Raw         []byte // the payload of this item alone
	ContentType string // what Raw was found to be, not what was declared
}

// Feed parses the body of a source feed and yields its items in order. Path is
// what follows the feed's name: "" (sniff), or for Kamailio "acc" or "cdr". It
// is followed by the declared content type, which is ignored. Feed
// returns the first error of yield, the error of the body's reader (the stream
// broke: what was yielded stands), or PAYLOAD_TOO_LARGE for an item beyond
// MaxItem. An unknown source or path is NOT_FOUND. An empty body yields one
// quarantined item.
func Feed(ctx context.Context, s Settings, path, _ string, body io.Reader, yield func(Item) error) error {
	return feed(ctx, s, path, body, yield)
}

// NDJSON parses calls:batch: JSON lines or one JSON array of native records. A
// line or element that is not JSON or has bad content is yielded with its
// Problem; a reader's error or an array that breaks off ends the batch with
// INVALID_ARGUMENT (or the reader's own *policy.Error) after what was yielded.
func NDJSON(ctx context.Context, s Settings, body io.Reader, yield func(Item) error) error {
	return ndjson(ctx, s, body, yield)
}

// Native parses the body of POST /v1/calls. It is strict: unknown fields,
// duplicate keys, trailing data and invalid UTF-8 are refused. The error is a
// *policy.Error, INVALID_ARGUMENT with every bad field or PAYLOAD_TOO_LARGE. The
// record's texts are parts of raw, to which nobody may write again.
func Native(s Settings, raw []byte) (record.Record, error) {
	if len(raw) > MaxItem {
		return record.Record{}, tooLarge()
	}
	return native(s, raw)
}

func tooLarge() *policy.Error {
	return policy.Errorf(policy.PayloadTooLarge, "one record has more than %d bytes; send each call as its own record", MaxItem)
}
