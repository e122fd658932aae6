package store

import (
	"encoding/binary"
	"encoding/json"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// idempotent is what one idempotency key did. Refusals are not kept: they had
// no effect, so that repeating one is harmless and may succeed.
type idempotent struct {
	RequestHash string          `json:"request_hash"`
	Kind        Kind            `json:"kind"`
	Revision    uint64          `json:"revision"`
	Body        json.RawMessage `json:"body,omitempty"`
	At          int64           `json:"at"` // stamped Unix ns
}

const idempotencyTime = int64(idempotencyHours * time.Hour)

// idempotencyID scopes a key by its actor, so that nobody meets another's keys.
func idempotencyID(s Stamp) []byte { return []byte(s.Actor + "\x00" + s.IdempotencyKey) }

func expiryID(at int64, id []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), id...)
}

// lookup finds what the stamp's key did within the last 24 stamped hours.
func lookup(tx *bolt.Tx, s Stamp) (r Result, seen bool, err error) {
	if s.IdempotencyKey == "" {
		return Result{}, false, nil
	}
	past, ok, err := load[idempotent](tx, bucketIdempotency, idempotencyID(s))
	if err != nil || !ok || past.At+idempotencyTime <= s.Now.UnixNano() {
		return Result{}, false, err
	}
	r = Result{Kind: past.Kind, Revision: past.Revision, Replayed: true}
	if past.RequestHash != s.RequestHash {
		r.Err = policy.Errorf(policy.IdempotencyKeyReused, "this Idempotency-Key was used for another request: draw a new one")
		return r, true, nil
	}
	r.Body = past.Body
	return r, true, nil
}

// remember stages the record of an effect and removes a bounded number of
// expired ones: more than it adds, so that the table stays bounded.
func (e *entry) remember(r Result) error {
	now := e.stamp.Now.UnixNano()
	expiry := e.tx.Bucket(bucketExpiry).Cursor()
	removed := 0
	for k, _ := expiry.First(); k != nil && removed < prunePerEntry; k, _ = expiry.Next() {
		at := int64(binary.BigEndian.Uint64(k))
		if at+idempotencyTime > now {
			break
		}
		e.drop(bucketExpiry, append([]byte(nil), k...))
		e.drop(bucketIdempotency, append([]byte(nil), k[8:]...))
		removed++
	}
	if e.stamp.IdempotencyKey == "" {
		return nil
	}
	id := idempotencyID(e.stamp)
	if old, ok, err := load[idempotent](e.tx, bucketIdempotency, id); err != nil {
		return err
	} else if ok { // expired, or lookup had found it
		e.drop(bucketExpiry, expiryID(old.At, id))
	}
	e.mark(bucketExpiry, expiryID(now, id))
	return e.put(bucketIdempotency, id, idempotent{RequestHash: e.stamp.RequestHash, Kind: r.Kind,
		Revision: r.Revision, Body: r.Body, At: now})
}
