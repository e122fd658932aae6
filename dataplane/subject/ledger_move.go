package subject

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// Shut lets nothing be appended, and answers why, until it is called with nil.
func (l *FileLedger) Shut(why *policy.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut = nil; why != nil {
		l.shut = why
	}
}

// MoveTo writes the ledger, which is shut, onto a shelf that has LedgerBuckets,
// line by line as it is, and reads it back. It tells how many entries there are.
// What an earlier try left there is replaced.
func (l *FileLedger) MoveTo(s shelf.Shelf) (uint64, error) {
	lines, err := l.lines()
	if err != nil {
		return 0, fmt.Errorf("move the erasure ledger: %w", err)
	}
	if err := shelf.Format(s, "the erasure ledger", ledgerFormat); err != nil {
		return 0, fmt.Errorf("move the erasure ledger: %w", err)
	}
	err = s.Update(func(tx shelf.Tx) error {
		if _, err := shelf.DeleteAll(tx, bucketEntries, nil, nil); err != nil {
			return err
		}
		for i, line := range lines {
			if err := tx.Put(bucketEntries, entryKey(uint64(i)+1), line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("move the erasure ledger: %w", err)
	}
	var read chain
	if err := s.View(func(tx shelf.Tx) error {
		read = chain{sealer: l.chain.sealer}
		return behind(tx, &read)
	}); err != nil {
		return 0, fmt.Errorf("move the erasure ledger: %w", err)
	}
	if len(read.entries) != len(lines) || read.last != l.chain.last {
		return 0, errors.New("move the erasure ledger: what was read back is not what was written")
	}
	return uint64(len(lines)), nil
}

// lines are the file's, of a ledger that is shut.
func (l *FileLedger) lines() (out [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut == nil {
		return nil, errors.New("it must be shut")
	}
	if l.failed != nil {
		return nil, l.failed
	}
	raw, err := os.ReadFile(l.file.Name())
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(raw) {
		out = append(out, bytes.TrimSuffix(line, []byte("\n")))
	}
	if len(out) != len(l.chain.entries) {
		return nil, fmt.Errorf("the file has %d lines and there are %d entries", len(out), len(l.chain.entries))
	}
	return out, nil
}
