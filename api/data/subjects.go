package data

import "time"

// SubjectRef says whom a request is about. A number stands in a body only,
// never in a URL.
type SubjectRef struct {
	Number   string `json:"number,omitempty"`     // E.164, or as it was dialled; with instance, as that feed wrote it
	Instance string `json:"instance,omitempty"`   // name of the feed, for values that are no public numbers
	Subject  string `json:"subject_id,omitempty"` // one owner of the number, from subjects:find
}

// Owner is one owner of a number: a subject, and from when until when the
// number was its own. An absent end is open.
type Owner struct {
	Subject  string     `json:"subject_id"`
	Instance string     `json:"instance,omitempty"` // of a value that is no public number
	Since    *time.Time `json:"since,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
	Calls    int        `json:"calls"`             // at most 10,000 are counted
	More     bool       `json:"more,omitempty"`    // there are more than were counted
	Holds    []string   `json:"holds,omitempty"`   // legal holds that stand against erasing
	Erasing  string     `json:"erasing,omitempty"` // the certificate of an erasure under way
}

// Owners answers POST /v1/subjects:find.
type Owners struct {
	Owners []Owner `json:"owners"`
}

// SubjectExport is the body of POST /v1/subjects:export; the answer is a zip.
type SubjectExport struct {
	SubjectRef
	WithoutMedia bool `json:"without_media,omitempty"`
}

// SubjectReassign is the body of POST /v1/subjects:reassign: at Time the number
// went from whoever had it to somebody else.
type SubjectReassign struct {
	SubjectRef
	Time time.Time `json:"time"`
}

// HoldRequest is the body of POST /v1/holds. Without a number or subject it
// stands for everybody of the tenant.
type HoldRequest struct {
	SubjectRef
	Everybody bool       `json:"everybody,omitempty"`
	Reason    string     `json:"reason"`              // LITIGATION, REGULATOR, INVESTIGATION, CONTRACT
	Reference string     `json:"reference,omitempty"` // a file number of yours; no names
	Until     *time.Time `json:"until,omitempty"`     // when it ends by itself
}

// Hold is one legal hold.
type Hold struct {
	ID        string     `json:"id"`
	Everybody bool       `json:"everybody,omitempty"`
	Owners    []Owner    `json:"owners,omitempty"`
	Reason    string     `json:"reason"`
	Reference string     `json:"reference,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
	Created   time.Time  `json:"create_time"`
	CreatedBy string     `json:"created_by"` // the key's id
	Released  *time.Time `json:"release_time,omitempty"`
}

// Holds is a page of holds.
type Holds struct {
	Holds         []Hold `json:"holds"`
	NextPageToken string `json:"next_page_token,omitempty"`
}

// HoldRelease is the body of POST /v1/holds:release.
type HoldRelease struct {
	ID string `json:"id"`
}

// Certificate says what an erasure did. It names random ids and counts, and
// nothing that leads to the person. State is pending, executed or final:
//
//   - pending: the intent is durable and the work goes on, also after a crash
//   - executed: nothing in this region's live stores opens any more
//   - final: nor does any copy made before, because every key is destroyed, the
//     indexes are keyed anew, caches have run out, and recipients have deleted
type Certificate struct {
	ID       string        `json:"id"`
	Tenant   string        `json:"tenant"`
	Region   string        `json:"region"`
	State    string        `json:"state"`
	Owners   []Owner       `json:"owners"`
	Entry    uint64        `json:"ledger_entry"`
	Step     string        `json:"step,omitempty"`
	Counts   ErasureCounts `json:"counts"`
	Waits    []string      `json:"waits_for,omitempty"` // what final still waits for
	Kept     string        `json:"kept"`                // what stays of calls whose other party stays
	Created  time.Time     `json:"create_time"`
	Executed *time.Time    `json:"execute_time,omitempty"`
	Final    *time.Time    `json:"final_time,omitempty"`
	Restored []time.Time   `json:"applied_again,omitempty"` // after the store was put back from a backup
	Signed   []Signature   `json:"signatures,omitempty"`    // one when executed, one when final
	Problem  string        `json:"problem,omitempty"`       // why the last attempt at the step failed; it is tried again
}

// ErasureCounts counts what an erasure found.
type ErasureCounts struct {
	Dropped     uint64 `json:"calls_dropped"`
	Redacted    uint64 `json:"calls_redacted"`
	Versions    uint64 `json:"versions"`
	Chunks      uint64 `json:"chunks_rewritten"`
	Keys        uint64 `json:"keys_destroyed"`
	Damaged     uint64 `json:"calls_damaged,omitempty"` // of them, whose chunk did not open, so that its key could not be told and may live
	Quarantined uint64 `json:"quarantined_payloads"`
	Recordings  uint64 `json:"recordings"`
	Transcripts uint64 `json:"transcripts"`
	Withdrawn   uint64 `json:"rows_withdrawn"` // from transfers that had not left
	Tombstones  uint64 `json:"tombstones"`     // rows that recipients are told to delete
	Deleted     uint64 `json:"rows_deleted"`   // that recipients had and deleted
}

// Signature is a node's over the certificate as JSON, with signatures, state
// of waiting and problem left out, as it was when it became State.
type Signature struct {
	State     string    `json:"state"`
	Node      string    `json:"node"`
	Time      time.Time `json:"time"`
	Statement []byte    `json:"statement"` // what was signed
	Value     []byte    `json:"value"`
}

// Certificates is a page of certificates.
type Certificates struct {
	Certificates  []Certificate `json:"certificates"`
	NextPageToken string        `json:"next_page_token,omitempty"`
}

// SubjectCall is one line of calls.jsonl in a subject's archive: a call as the
// subject took part in it. Other is the other party, its number masked.
type SubjectCall struct {
	ID         string     `json:"id"`
	Role       string     `json:"role"` // caller, callee, or both
	Number     string     `json:"number,omitempty"`
	Raw        string     `json:"raw,omitempty"`
	Name       string     `json:"caller_name,omitempty"` // when the subject called
	Other      string     `json:"other,omitempty"`
	OtherCC    string     `json:"other_country,omitempty"`
	Direction  string     `json:"direction,omitempty"`
	Status     string     `json:"status,omitempty"`
	Start      *time.Time `json:"start_time,omitempty"`
	Ring       *time.Time `json:"ring_time,omitempty"`
	Answer     *time.Time `json:"answer_time,omitempty"`
	End        *time.Time `json:"end_time,omitempty"`
	DurationMS int64      `json:"duration_ms"`
	BillsecMS  int64      `json:"billsec_ms"`
	STIR       *STIR      `json:"stir,omitempty"` // when the subject called
	ConsentRef string     `json:"consent_ref,omitempty"`
	Source     string     `json:"source"`
	Versions   int        `json:"versions"`
	Listed     time.Time  `json:"list_time"`
	Ingested   time.Time  `json:"ingest_time"`
}

// Manifest is manifest.json, the last part of a subject's archive.
type Manifest struct {
	Format  string         `json:"format"` // "domicile subject export 1"
	Tenant  string         `json:"tenant"`
	Region  string         `json:"region"`
	Created time.Time      `json:"create_time"`
	Owners  []Owner        `json:"owners"`
	Schema  string         `json:"schema"` // what the parts hold
	Counts  map[string]int `json:"counts"`
	Parts   []ManifestPart `json:"parts"`
}

// ManifestPart is one file of the archive.
type ManifestPart struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}
