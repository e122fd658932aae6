package peer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// MaxPage is the most rows that one page of received data holds.
const MaxPage = 1000

// Received is one row that came from another region, as it is shown to its
// recipient. No sending function accepts it.
type Received struct {
	Tenant    policy.TenantID
	Recipient policy.RecipientID
	Sequence  uint64
	JSON      json.RawMessage // one row of the export schema
}

// Inbox keeps received rows, sealed, and the high-water mark of each stream. Nodes
// that share its shelf may take transfers of one stream side by side.
type Inbox struct {
	shelf  shelf.Shelf
	sealer *store.Sealer
	ended  sync.Map // policy.TenantID → nothing: purged in this process, takes nothing more

	busy sync.Map // stream → true: rows of it are being deleted
}

// openInbox opens the inbox on a shelf that has Buckets. Rows are sealed at rest.
// It closes the shelf in the end, and when it fails.
func openInbox(s shelf.Shelf, sealer *store.Sealer) (*Inbox, error) {
	if err := shelf.Format(s, "the inbox", formatVersion); err != nil {
		return nil, errors.Join(fmt.Errorf("open received rows: %w", err), s.Close())
	}
	return &Inbox{shelf: s, sealer: sealer}, nil
}

func markIn(tx shelf.Tx, stream []byte) (uint64, error) {
	v, err := tx.Get(bucketMarks, stream)
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

// MetadataMark is the metadata of a refusal that says up to which sequence this
// side has come, so that the sender can find out which of the two lost a file.
const MetadataMark = "high_water"

func elsewhere(reason policy.Reason, mark uint64, format string, args ...any) error {
	return policy.Errorf(reason, format, args...).With(MetadataMark, strconv.FormatUint(mark, 10))
}

// arrival is a transfer that was checked.
type arrival struct {
	id       string // EX…
	from     policy.RegionID
	sequence uint64
	refused  bool // a marker: nothing more comes up to its sequence
	rows     []json.RawMessage
}

// accept stores one transfer's rows and moves the mark, in one transaction. It
// returns the marks before and after.
//
// A transfer is known by its id and taken once, under whatever sequence it
// comes. The one after the mark is taken. One beyond it is refused
// INVALID_ARGUMENT, an unknown one at or below it ALREADY_EXISTS, both with
// MetadataMark: then one side has lost its file. A marker closes every gap
// up to its sequence.
func (in *Inbox) accept(stream []byte, a arrival) (before, mark uint64, err error) {
	err = in.shelf.Update(func(tx shelf.Tx) (err error) {
		if err := in.alive(stream); err != nil {
			return err
		}
		if before, err = markIn(tx, stream); err != nil {
			return err
		}
		mark = max(before, a.sequence)
		id := append(append([]byte{}, stream...), "/"+a.id...)
		taken, err := tx.Get(bucketTaken, id)
		if err != nil {
			return err
		}
		known := taken != nil
		switch {
		case (known || a.refused) && mark == before:
			return nil
		case known, a.refused:
			return putMark(tx, stream, mark)
		case a.sequence <= before:
			return elsewhere(policy.AlreadyExists, before, "sequence %d was taken by another transfer; this region has come to %d", a.sequence, before)
		case a.sequence != before+1:
			return elsewhere(policy.InvalidArgument, before, "transfer out of order: sequence %d is wanted next", before+1)
		}
		return in.take(tx, stream, id, a)
	})
	return before, mark, err
}

// take stores the rows of the transfer that comes next.
func (in *Inbox) take(tx shelf.Tx, stream, id []byte, a arrival) error {
	buried, err := burials(tx, stream, a.rows)
	if err != nil {
		return err
	}
	for i, row := range a.rows {
		if buried[i] {
			continue
		}
		key := rowKey(stream, a.sequence, uint32(i))
		if err := tx.Put(bucketRows, key, in.sealer.Seal(row, key)); err != nil {
			return fmt.Errorf("store a received row: %w", err)
		}
	}
	if err := tx.Put(bucketSources, stream, []byte(a.from)); err != nil {
		return fmt.Errorf("note where rows came from: %w", err)
	}
	if err := tx.Put(bucketTaken, id, binary.BigEndian.AppendUint64(nil, a.sequence)); err != nil {
		return fmt.Errorf("note a received transfer: %w", err)
	}
	return putMark(tx, stream, a.sequence)
}

func putMark(tx shelf.Tx, stream []byte, mark uint64) error {
	return tx.Put(bucketMarks, stream, binary.BigEndian.AppendUint64(nil, mark))
}

// Page lists rows for one recipient after a cursor, oldest first, at most size
// (1…MaxPage). The next cursor is returned even when the page is the last, so
// that a recipient can go on from it later; it is "" only before any row.
func (in *Inbox) Page(tenant policy.TenantID, recipient policy.RecipientID, cursor string, size int) ([]Received, string, error) {
	if size < 1 || size > MaxPage {
		return nil, "", policy.Errorf(policy.InvalidArgument, "page_size must be 1 to %d", MaxPage)
	}
	stream := streamKey(tenant, recipient)
	prefix := append(append([]byte{}, stream...), '/')
	after, err := parseCursor(cursor, prefix)
	if err != nil {
		return nil, "", err
	}
	var rows []Received
	next := cursor
	err = in.shelf.View(func(tx shelf.Tx) error {
		rows, next = nil, cursor
		return tx.Ascend(bucketRows, prefix, after, func(k, v []byte) error {
			if cursor != "" && bytes.Equal(k, after) {
				return nil
			}
			if len(rows) == size {
				return shelf.ErrStop
			}
			plain, err := in.sealer.Open(v, k)
			if err != nil {
				return fmt.Errorf("a received row is corrupt and is not served: %w", err)
			}
			rows = append(rows, Received{Tenant: tenant, Recipient: recipient,
				Sequence: binary.BigEndian.Uint64(k[len(prefix):]), JSON: plain})
			next = base64.RawURLEncoding.EncodeToString(k[len(prefix):])
			return nil
		})
	})
	return rows, next, err
}

func parseCursor(cursor string, prefix []byte) ([]byte, error) {
	if cursor == "" {
		return prefix, nil
	}
	place, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(place) != 12 {
		return nil, &policy.Error{Reason: policy.InvalidArgument, Message: "cursor is malformed: use next_cursor of an earlier page, or none",
			Fields: []policy.FieldError{{Field: "cursor", Message: "malformed"}}}
	}
	return append(append([]byte{}, prefix...), place...), nil
}

func tenantOf(stream []byte) policy.TenantID {
	t, _, _ := strings.Cut(string(stream), "/")
	return policy.TenantID(t)
}

// alive refuses, DESTROYED, to put anything of a tenant that was purged. It is asked
// inside of a transaction: Purge notes the end before its own begin.
func (in *Inbox) alive(stream []byte) error {
	if _, ended := in.ended.Load(tenantOf(stream)); ended {
		return policy.Errorf(policy.Destroyed, "the tenant has ended and its data is destroyed")
	}
	return nil
}

// Close closes the shelf.
func (in *Inbox) Close() error { return in.shelf.Close() }
