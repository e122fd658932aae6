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

// What one idempotency key did is kept for 24 stamped hours, in a row in the order of
// time, by which it expires, with its answer; an index in memory finds it by the key
// (index.go). Refusals are not kept: they had no effect, so that repeating one is
// harmless and may succeed.
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
	at       int64  // stamped Unix ns; stands in the row's key
	bucket   byte   // of the row that is the answer, as its place in buckets; or noAnswer, otherAnswer
	key      []byte // of that row
	answer   []byte // empty when there is none, or none any more
}

const (
	idempotencyTime = int64(idempotencyHours * time.Hour)
	idempotentHead  = 16 + 2 + 8 + 1 + 2 // request, kind, revision, bucket, length of the key
)

// idempotencyID scopes a key by its actor, so that nobody meets another's keys.
func idempotencyID(s Stamp) [16]byte {
	sum := sha256.Sum256([]byte(s.Actor + "\x00" + s.IdempotencyKey))
	return [16]byte(sum[:])
}

func expiryID(at int64, id [16]byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 24), uint64(at)), id[:]...)
}

func (p *idempotent) encode() []byte {
	b := append(make([]byte, 0, idempotentHead+len(p.key)+len(p.answer)), p.request[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(p.kind))
	b = binary.BigEndian.AppendUint64(b, p.revision)
	b = append(b, p.bucket)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.key)))
	return append(append(b, p.key...), p.answer...)
}

// readIdempotent reads a row, by the key of it; it aliases the row.
func readIdempotent(key, raw []byte) (*idempotent, error) {
	b, err := unseal(bucketExpiry, key, raw)
	if err != nil {
		return nil, err
	}
	form := fmt.Errorf("an idempotency record has not the form that one has: %w", errCorrupt)
	if len(key) != 24 || len(b) < idempotentHead {
		return nil, form
	}
	p := &idempotent{kind: Kind(binary.BigEndian.Uint16(b[16:])), revision: binary.BigEndian.Uint64(b[18:]),
		at: int64(binary.BigEndian.Uint64(key)), bucket: b[26]}
	copy(p.request[:], b)
	end := idempotentHead + int(binary.BigEndian.Uint16(b[27:]))
	if end > len(b) || int(p.bucket) >= len(buckets) && p.bucket != otherAnswer {
		return nil, form
	}
	p.key, p.answer = b[idempotentHead:end], b[end:]
	return p, nil
}

// idempotentAt reads the record of a key; nil when there is none.
func idempotentAt(tx *bolt.Tx, x *index, id [16]byte) (*idempotent, error) {
	at, ok := x.find(id)
	if !ok {
		return nil, nil
	}
	key := expiryID(at, id)
	raw := tx.Bucket(bucketExpiry).Get(key)
	switch {
	case raw != nil:
		return readIdempotent(key, raw)
	case tx.Writable():
		return nil, fmt.Errorf("an idempotency record is not where it was put: %w", errCorrupt)
	}
	return nil, nil // of a later transaction than the one that is read
}

func requestOf(s Stamp) (request [16]byte) {
	sum, err := hex.DecodeString(s.RequestHash)
	if err == nil { // checkStamp has looked at its form
		copy(request[:], sum)
	}
	return request
}

// lookup finds what the stamp's key did within the last 24 stamped hours.
func lookup(tx *bolt.Tx, x *index, s Stamp) (r Result, seen bool, err error) {
	if s.IdempotencyKey == "" {
		return Result{}, false, nil
	}
	past, err := idempotentAt(tx, x, idempotencyID(s))
	if err != nil || past == nil || past.at+idempotencyTime <= s.Now.UnixNano() {
		return Result{}, false, err
	}
	r = Result{Kind: past.kind, Revision: past.revision, Replayed: true}
	if past.request != requestOf(s) {
		r.Err = policy.Errorf(policy.IdempotencyKeyReused, "this Idempotency-Key was used for another request: draw a new one")
		return r, true, nil
	}
	if r.Body, err = answerOf(tx, past); err != nil {
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
func answerOf(tx *bolt.Tx, p *idempotent) ([]byte, error) {
	if p.bucket == noAnswer {
		return nil, nil
	}
	if len(p.answer) > 0 || p.bucket == otherAnswer {
		return answer(p.answer), nil
	}
	bucket := buckets[p.bucket]
	raw := tx.Bucket(bucket).Get(p.key)
	if raw == nil {
		return nil, nil
	}
	body, err := unseal(bucket, p.key, raw)
	if err != nil {
		return nil, err
	}
	if etag, err := etagIn(body); err != nil || etag != etagOf(p.revision) {
		return nil, err
	}
	return answer(body), nil
}

func answer(body []byte) []byte {
	if len(body) == 0 {
		return nil
	}
	return bytes.Clone(body)
}

// etagIn reads the etag of a row, whichever it is.
func etagIn(row []byte) (string, error) {
	if etag := storedETag(row); etag != "" {
		return etag, nil
	}
	var of struct {
		ETag string `json:"etag"`
	}
	err := json.Unmarshal(row, &of)
	return of.ETag, err
}
