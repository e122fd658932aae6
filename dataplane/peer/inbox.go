package peer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
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

// mark is the highest sequence that is durable for a stream.
func (in *Inbox) mark(stream []byte) (mark uint64, err error) {
	err = in.db.View(func(tx *bbolt.Tx) error {
		mark = markIn(tx, stream)
		return nil
	})
	return mark, err
}

func markIn(tx *bbolt.Tx, stream []byte) uint64 {
	if v := tx.Bucket(bucketMarks).Get(stream); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// accept stores one transfer's rows and moves the mark, in one transaction. The
// transfer after the mark is taken, one at or below it is not taken again, and
// one beyond it is refused. It returns the mark afterwards.
func (in *Inbox) accept(stream []byte, sequence uint64, rows []json.RawMessage) (mark uint64, err error) {
	err = in.db.Update(func(tx *bbolt.Tx) error {
		mark = markIn(tx, stream)
		if sequence <= mark {
			return nil
		}
		if sequence != mark+1 {
			return policy.Errorf(policy.InvalidArgument, "transfer out of order: sequence %d is wanted next", mark+1)
		}
		for i, row := range rows {
			key := rowKey(stream, sequence, uint32(i))
			if err := tx.Bucket(bucketRows).Put(key, in.sealer.Seal(row, key)); err != nil {
				return fmt.Errorf("store a received row: %w", err)
			}
		}
		mark = sequence
		return tx.Bucket(bucketMarks).Put(stream, binary.BigEndian.AppendUint64(nil, sequence))
	})
	return mark, err
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

// Close closes the file.
func (in *Inbox) Close() error { return in.db.Close() }
