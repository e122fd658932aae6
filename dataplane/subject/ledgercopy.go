package subject

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// The ledger is in no backup: put back with one, it would lack what it is for.
// But it has a copy that is always the newest, beside the backups, brought up to
// date before anything is destroyed.

// AfterAppend lets f be called after each entry is durable, before whoever
// appended it goes on. It must be bounded in time, and ask the ledger nothing
// but CopyAppended.
func (l *FileLedger) AfterAppend(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = f
}

// LedgerCopy is one place of a ledger's copy: a folder, a file, or what is beside
// the backups.
type LedgerCopy interface {
	String() string
	Read() ([]byte, error)  // fs.ErrNotExist: there is none
	Put(whole []byte) error // durably; never some of both
}

// LedgerFolder is a copy in a folder, or the file itself.
type LedgerFolder string

func (f LedgerFolder) String() string {
	if info, err := os.Stat(string(f)); err == nil && !info.IsDir() {
		return string(f)
	}
	return filepath.Join(string(f), ledgerFile)
}

// Read implements LedgerCopy.
func (f LedgerFolder) Read() ([]byte, error) { return os.ReadFile(f.String()) }

// Put implements LedgerCopy.
func (f LedgerFolder) Put(whole []byte) error { return PutLedger(string(f), whole) }

// CopyTo makes the copy what the ledger is, durably, and counts the entries. It
// refuses when the copy is the longer one, or another: then the ledger here was
// lost or put back from something older.
func (l *FileLedger) CopyTo(at LedgerCopy) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.chain.entries)), l.CopyAppended(at)
}

// CopyAppended is CopyTo for the function of AfterAppend.
func (l *FileLedger) CopyAppended(at LedgerCopy) error {
	whole, err := os.ReadFile(l.file.Name())
	if err != nil {
		return fmt.Errorf("copy the erasure ledger: %w", err)
	}
	return copyLedger(whole, at, func([]byte) bool { return false })
}

// copyLedger makes a copy be whole. newer says of one that is not its beginning
// whether it may stay.
func copyLedger(whole []byte, at LedgerCopy, newer func(had []byte) bool) error {
	had, err := at.Read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy the erasure ledger: %w", err)
	}
	if err == nil && (bytes.Equal(had, whole) || newer(had)) {
		return nil
	}
	if !bytes.HasPrefix(whole, had) {
		return fmt.Errorf("copy the erasure ledger: the copy %s is not the beginning of this node's ledger: the ledger was lost or put back from something older, or the copy is damaged; compare both, and put back the longer one that is whole", at)
	}
	if err := at.Put(whole); err != nil {
		return fmt.Errorf("copy the erasure ledger: %w", err)
	}
	return nil
}

func syncFolderOf(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ErrNoLedger means that none of the places has a ledger.
var ErrNoLedger = errors.New("no erasure ledger was found: without it nobody knows whom a restored store must not show. Give the folder of its copy")

// ChooseLedger picks the longest of several copies of one ledger, and reads it from
// end to end. All must be of one chain: the
// shorter ones the beginnings of the longest. It gives the bytes, the entries and
// where they were.
func ChooseLedger(keys store.Keys, region policy.RegionID, places ...LedgerCopy) (raw []byte, entries []Intent, from string, err error) {
	for _, p := range places {
		b, err := p.Read()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, "", fmt.Errorf("read the erasure ledger: %w", err)
		}
		b = b[:bytes.LastIndexByte(b, '\n')+1] // an entry that a crash cut short was never acknowledged
		switch {
		case from == "", bytes.HasPrefix(b, raw):
			raw, from = b, p.String()
		case !bytes.HasPrefix(raw, b):
			return nil, nil, "", fmt.Errorf("the erasure ledgers %s and %s are not of one chain: one is damaged, or of another node", from, p)
		}
	}
	if from == "" {
		return nil, nil, "", ErrNoLedger
	}
	l, err := newChain(keys, region)
	if err != nil {
		return nil, nil, "", err
	}
	for line := range bytes.Lines(raw) {
		if err := l.take(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return nil, nil, "", fmt.Errorf("the erasure ledger %s, entry %d: %w", from, len(l.entries)+1, err)
		}
	}
	return raw, l.entries, from, nil
}

// PutLedger puts the bytes of a ledger in place in a folder, durably.
func PutLedger(dir string, raw []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, ledgerFile)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncFolderOf(path)
	}
	return err
}
