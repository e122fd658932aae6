package peer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// Pieces of forgetting: each is a transaction of its own, so that none grows with
// what a request names or with what a stream holds.
const (
	gravePiece = 500  // rows that are noted, or found to be done, in one
	scanPiece  = 1000 // rows that are opened in one, and at most deleted in the next
)

// A grave's first byte.
const (
	graveOpen = 1 // the row must not come; whether it is there is still looked for
	graveDone = 2 // it was looked for everywhere: it is not there, and never comes
)

// forget deletes the rows of a stream that have these pseudonyms, and says how many
// were deleted for them, now or when it was asked before: an answer that was lost is
// repeated, not turned into 0. It opens each row, because a pseudonym does not stand
// in clear. First it notes that they must not come: a transfer that holds them may be
// on its way still, on a connection whose sender has given it up. Each piece is
// durable when the next begins, and only when all are done it answers: whoever gave
// it up asks again, and what was done is not done again. What was done to the end is
// known without opening anything.
func (in *Inbox) forget(stream []byte, rows map[string]bool) (deleted uint64, err error) {
	return in.forgetting(stream, rows, func(open map[string]bool) map[string]bool { return open })
}

// forgetAnew is forget that looks for all of them, whatever was noted: in rows that
// were put back nobody knows that they are as the notes say.
func (in *Inbox) forgetAnew(stream []byte, rows map[string]bool) (deleted uint64, err error) {
	return in.forgetting(stream, rows, func(map[string]bool) map[string]bool { return rows })
}

// forgetting is both; look chooses what is looked for, of what was not found to be done.
func (in *Inbox) forgetting(stream []byte, rows map[string]bool, look func(open map[string]bool) map[string]bool) (deleted uint64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	if _, busy := in.busy.LoadOrStore(string(stream), true); busy { // by who was given up
		return 0, policy.Errorf(policy.NotReady, "rows of this stream are just being deleted, for a request of before; ask again in a moment")
	}
	defer in.busy.Delete(string(stream))
	named := slices.Sorted(maps.Keys(rows))
	open := map[string]bool{}
	for piece := range slices.Chunk(named, gravePiece) {
		if err := in.bury(stream, piece, open); err != nil {
			return 0, err
		}
	}
	if open = look(open); len(open) > 0 {
		if err := in.sweep(stream, open); err != nil {
			return 0, err
		}
	}
	for piece := range slices.Chunk(named, gravePiece) {
		n, err := in.done(stream, piece)
		if err != nil {
			return 0, err
		}
		deleted += n
	}
	return deleted, nil
}

// bury notes that rows must not come, and adds those that are still to be looked for
// to open.
func (in *Inbox) bury(stream []byte, rows []string, open map[string]bool) error {
	return in.shelf.Update(func(tx shelf.Tx) error {
		if err := in.alive(stream); err != nil {
			return err
		}
		for _, row := range rows {
			g, err := graveAt(tx, graveKey(stream, row))
			if err != nil {
				return err
			}
			delete(open, row) // the transaction may be run again
			if g.state != graveDone {
				open[row] = true
			}
			if g.state == 0 {
				if err := g.put(tx, graveOpen, 0); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// sweep looks through a stream from its beginning, and deletes the rows that it finds.
// What comes meanwhile is none of them.
func (in *Inbox) sweep(stream []byte, rows map[string]bool) error {
	for after := []byte(nil); ; {
		found, next, err := in.keysOf(stream, rows, after)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			if err := in.unput(stream, found); err != nil {
				return err
			}
		}
		if after = next; after == nil {
			return nil
		}
	}
}

// buried is where a row stands that must go.
type buried struct {
	row string
	key []byte
}

// keysOf finds rows of these pseudonyms among the next scanPiece of a stream after a
// key (nil: from the first); next is the last key that it saw, nil at the end.
func (in *Inbox) keysOf(stream []byte, rows map[string]bool, after []byte) (found []buried, next []byte, err error) {
	prefix := append(append([]byte{}, stream...), '/')
	err = in.shelf.View(func(tx shelf.Tx) error {
		found, next = nil, nil
		n := 0
		var last []byte
		return tx.Ascend(bucketRows, prefix, after, func(k, v []byte) error {
			if bytes.Equal(k, after) {
				return nil
			}
			if n == scanPiece {
				next = last
				return shelf.ErrStop
			}
			n, last = n+1, bytes.Clone(k)
			plain, err := in.sealer.Open(v, k)
			if err != nil {
				return fmt.Errorf("a received row is corrupt, so that it is not known whether it must go: %w", err)
			}
			var row data.PseudonymRow
			if err := json.Unmarshal(plain, &row); err != nil {
				return fmt.Errorf("a received row does not parse: %w", err)
			}
			if rows[row.Row] {
				found = append(found, buried{row.Row, last})
			}
			return nil
		})
	})
	return found, next, err
}

// unput deletes rows, and counts them in their graves.
func (in *Inbox) unput(stream []byte, found []buried) error {
	return in.shelf.Update(func(tx shelf.Tx) error {
		for _, f := range found {
			had, err := tx.Get(bucketRows, f.key)
			if err != nil {
				return err
			}
			if had == nil {
				continue // another node was faster, and has counted it
			}
			if err := tx.Delete(bucketRows, f.key); err != nil {
				return err
			}
			g, err := graveAt(tx, graveKey(stream, f.row))
			if err != nil {
				return err
			}
			if err := g.put(tx, max(g.state, graveOpen), g.deleted+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// done notes that rows were looked for everywhere, and says how many were deleted.
func (in *Inbox) done(stream []byte, rows []string) (deleted uint64, err error) {
	err = in.shelf.Update(func(tx shelf.Tx) error {
		deleted = 0
		if err := in.alive(stream); err != nil {
			return err
		}
		for _, row := range rows {
			g, err := graveAt(tx, graveKey(stream, row))
			if err != nil {
				return err
			}
			deleted += g.deleted
			if g.state != graveDone {
				if err := g.put(tx, graveDone, g.deleted); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return deleted, err
}

// grave notes a row that must not come.
type grave struct {
	key     []byte
	state   byte // 0: there is none
	deleted uint64
}

func graveAt(tx shelf.Tx, key []byte) (grave, error) {
	g := grave{key: key}
	had, err := tx.Get(bucketGraves, key)
	if err != nil || len(had) == 0 {
		return g, err
	}
	if g.state = had[0]; len(had) > 1 {
		n, size := binary.Uvarint(had[1:])
		if size <= 0 {
			return g, errors.New("a note of what must not come does not parse")
		}
		g.deleted = n
	}
	return g, nil
}

func (g grave) put(tx shelf.Tx, state byte, deleted uint64) error {
	if err := tx.Put(bucketGraves, g.key, binary.AppendUvarint([]byte{state}, deleted)); err != nil {
		return fmt.Errorf("note a row that must not come: %w", err)
	}
	return nil
}
