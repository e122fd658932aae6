package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// answers counts what is kept of idempotency, so that it can be bounded.
type answers struct {
	records uint64
	bytes   uint64 // of answers
	bare    []byte // rows of bucketExpiry below have no answer any more
}

// bounds of what is kept.
type bounds struct{ records, bytes uint64 }

func answersAt(tx *bolt.Tx) (a answers, err error) {
	raw := tx.Bucket(bucketMeta).Get(metaAnswers)
	if raw == nil {
		return a, nil
	}
	b, err := unseal(bucketMeta, metaAnswers, raw)
	if err == nil && len(b) < 16 {
		err = fmt.Errorf("what is kept of idempotency is not counted: %w", errCorrupt)
	}
	if err != nil {
		return a, err
	}
	return answers{records: binary.BigEndian.Uint64(b), bytes: binary.BigEndian.Uint64(b[8:]), bare: bytes.Clone(b[16:])}, nil
}

func (a *answers) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16+len(a.bare)), a.records)
	return append(binary.BigEndian.AppendUint64(b, a.bytes), a.bare...)
}

// remember stages the record of an effect, and removes what has expired or goes
// beyond the bounds.
func (e *entry) remember(r Result) error {
	return e.keep(r, bounds{MaxIdempotent, MaxAnswers})
}

func (e *entry) keep(r Result, most bounds) error {
	removed, err := e.expire(e.answers, most)
	if err != nil {
		return err
	}
	if e.stamp.IdempotencyKey == "" {
		return nil
	}
	own, removed, err := e.add(e.answers, r, removed)
	if err != nil {
		return err
	}
	return e.forget(e.answers, most, removed, own)
}

// expire stages the removal of the oldest records, a bounded number. It gives the
// keys of their rows.
func (e *entry) expire(a *answers, most bounds) (removed [][]byte, err error) {
	now := e.stamp.Now.UnixNano()
	c := e.tx.Bucket(bucketExpiry).Cursor()
	for k, raw := c.First(); k != nil && len(removed) < prunePerEntry; k, raw = c.Next() {
		if int64(binary.BigEndian.Uint64(k))+idempotencyTime > now && a.records < most.records {
			break
		}
		p, err := readIdempotent(k, raw)
		if err != nil {
			return nil, err
		}
		key := bytes.Clone(k)
		e.drop(bucketExpiry, key)
		e.index.drop([16]byte(key[8:]))
		a.records--
		a.bytes -= uint64(len(p.answer))
		a.bare = latest(a.bare, behind(key))
		removed = append(removed, key)
	}
	return removed, nil
}

// add stages the record itself, as the last write. It gives the record, and what
// is removed with the key's former row if it had one.
func (e *entry) add(a *answers, r Result, removed [][]byte) (*idempotent, [][]byte, error) {
	id, now := idempotencyID(e.stamp), e.stamp.Now.UnixNano()
	old, err := idempotentAt(e.tx, e.index, id)
	if err != nil {
		return nil, nil, err
	}
	if old != nil { // expired, or lookup would have found it; and not among what expire has removed, which left the index
		key := expiryID(old.at, id)
		removed = append(removed, key)
		e.drop(bucketExpiry, key)
		a.records--
		a.bytes -= uint64(len(old.answer))
	}
	p := idempotent{request: requestOf(e.stamp), kind: r.Kind, revision: r.Revision, at: now, answer: r.Body}
	p.bucket, p.key = e.rowOf(r.Body)
	key := expiryID(now, id)
	if bytes.Compare(key, a.bare) < 0 { // a clock that was set back: behind what is forgotten
		p.answer = nil
	}
	a.records++
	a.bytes += uint64(len(p.answer))
	e.writes = append(e.writes, write{bucketExpiry, key, p.encode()})
	e.index.set(id, now)
	return &p, removed, nil
}

// rowOf finds the row that a command wrote and answered with.
func (e *entry) rowOf(body []byte) (bucket byte, key []byte) {
	if len(body) == 0 {
		return noAnswer, nil
	}
	for _, w := range e.writes {
		if len(w.content) != len(body) || !bytes.Equal(w.content, body) {
			continue
		}
		for i, name := range buckets {
			if i > 0 && bytes.Equal(name, w.bucket) {
				return byte(i), w.key
			}
		}
	}
	return otherAnswer, nil
}

// forget stages that the oldest answers are not kept any more, as long as there
// are too many, and a bounded number. own is the record that add has just staged,
// nil if none: when a clock was set back it can be the oldest, and its turn must not
// be passed over, since nobody comes back to what is below bare.
func (e *entry) forget(a *answers, most bounds, removed [][]byte, own *idempotent) error {
	var ownKey []byte
	staged := len(e.writes) - 1
	if own != nil {
		ownKey = e.writes[staged].key
	}
	c := e.tx.Bucket(bucketExpiry).Cursor()
	k, raw := c.Seek(a.bare)
	for n := 0; a.bytes > most.bytes && k != nil && n < forgetPerEntry; n++ {
		if ownKey != nil && bytes.Compare(ownKey, k) < 0 {
			a.bytes -= uint64(len(own.answer))
			own.answer = nil
			e.writes[staged].content = own.encode()
			a.bare, ownKey = latest(a.bare, behind(ownKey)), nil
			continue
		}
		p, err := readIdempotent(k, raw)
		if err != nil {
			return err
		}
		key := bytes.Clone(k)
		if len(p.answer) > 0 && !contains(removed, key) {
			a.bytes -= uint64(len(p.answer))
			p.answer = nil
			e.drop(bucketExpiry, key) // so that bbolt looks whether the page is still worth its room
			e.writes = append(e.writes, write{bucketExpiry, key, p.encode()})
		}
		a.bare = behind(key)
		k, raw = c.Next()
	}
	return nil
}

// latest is the greater of two keys.
func latest(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		return a
	}
	return b
}

// behind is the least key above one.
func behind(key []byte) []byte { return append(bytes.Clone(key), 0) }

func contains(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}
