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
	failed error
	after  func() // after an entry is durable
}

// OpenLedger opens or makes the ledger in dir. A last line that was cut short by
// a crash was never acknowledged and is cut off; any other damage is an error.
// After a failed append nothing more is appended until a restart: what the disk
// holds is not known.
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

// Append implements Ledger.
func (l *FileLedger) Append(in Intent) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return 0, l.failed
	}
	n, raw, err := l.chain.next(in)
	if err != nil {
		return 0, err
	}
	failpoint.At("ledger/write")
	if _, err = l.file.Write(append(raw[:len(raw):len(raw)], '\n')); err == nil {
		failpoint.At("ledger/sync")
		err = l.file.Sync()
	}
	if err != nil {
		l.failed = &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the erasure ledger cannot be written, so that nothing is erased; restart the node on a sound disk"}
		return 0, l.failed
	}
	in.N = n
	l.chain.entries, l.chain.last = append(l.chain.entries, in), hashOf(raw)
	if l.after != nil {
		l.after()
	}
	return n, nil
}

// Healthy implements Ledger.
func (l *FileLedger) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
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
