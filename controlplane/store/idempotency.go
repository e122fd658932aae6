package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// What one idempotency key did is kept for 24 stamped hours, in two rows: a small
// record, found by the key, and a row in the order of time, by which it expires
// and which holds the answer. Refusals are not kept: they had no effect, so that
// repeating one is harmless and may succeed.
//
// Both are bounded, because a busy day must not fill the state. Beyond
// MaxIdempotent the oldest records go. Beyond MaxAnswers the oldest answers go,
// long before their records: then the answer is the row that was written, as long
// as it is as it was written; and once it has changed, that it was done, and when.

// idempotent is what one idempotency key did.
type idempotent struct {
	request  [16]byte // the beginning of the request's hash
	kind     Kind
	revision uint64
	at       int64  // stamped Unix ns
	bucket   byte   // of the row that is the answer, as its place in buckets; or noAnswer, otherAnswer
	key      []byte // of that row
}

const (
	idempotencyTime = int64(idempotencyHours * time.Hour)
	idempotentHead  = 16 + 2 + 8 + 8 + 1
)

// idempotencyID scopes a key by its actor, so that nobody meets another's keys.
func idempotencyID(s Stamp) []byte {
	sum := sha256.Sum256([]byte(s.Actor + "\x00" + s.IdempotencyKey))
	return sum[:16]
}

func expiryID(at int64, id []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 24), uint64(at)), id...)
}

func (p *idempotent) encode() []byte {
	b := append(make([]byte, 0, idempotentHead+len(p.key)), p.request[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(p.kind))
	b = binary.BigEndian.AppendUint64(b, p.revision)
	b = binary.BigEndian.AppendUint64(b, uint64(p.at))
	return append(append(b, p.bucket), p.key...)
}

// idempotentAt reads a record; nil when there is none.
func idempotentAt(tx *bolt.Tx, id []byte) (*idempotent, error) {
	raw := tx.Bucket(bucketIdempotency).Get(id)
	if raw == nil {
		return nil, nil
	}
	b, err := unseal(bucketIdempotency, id, raw)
	if err != nil {
		return nil, err
	}
	if len(b) < idempotentHead || int(b[idempotentHead-1]) >= len(buckets) && b[idempotentHead-1] != otherAnswer {
		return nil, fmt.Errorf("an idempotency record has not the form that one has: %w", errCorrupt)
	}
	p := &idempotent{kind: Kind(binary.BigEndian.Uint16(b[16:])), revision: binary.BigEndian.Uint64(b[18:]),
		at: int64(binary.BigEndian.Uint64(b[26:])), bucket: b[idempotentHead-1], key: bytes.Clone(b[idempotentHead:])}
	copy(p.request[:], b)
	return p, nil
}

func requestOf(s Stamp) (request [16]byte) {
	sum, err := hex.DecodeString(s.RequestHash)
	if err == nil { // checkStamp has looked at its form
		copy(request[:], sum)
	}
	return request
}

// lookup finds what the stamp's key did within the last 24 stamped hours.
func lookup(tx *bolt.Tx, s Stamp) (r Result, seen bool, err error) {
	if s.IdempotencyKey == "" {
		return Result{}, false, nil
	}
	id := idempotencyID(s)
	past, err := idempotentAt(tx, id)
	if err != nil || past == nil || past.at+idempotencyTime <= s.Now.UnixNano() {
		return Result{}, false, err
	}
	r = Result{Kind: past.kind, Revision: past.revision, Replayed: true}
	if past.request != requestOf(s) {
		r.Err = policy.Errorf(policy.IdempotencyKeyReused, "this Idempotency-Key was used for another request: draw a new one")
		return r, true, nil
	}
	if r.Body, err = answerOf(tx, past, id); err != nil {
		return Result{}, false, err
	}
	if r.Body == nil && past.bucket != noAnswer {
		r.Err = policy.Errorf(policy.AnswerNotKept, "the change of this Idempotency-Key was made, as revision %d, and its answer is not kept any more: read what is there now", past.revision)
	}
	return r, true, nil
}

const (
	noAnswer    = 0    // the command answers nothing but its revision
	otherAnswer = 0xff // its answer is no row
)

// answerOf gives the answer of a record; nil when there is none, or none any more.
func answerOf(tx *bolt.Tx, p *idempotent, id []byte) (json.RawMessage, error) {
	if p.bucket == noAnswer {
		return nil, nil
	}
	key := expiryID(p.at, id)
	raw := tx.Bucket(bucketExpiry).Get(key)
	if raw == nil {
		return nil, fmt.Errorf("an idempotency record has no row of its time: %w", errCorrupt)
	}
	body, err := unseal(bucketExpiry, key, raw)
	if err != nil || len(body) > 0 || p.bucket == otherAnswer {
		return answer(body), err
	}
	bucket := buckets[p.bucket]
	if raw = tx.Bucket(bucket).Get(p.key); raw == nil {
		return nil, nil
	}
	if body, err = unseal(bucket, p.key, raw); err != nil {
		return nil, err
	}
	var row struct {
		ETag string `json:"etag"`
	}
	if err := json.Unmarshal(body, &row); err != nil || row.ETag != etagOf(p.revision) {
		return nil, err
	}
	return answer(body), nil
}

func answer(body []byte) json.RawMessage {
	if len(body) == 0 {
		return nil
	}
	return bytes.Clone(body)
}
