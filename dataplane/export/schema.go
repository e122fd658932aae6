package export

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// formatVersion is the format of the outbox; others are refused.
const formatVersion = 1

// Buckets of the outbox.
const (
	bucketStreams    shelf.Bucket = "streams"    // TN…/RP… → JSON stream
	bucketTransfers  shelf.Bucket = "transfers"  // TN…/EX… → JSON Transfer
	bucketByTime     shelf.Bucket = "by_time"    // TN…/created µs/EX… → nothing
	bucketQueue      shelf.Bucket = "queue"      // TN…/RP…/sequence → EX…
	bucketFrozen     shelf.Bucket = "frozen"     // EX… → sealed payload; removed once acknowledged or refused
	bucketSuppressed shelf.Bucket = "suppressed" // TN…/RP…/window start → JSON windowNote
	bucketTombstones shelf.Bucket = "tombstones" // TN…/RP…/EC…/row pseudonym → JSON tombstone; removed once the receiver has deleted
	bucketBuried     shelf.Bucket = "buried"     // TN…/EC… → uint64 rows that receivers had and deleted
)

// Buckets are those that the shelf of an outbox has.
func Buckets() []shelf.Bucket {
	return []shelf.Bucket{bucketStreams, bucketTransfers, bucketByTime, bucketQueue, bucketFrozen, bucketSuppressed, bucketTombstones, bucketBuried}
}

// State is a transfer's state.
type State string

// The states: queued → acknowledged, or queued → refused.
const (
	Queued       State = "queued"
	Acknowledged State = "acknowledged"
	Refused      State = "refused"
)

// Transfer is the record of one export; it holds no personal data.
type Transfer struct {
	ID         string             `json:"id"`
	Tenant     policy.TenantID    `json:"tenant"`
	Recipient  policy.RecipientID `json:"recipient"`
	To         policy.RegionID    `json:"to"`
	Purpose    string             `json:"purpose"`
	Basis      string             `json:"basis"`
	Sequence   uint64             `json:"sequence"`
	Revision   uint64             `json:"revision"` // of the policy that was decided under
	State      State              `json:"state"`
	Rows       int                `json:"rows"`
	Suppressed int                `json:"suppressed"`
	Bytes      int                `json:"bytes"`
	SHA256     string             `json:"sha256"`
	From       time.Time          `json:"window_start"`
	Until      time.Time          `json:"window_end"`
	CreatedAt  time.Time          `json:"created_at"`
	AckedAt    time.Time          `json:"acked_at,omitzero"`
	Delivered  bool               `json:"delivered"` // the receiver's mark has passed it, as rows or as a gap
	Needed     int                `json:"needed"`    // distinct subjects that each of its classes had to have
	Fields     []string           `json:"fields"`    // of the export schema, as they were when it was frozen
	Why        string             `json:"why,omitempty"`
}

// Stream is the state of one (tenant, recipient).
type Stream struct {
	Judged    time.Time `json:"judged"`           // end of the last window that was judged
	Closed    bool      `json:"closed,omitempty"` // no policy names the recipient any more; what is acknowledged meanwhile never leaves
	Sequence  uint64    `json:"sequence"`         // last given
	Delivered uint64    `json:"delivered"`        // receiver's mark
	Day       string    `json:"day"`              // UTC, of Today
	Today     uint64    `json:"today"`            // transfers that were acknowledged on that day, for caps

	LostFrom  time.Time `json:"lost_from,omitzero"`  // the outbox was put back from a backup: of what was acknowledged from here on
	LostUntil time.Time `json:"lost_until,omitzero"` // until here, rows may have left that it knows nothing of
}

// Bounds of what is remembered of judged windows; transfers are kept for ever.
const (
	maxNotes        = 1000 // windows of one (tenant, recipient)
	maxSuppressions = 100  // classes of one window; the rest is one line, OtherClasses
)

// OtherClasses stands for the classes of a window that were too many to list.
const OtherClasses = "other classes"

// WindowNote says what a judged window kept back.
type WindowNote struct {
	Recipient  policy.RecipientID `json:"recipient"`
	From       time.Time          `json:"from"`
	Until      time.Time          `json:"until"`
	Released   int                `json:"released"`
	Suppressed []Suppression      `json:"suppressed"`
}

func streamKey(t policy.TenantID, r policy.RecipientID) []byte {
	return []byte(string(t) + "/" + string(r))
}

func queueKey(t policy.TenantID, r policy.RecipientID, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(append(streamKey(t, r), '/'), sequence)
}

func transferKey(t policy.TenantID, id string) []byte { return []byte(string(t) + "/" + id) }

func timeKey(t policy.TenantID, at time.Time, id string) []byte {
	key := binary.BigEndian.AppendUint64([]byte(string(t)+"/"), uint64(at.UnixMicro()))
	return append(append(key, '/'), id...)
}

func windowKey(t policy.TenantID, r policy.RecipientID, from time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(streamKey(t, r), '/'), uint64(from.UnixMicro()))
}

func putJSON(tx shelf.Tx, b shelf.Bucket, key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return tx.Put(b, key, raw)
}

// readJSON reports whether the key was there.
func readJSON(tx shelf.Tx, b shelf.Bucket, key []byte, v any) (bool, error) {
	raw, err := tx.Get(b, key)
	if err != nil || raw == nil {
		return false, err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return true, fmt.Errorf("the outbox is corrupt at %q: %w", key, err)
	}
	return true, nil
}
