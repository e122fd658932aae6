// Package record is the canonical call record: what every source feed becomes,
// what the store seals, what the tenant reads back, and, pseudonymised, the
// only thing that ever crosses a border.
//
// The package is pure: no I/O, no clock, no keys of its own. [Fields] is the
// ONE table of what each field reveals; a field that is not in it fails a test
// and blocks every export.
package record

import (
	"time"
)

// SourceKind is the kind of system a record came from.
type SourceKind string

// The source kinds.
const (
	FreeSWITCH SourceKind = "freeswitch"
	Kamailio   SourceKind = "kamailio"
	Asterisk   SourceKind = "asterisk"
	Twilio     SourceKind = "twilio"
	Native     SourceKind = "native" // POST /v1/calls and calls:batch
)

// Direction of a call as the tenant sees it.
type Direction string

// The directions.
const (
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
	Internal Direction = "internal"
	Unknown  Direction = ""
)

// Status is how a call ended or stands, in Twilio's words.
type Status string

// The statuses.
const (
	Queued     Status = "queued"
	Ringing    Status = "ringing"
	InProgress Status = "in-progress"
	Completed  Status = "completed"
	Busy       Status = "busy"
	Failed     Status = "failed"
	NoAnswer   Status = "no-answer"
	Canceled   Status = "canceled"
)

// Key identifies one event of one leg at its source; the unit of deduplication
// (contract §6). Same key and same ContentHash: duplicate. Same key, other
// content: a new version.
type Key struct {
	Source   SourceKind
	Instance string // name of the feed
	NativeID string // of the call at its source
	Leg      string
	Event    string // "" for whole-call records; Kamailio: "acc/INVITE/200/…"; Twilio: sequence number
}

// Party is one end of a call.
type Party struct {
	Raw     string // as the source wrote it
	E164    string // "+353…", or "" when it is not a valid number
	Country string // ISO 3166-1 alpha-2 of the number, or ""
	Subject string // SU…, random, given at ingest; "" for an anonymous party
}

// Anonymous reports whether the party withheld its identity.
func (p Party) Anonymous() bool { return p.Raw == "" && p.E164 == "" }

// STIR is what the source said of call authentication (RFC 8224, ATIS-1000074).
type STIR struct {
	Attest  string // A, B, C or ""
	OrigID  string
	Verstat string // e.g. "TN-Validation-Passed-A"
	SPC     string
}

// Record is one event about a call, from one source, in canonical form. Times
// are UTC with microseconds; the zero time means that it did not happen or is
// not known.
type Record struct {
	Key      Key
	CallKey  string // the fold: events with the same (Source, Instance, CallKey) are one call
	Primary  bool   // counts in rollups (contract §6, primary legs)
	Sequence int64  // Twilio: highest wins in the fold; else 0

	From, To      Party
	CallerName    string
	Direction     Direction
	Status        Status
	Start         time.Time
	Ring          time.Time
	Answer        time.Time
	End           time.Time
	Duration      time.Duration // start to end
	Billsec       time.Duration // answer to end
	SIPCode       int           // 0: unknown
	Q850          int           // 0: unknown
	STIR          STIR
	RecordingRefs []string
	ConsentRef    string

	AssumedZone    bool // times were read in UTC because the feed says no zone
	AssumedCountry bool // numbers were read in the region's country for want of a setting

	ContentHash [32]byte // SHA-256 of the decoded native payload (form pairs sorted)
	HashOfBytes bool     // ContentHash is that of Native as it is, so that it need not be kept beside it
	Native      []byte   // the native payload, sealed with the record
	NativeType  string   // "application/json", "text/csv", "application/x-www-form-urlencoded"
}
