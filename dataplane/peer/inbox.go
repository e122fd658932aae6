package peer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

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

// Inbox keeps received rows, sealed, and the high-water mark of each stream.
type Inbox struct {
	db     *bbolt.DB
	sealer *store.Sealer
	ended  sync.Map // policy.TenantID → nothing: purged in this process, takes nothing more
}

// openInbox opens received.db in dir. Rows are sealed at rest.
func openInbox(dir string, sealer *store.Sealer) (*Inbox, error) {
	db, err := bbolt.Open(filepath.Join(dir, "received.db"), 0o600, &bbolt.Options{
		Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open received.db: %w", err)
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Inbox{db: db, sealer: sealer}, nil
}

func markIn(tx *bbolt.Tx, stream []byte) uint64 {
	if v := tx.Bucket(bucketMarks).Get(stream); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
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
	err = in.db.Update(func(tx *bbolt.Tx) error {
		if _, ended := in.ended.Load(tenantOf(stream)); ended {
			return policy.Errorf(policy.Destroyed, "the tenant has ended and its data is destroyed")
		}
		before = markIn(tx, stream)
		mark = max(before, a.sequence)
		ids, id := tx.Bucket(bucketTaken), append(append([]byte{}, stream...), "/"+a.id...)
		known := ids.Get(id) != nil
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
		for i, row := range a.rows {
			key := rowKey(stream, a.sequence, uint32(i))
			if err := tx.Bucket(bucketRows).Put(key, in.sealer.Seal(row, key)); err != nil {
				return fmt.Errorf("store a received row: %w", err)
			}
		}
		if err := tx.Bucket(bucketSources).Put(stream, []byte(a.from)); err != nil {
			return fmt.Errorf("note where rows came from: %w", err)
		}
		if err := ids.Put(id, binary.BigEndian.AppendUint64(nil, a.sequence)); err != nil {
			return fmt.Errorf("note a received transfer: %w", err)
		}
		return putMark(tx, stream, mark)
	})
	return before, mark, err
}

func putMark(tx *bbolt.Tx, stream []byte, mark uint64) error {
	return tx.Bucket(bucketMarks).Put(stream, binary.BigEndian.AppendUint64(nil, mark))
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
	err = in.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketRows).Cursor()
		k, v := c.Seek(after)
		if bytes.Equal(k, after) && cursor != "" {
			k, v = c.Next()
		}
		for ; bytes.HasPrefix(k, prefix) && len(rows) < size; k, v = c.Next() {
			plain, err := in.sealer.Open(v, k)
			if err != nil {
				return fmt.Errorf("a received row is corrupt and is not served: %w", err)
			}
			rows = append(rows, Received{Tenant: tenant, Recipient: recipient,
				Sequence: binary.BigEndian.Uint64(k[len(prefix):]), JSON: plain})
			next = base64.RawURLEncoding.EncodeToString(k[len(prefix):])
		}
		return nil
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

// Purge deletes every row that came from a tenant, and its marks, and counts the
// rows. What comes later is refused.
func (in *Inbox) Purge(t policy.TenantID) (rows uint64, err error) {
	in.ended.Store(t, true)
	prefix := []byte(string(t) + "/")
	err = in.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketRows, bucketMarks, bucketTaken, bucketSources} {
			b := tx.Bucket(name)
			var keys [][]byte
			c := b.Cursor()
			for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
				keys = append(keys, bytes.Clone(k))
			}
			if bytes.Equal(name, bucketRows) {
				rows = uint64(len(keys))
			}
			for _, k := range keys {
				if err := b.Delete(k); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return rows, err
}

// Close closes the file.
func (in *Inbox) Close() error { return in.db.Close() }
