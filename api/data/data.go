// Package data is the JSON forms of a region's REST surface (contract §12).
// They are plain Go, not protobuf: ingest is NDJSON over net/http, and
// protojson would cost more than everything else together.
package data

import "time"

// Party is one end of a call.
type Party struct {
	Raw       string `json:"raw,omitempty"`
	E164      string `json:"e164,omitempty"`
	Country   string `json:"country,omitempty"`
	SubjectID string `json:"subject_id,omitempty"`
}

// STIR is what the source said of call authentication.
type STIR struct {
	Attest  string `json:"attest,omitempty"`
	OrigID  string `json:"orig_id,omitempty"`
	Verstat string `json:"verstat,omitempty"`
	SPC     string `json:"spc,omitempty"`
}

// Call is the folded view of one call.
type Call struct {
	ID            string     `json:"id"`
	Source        string     `json:"source"`
	Instance      string     `json:"instance"`
	NativeID      string     `json:"native_id"`
	Leg           string     `json:"leg,omitempty"`
	From          Party      `json:"from"`
	To            Party      `json:"to"`
	CallerName    string     `json:"caller_name,omitempty"`
	Direction     string     `json:"direction,omitempty"`
	Status        string     `json:"status,omitempty"`
	StartTime     *time.Time `json:"start_time,omitempty"`
	RingTime      *time.Time `json:"ring_time,omitempty"`
	AnswerTime    *time.Time `json:"answer_time,omitempty"`
	EndTime       *time.Time `json:"end_time,omitempty"`
	DurationMS    int64      `json:"duration_ms"`
	BillsecMS     int64      `json:"billsec_ms"`
	SIPCode       int        `json:"sip_code,omitempty"`
	Q850Cause     int        `json:"q850_cause,omitempty"`
	STIR          *STIR      `json:"stir,omitempty"`
	RecordingRefs []string   `json:"recording_refs,omitempty"` // as the source named them
	RecordingIDs  []string   `json:"recording_ids,omitempty"`  // kept here; on one call, not in lists
	TranscriptIDs []string   `json:"transcript_ids,omitempty"`
	ConsentRef    string     `json:"consent_ref,omitempty"`
	Assumed       []string   `json:"assumed,omitempty"` // "time_zone", "country"
	Versions      int        `json:"versions"`
	IngestTime    time.Time  `json:"ingest_time"`
	UpdateTime    time.Time  `json:"update_time"`
	ListTime      time.Time  `json:"list_time"`
	Region        string     `json:"region"`
	Revision      uint64     `json:"policy_revision,omitempty"`
}

// NewCall is one record as POST /v1/calls and calls:batch take it. NativeID is
// required; unknown fields are refused.
type NewCall struct {
	NativeID      string     `json:"native_id"`
	Leg           string     `json:"leg,omitempty"`
	From          string     `json:"from,omitempty"`
	To            string     `json:"to,omitempty"`
	CallerName    string     `json:"caller_name,omitempty"`
	Direction     string     `json:"direction,omitempty"`
	Status        string     `json:"status,omitempty"`
	StartTime     *time.Time `json:"start_time,omitempty"`
	RingTime      *time.Time `json:"ring_time,omitempty"`
	AnswerTime    *time.Time `json:"answer_time,omitempty"`
	EndTime       *time.Time `json:"end_time,omitempty"`
	DurationMS    *int64     `json:"duration_ms,omitempty"`
	BillsecMS     *int64     `json:"billsec_ms,omitempty"`
	SIPCode       int        `json:"sip_code,omitempty"`
	Q850Cause     int        `json:"q850_cause,omitempty"`
	STIR          *STIR      `json:"stir,omitempty"`
	RecordingRefs []string   `json:"recording_refs,omitempty"`
	ConsentRef    string     `json:"consent_ref,omitempty"`
}

// Created answers POST /v1/calls.
type Created struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Receipt string `json:"receipt,omitempty"` // RC…, see GET /v1/receipts/{id}; not of a duplicate
}

// Counts answers batches and feeds.
type Counts struct {
	Accepted    int `json:"accepted"` // stored and new versions
	Duplicates  int `json:"duplicates"`
	Quarantined int `json:"quarantined"`

	Receipts []string `json:"receipts,omitempty"` // RC…, of what was stored, in order; see GET /v1/receipts/{id}
}

// Calls is a page of calls.
type Calls struct {
	Calls         []Call `json:"calls"`
	NextPageToken string `json:"next_page_token,omitempty"`
	Corrupt       int    `json:"corrupt,omitempty"` // calls of this page that are left out: what is stored of them is not what was written
}

// Search is the body of POST /v1/calls:search: a number never stands in a URL.
type Search struct {
	Number    string     `json:"number"`
	Start     *time.Time `json:"start,omitempty"`
	End       *time.Time `json:"end,omitempty"`
	PageSize  int        `json:"page_size,omitempty"`
	PageToken string     `json:"page_token,omitempty"`
}

// Rollup is one row of regional counters.
type Rollup struct {
	Day             string  `json:"day"`
	Direction       string  `json:"direction"`
	Country         string  `json:"country"`
	Calls           int64   `json:"calls"`
	Answered        int64   `json:"answered"`
	Minutes         float64 `json:"minutes"`
	AnswerSeizure   float64 `json:"answer_seizure_ratio"`
	AverageDuration float64 `json:"average_duration_seconds"`
}

// Rollups answers GET /v1/rollups.
type Rollups struct {
	Rollups []Rollup `json:"rollups"`
}

// Quarantined is one payload that could not be parsed.
type Quarantined struct {
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Instance    string    `json:"instance"`
	Problem     string    `json:"problem"`
	ReceiveTime time.Time `json:"receive_time"`
	ContentType string    `json:"content_type"`
	Payload     []byte    `json:"payload"` // base64
}

// Quarantine is a page of quarantined payloads.
type Quarantine struct {
	Items         []Quarantined `json:"items"`
	NextPageToken string        `json:"next_page_token,omitempty"`
}

// Replay is the body of POST /v1/quarantine:replay. No ids: all. Payload, with
// one id only, replaces the broken payload first.
type Replay struct {
	IDs     []string `json:"ids,omitempty"`
	Payload []byte   `json:"payload,omitempty"`
}

// Replayed answers it.
type Replayed struct {
	Replayed  int `json:"replayed"`
	Remaining int `json:"remaining"`
}

// FeedSettings is PUT and GET /v1/feeds/{source}/{name}. SignatureSecret is write-only.
type FeedSettings struct {
	TimeZone        string `json:"time_zone"`
	DefaultCountry  string `json:"default_country"`
	SignatureSecret string `json:"signature_secret,omitempty"`
	SignatureURL    string `json:"signature_url,omitempty"`
}

// Egress is one line of the region's egress ledger: what left, where, why, how many bytes.
type Egress struct {
	Class       string    `json:"class"`
	Destination string    `json:"destination"` // host of the peer, or "tenant" for accepted connections
	Region      string    `json:"region,omitempty"`
	Boundary    string    `json:"boundary,omitempty"`
	Basis       string    `json:"basis,omitempty"`
	Tenant      string    `json:"tenant,omitempty"`
	Connections int64     `json:"connections"`
	BytesOut    int64     `json:"bytes_out"`
	BytesIn     int64     `json:"bytes_in"`
	LastTime    time.Time `json:"last_time"`
}

// EgressLedger answers GET /v1/egress.
type EgressLedger struct {
	Region  string   `json:"region"`
	Entries []Egress `json:"entries"`
}

// Transfer is the record of one export.
type Transfer struct {
	ID         string    `json:"id"`
	Tenant     string    `json:"tenant"`
	Recipient  string    `json:"recipient"`
	ToRegion   string    `json:"to_region"`
	Purpose    string    `json:"purpose"`
	Basis      string    `json:"basis"`
	Sequence   uint64    `json:"sequence"`
	Revision   uint64    `json:"policy_revision"`
	State      string    `json:"state"` // queued, sent, acknowledged, refused
	Rows       int       `json:"rows"`
	Suppressed int       `json:"suppressed"`
	Bytes      int       `json:"bytes"`
	SHA256     string    `json:"sha256"`
	WindowFrom time.Time `json:"window_start"`
	WindowTo   time.Time `json:"window_end"`
	CreateTime time.Time `json:"create_time"`
	AckTime    time.Time `json:"ack_time,omitzero"`
	Fields     []string  `json:"fields"`
	Why        string    `json:"why,omitempty"` // code, with refused
}

// Transfers is a page of transfer records.
type Transfers struct {
	Transfers     []Transfer `json:"transfers"`
	NextPageToken string     `json:"next_page_token,omitempty"`
}

// PseudonymRow is one row that crossed: everything that may (the allow-list).
type PseudonymRow struct {
	Row       string `json:"row"`             // transaction pseudonym
	From      string `json:"from"`            // keyed pseudonym, or ""
	To        string `json:"to"`              // keyed pseudonym, or ""
	FromCC    string `json:"from_country"`    // number → country
	ToCC      string `json:"to_country"`      //
	Direction string `json:"direction"`       //
	Outcome   string `json:"outcome"`         // answered or not_answered
	Hour      string `json:"hour"`            // start, generalised
	Duration  string `json:"duration_bucket"` // e.g. "1-5m"
	Source    string `json:"source_kind,omitempty"`
}

// Received answers GET /v1/received at the receiving region.
type Received struct {
	Rows       []PseudonymRow `json:"rows"`
	NextCursor string         `json:"next_cursor,omitempty"`
}

// ExportRun answers POST /v1/exports:run.
type ExportRun struct {
	Transfers  []Transfer   `json:"transfers"`
	Suppressed []Suppressed `json:"suppressed"`
}

// Suppressed says that a class of rows did not pass the singling-out gate, and why.
type Suppressed struct {
	Recipient string `json:"recipient"`
	Class     string `json:"class"`
	Rows      int    `json:"rows"`
	Subjects  int    `json:"subjects"`
	Needed    int    `json:"needed"`
}
