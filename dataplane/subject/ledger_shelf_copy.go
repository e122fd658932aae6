package subject

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// LedgerShelf is a ledger on a shelf, as one of the places that a restore chooses
// from.
type LedgerShelf struct{ Shelf shelf.Shelf }

func (LedgerShelf) String() string { return "of the key database" }

// Read implements LedgerCopy: the entries, a line each.
func (s LedgerShelf) Read() (whole []byte, err error) {
	found := false
	err = s.Shelf.View(func(tx shelf.Tx) error {
		format, err := tx.Get(shelf.Meta, []byte("format"))
		if found, whole = format != nil, nil; err != nil {
			return err
		}
		return tx.Ascend(bucketEntries, nil, nil, func(_, v []byte) error {
			whole = append(append(whole, v...), '\n')
			return nil
		})
	})
	if err == nil && !found {
		err = fs.ErrNotExist
	}
	return whole, err
}

// Put implements LedgerCopy: it adds the entries that are missing, and refuses when
// those that are there are not the beginning of whole.
func (s LedgerShelf) Put(whole []byte) error {
	if err := shelf.Format(s.Shelf, "the erasure ledger", ledgerFormat); err != nil {
		return err
	}
	return s.Shelf.Update(func(tx shelf.Tx) error {
		n := uint64(0)
		for line := range bytes.Lines(whole) {
			n++
			line = bytes.TrimSuffix(line, []byte("\n"))
			had, err := tx.Get(bucketEntries, entryKey(n))
			if err == nil && had == nil {
				err = tx.Put(bucketEntries, entryKey(n), line)
			} else if err == nil && !bytes.Equal(had, line) {
				err = fmt.Errorf("entry %d of the erasure ledger is another in the key database", n)
			}
			if err != nil {
				return err
			}
		}
		more, err := tx.Get(bucketEntries, entryKey(n+1))
		if err == nil && more != nil {
			err = errors.New("the key database has more entries of the erasure ledger than were to be put into it")
		}
		return err
	})
}

// AfterAppend lets f be called after each entry of this node is durable: see
// FileLedger.AfterAppend.
func (l *ShelfLedger) AfterAppend(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = f
}

// CopyTo makes the copy what the ledger is, durably, and counts the entries: see
// FileLedger.CopyTo. One that is longer, because another node was faster, is left.
func (l *ShelfLedger) CopyTo(at LedgerCopy) (uint64, error) {
	whole, err := LedgerShelf{l.shelf}.Read()
	if err == nil {
		err = copyLedger(whole, at, func(had []byte) bool { return bytes.HasPrefix(had, whole) && l.holds(had) })
	}
	return uint64(bytes.Count(whole, []byte("\n"))), err
}

// holds reports whether the shelf has these entries by now.
func (l *ShelfLedger) holds(had []byte) bool {
	now, err := LedgerShelf{l.shelf}.Read()
	return err == nil && bytes.HasPrefix(now, had)
}

// CopyAppended implements what FileLedger.CopyAppended does.
func (l *ShelfLedger) CopyAppended(at LedgerCopy) error {
	_, err := l.CopyTo(at)
	return err
}
