package subject

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// ledgerFile is the file's name in the ledger's folder.
const ledgerFile = "ledger.jsonl"

// FileLedger is the ledger of a region of one node: one file, appended to and
// synced.
type FileLedger struct {
	dir string

	mu     sync.Mutex
	file   *os.File
	chain  chain
	failed error                    // of the last write; the file is made anew before the next
	shut   error                    // why nothing may be appended for now
	after  func()                   // after an entry is durable
	retry  func(func() error) error // makes room for a write that found none; nil: tried once
}

// OpenLedger opens or makes the ledger in dir. A last line that was cut short by
// a crash was never acknowledged and is cut off; any other damage is an error.
// After a failed append what the file holds is not known, and it is not appended to
// again: all entries go into a new one first, which takes its place.
func OpenLedger(dir string, keys store.Keys, region policy.RegionID) (*FileLedger, error) {
	c, err := newChain(keys, region)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the erasure ledger: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ledgerFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the erasure ledger: %w", err)
	}
	l := &FileLedger{dir: dir, chain: c, file: f}
	if err := l.read(); err != nil {
		return nil, fmt.Errorf("open the erasure ledger %s: %w", f.Name(), errors.Join(err, f.Close()))
	}
	return l, nil
}

func (l *FileLedger) read() error {
	r := bufio.NewReaderSize(l.file, 64<<10)
	var whole int64
	for {
		raw, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(raw) > 0 { // never acknowledged
				if err := errors.Join(l.file.Truncate(whole), l.file.Sync()); err != nil {
					return err
				}
			}
			_, err = l.file.Seek(whole, io.SeekStart)
			return errors.Join(err, l.syncFolder())
		}
		if err != nil {
			return err
		}
		if len(raw) > maxLedgerLine {
			return errors.New("a line is too long to be one of ours; put the file back from its copy")
		}
		if err := l.chain.take(bytes.TrimSuffix(raw, []byte("\n"))); err != nil {
			return fmt.Errorf("entry %d: %w; put the file back from its copy, because without it a restored store would serve what was erased", len(l.chain.entries)+1, err)
		}
		whole += int64(len(raw))
	}
}

// RetryWith lets writes that found no room be tried again by f.
func (l *FileLedger) RetryWith(f func(write func() error) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retry = f
}

func (l *FileLedger) again(write func() error) error {
	if l.retry == nil {
		return write()
	}
	return l.retry(write)
}

// Append implements Ledger.
func (l *FileLedger) Append(in Intent) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut != nil {
		return 0, l.shut
	}
	n, raw, err := l.chain.next(in)
	if err != nil {
		return 0, err
	}
	err = l.again(func() error {
		if err := l.mend(); err != nil {
			return err
		}
		l.failed = l.write(append(raw[:len(raw):len(raw)], '\n'))
		return l.failed
	})
	if err != nil {
		return 0, unwritable(err)
	}
	in.N = n
	l.chain.entries, l.chain.last = append(l.chain.entries, in), hashOf(raw)
	if l.after != nil {
		l.after()
	}
	return n, nil
}

func (l *FileLedger) write(line []byte) error {
	failpoint.At("ledger/write")
	if _, err := l.file.Write(line); err != nil {
		return err
	}
	failpoint.At("ledger/sync")
	return l.file.Sync()
}

// mend puts a new file in the place of one that a write failed on: the entries that
// were acknowledged, checked again, and nothing else. Its own sync vouches for it.
func (l *FileLedger) mend() error {
	if l.failed == nil {
		return nil
	}
	path := l.file.Name()
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c, whole := chain{sealer: l.chain.sealer}, 0
	for line := range bytes.Lines(raw) {
		if len(c.entries) == len(l.chain.entries) {
			break // what was being written when it failed was never acknowledged
		}
		if err := c.take(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return fmt.Errorf("entry %d: %w", len(c.entries)+1, err)
		}
		whole += len(line)
	}
	if c.last != l.chain.last {
		return errors.New("the file is not what was written: put it back from its copy and restart the node")
	}
	if err := PutLedger(l.dir, raw[:whole]); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return errors.Join(err, f.Close())
	}
	_ = l.file.Close() // the one that failed
	l.file, l.failed = f, nil
	return nil
}

func unwritable(cause error) error {
	return &policy.Error{Reason: policy.NotReady, Cause: cause, Message: "the erasure ledger cannot be written, so that nothing is erased; make room on the node's disk, or give it a sound one, and try again"}
}

// Healthy implements Ledger. It mends what failed, when that is possible by now.
func (l *FileLedger) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.again(l.mend); err != nil {
		return unwritable(err)
	}
	return nil
}

// Since implements Ledger.
func (l *FileLedger) Since(t policy.TenantID, n uint64) ([]Intent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.chain.since(t, n), nil
}

// Last implements Ledger.
func (l *FileLedger) Last(t policy.TenantID) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.chain.lastOf(t), nil
}

// Tenants implements Ledger.
func (l *FileLedger) Tenants() ([]policy.TenantID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.chain.tenants(), nil
}

// Len implements Ledger.
func (l *FileLedger) Len() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.chain.entries)), nil
}

// Close closes the file.
func (l *FileLedger) Close() error { return l.file.Close() }

func (l *FileLedger) syncFolder() error {
	d, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
