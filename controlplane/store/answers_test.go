package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/policy"
)

// counted counts what is there, and checks that index and rows belong together.
func counted(t testing.TB, tx *bolt.Tx, x *index) (records, size uint64) {
	t.Helper()
	check(t, tx.Bucket(bucketExpiry).ForEach(func(k, v []byte) error {
		p, err := readIdempotent(k, v)
		check(t, err)
		if at, ok := x.find([16]byte(k[8:])); !ok || at != p.at || !bytes.Equal(expiryID(at, [16]byte(k[8:])), k) {
			t.Fatalf("the index does not know row %x", k)
		}
		records++
		size += uint64(len(p.answer))
		return nil
	}))
	if all := uint64(len(x.at)); all != records {
		t.Fatalf("%d records are in the index, and %d rows", all, records)
	}
	return records, size
}

// Whatever clocks, keys and answers do, what is kept is counted and bounded, and
// the newest answer is among it.
func TestIdempotencyIsBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := seeded(t)
		x := f.current.Load().index
		var a answers
		most := bounds{records: 20, bytes: 1000}
		now := f.now
		for n := range rapid.IntRange(1, 120).Draw(rt, "changes") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{-5, 1, 1, 1, 1, 60, 25 * 60}).Draw(rt, "minutes")) * time.Minute)
			s := Stamp{Now: now, Actor: actor, IdempotencyKey: uuid(rapid.IntRange(0, 40).Draw(rt, "key")), RequestHash: hexHash("r")}
			var body json.RawMessage
			if size := rapid.SampledFrom([]int{0, 10, 90, 300}).Draw(rt, "size"); size > 0 {
				body = fmt.Appendf(nil, `{"n":"%0*d"}`, size, n)
			}
			check(t, f.update(func(tx *bolt.Tx) error {
				if _, seen, err := lookup(tx, x, s); seen || err != nil {
					return err
				}
				e := entry{tx: tx, index: x, answers: &a, stamp: s}
				if err := e.keep(Result{Kind: KindPutPolicy, Revision: uint64(n), Body: body}, most); err != nil {
					return err
				}
				if err := e.commit(); err != nil {
					return err
				}
				records, size := counted(t, tx, x)
				if a.records != records || a.bytes != size {
					rt.Fatalf("counted %d records and %d bytes, and there are %d and %d", a.records, a.bytes, records, size)
				}
				if records > most.records || size > most.bytes+uint64(len(body)) {
					rt.Fatalf("%d records with %d bytes of answers are kept", records, size)
				}
				return nil
			}))
		}
	})
}

// Every second change comes from a clock that is a minute behind, as of leaders whose
// clocks differ: each answer has its turn to be forgotten, although what is forgotten
// with it is younger.
func TestAnswersOfASetBackClockAreForgotten(t *testing.T) {
	f := seeded(t)
	x := f.current.Load().index
	var a answers
	most := bounds{records: 100, bytes: 250}
	for n := range 40 {
		at := time.Duration(n+1-2*(n%2)) * time.Minute // 1, 0, 3, 2, 5, 4, …
		s := Stamp{Now: f.now.Add(at), Actor: actor, IdempotencyKey: uuid(n), RequestHash: hexHash("r")}
		body := json.RawMessage(fmt.Appendf(nil, `{"n":"%0*d"}`, 90+200*(n%2), n)) // the older is as large as three
		check(t, f.update(func(tx *bolt.Tx) error {
			e := entry{tx: tx, index: x, answers: &a, stamp: s}
			if err := e.keep(Result{Kind: KindPutPolicy, Revision: uint64(n), Body: body}, most); err != nil {
				return err
			}
			if err := e.commit(); err != nil {
				return err
			}
			if _, size := counted(t, tx, x); size != a.bytes || size > most.bytes+uint64(len(body)) {
				t.Fatalf("after %d changes %d bytes of answers are kept, and %d counted", n+1, size, a.bytes)
			}
			return nil
		}))
	}
}

// forgotten makes the store forget every answer that it keeps.
func (f *fixture) forgotten() {
	f.t.Helper()
	next := *f.current.Load()
	check(f.t, f.update(func(tx *bolt.Tx) error {
		e := entry{tx: tx}
		check(f.t, e.forget(&next.answers, bounds{}, nil, nil))
		check(f.t, e.commit())
		return next.put(tx)
	}))
	f.current.Store(&next)
}

// An answer that is not kept is the row that it was, and once that has changed the
// repeat is told so. It has no effect in either case.
func TestINV31_WhatIsNotKeptHasNoSecondEffect(t *testing.T) {
	f := seeded(t)
	a := f.tenant(1, "ie1")
	p := got(f.Policy(a.ID))(t)
	stamp := Stamp{Now: f.now, Actor: actor, IdempotencyKey: uuid(1), RequestHash: hexHash("request")}
	put := PutPolicy{Tenant: a.ID, IfMatch: p.ETag, Policy: kept(p, 1000)}
	first := f.applyStamped(stamp, put)
	key := stamp
	key.IdempotencyKey = uuid(2)
	made := f.applyStamped(key, CreateKey{Key: apiKey(1, a.ID, "ie1", policy.RoleIngest)})
	if first.Err != nil || made.Err != nil {
		t.Fatal(first.Err, made.Err)
	}
	f.forgotten()
	again := f.applyStamped(stamp, put)
	if !again.Replayed || again.Err != nil || string(again.Body) != string(first.Body) || again.Revision != first.Revision {
		t.Errorf("the row answers: %+v, want %+v", again, first)
	}
	if r, ok, err := f.Replay(key); err != nil || !ok || string(r.Body) != string(made.Body) {
		t.Errorf("a key's row answers: %+v, %v", r, err)
	}
	now := got(f.Policy(a.ID))(t)
	f.must(PutPolicy{Tenant: a.ID, IfMatch: now.ETag, Policy: kept(now, 900)})
	f.must(DeleteKey{ID: "SK00000000000000000000000000000001", Tenant: a.ID, IfMatch: body[Key](t, made).ETag})
	before := contents(t, f.Store)
	for _, s := range []Stamp{stamp, key} {
		if r, ok, err := f.Replay(s); err != nil || !ok || !r.Replayed || r.Err == nil || r.Err.Reason != policy.AnswerNotKept {
			t.Errorf("after the row has changed: %+v, %v", r, err)
		}
	}
	r := f.applyStamped(stamp, put)
	if r.Err == nil || r.Err.Reason != policy.AnswerNotKept || f.Revision() == first.Revision {
		t.Errorf("after the row has changed: %+v", r)
	}
	after := contents(t, f.Store)
	if before != after {
		t.Error("a repeat had an effect")
	}
	stamp.RequestHash = hexHash("another")
	if r := f.applyStamped(stamp, put); r.Err == nil || r.Err.Reason != policy.IdempotencyKeyReused {
		t.Errorf("another request: %+v", r)
	}
}
