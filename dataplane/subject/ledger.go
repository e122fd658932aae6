package subject

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// ledgerFile is the file's name in the ledger's folder.
const ledgerFile = "ledger.jsonl"

// ledgerKey is the region key that seals the ledger's entries.
const ledgerKey = "subject/ledger"

// maxLedgerLine bounds one line when it is read back.
const maxLedgerLine = 4 << 20

// Intent is one entry: what must be gone of whatever is put back from a backup.
// It names random ids only. Nothing leads from them to a person once the index
// has let go of them.
type Intent struct {
	N           uint64          `json:"-"`
	Certificate string          `json:"certificate,omitempty"` // "" when calls are deleted
	Tenant      policy.TenantID `json:"tenant"`
	Owners      []store.Owner   `json:"owners,omitempty"`
	Quarantined []string        `json:"quarantined,omitempty"` // ids of payloads that went
	Calls       []string        `json:"calls,omitempty"`       // ids of calls that were deleted, not for a person
	Time        time.Time       `json:"time"`
}

// line is an entry as it lies in the file. N is dense from 1; Before is the
// SHA-256 of the line before it, so that no entry can be taken out, swapped or
// changed without the ones behind it showing it; both are bound into the seal.
type line struct {
	N      uint64          `json:"n"`
	Tenant policy.TenantID `json:"tenant"`
	Before string          `json:"before"`
	Sealed string          `json:"sealed"` // base64
}

// Ledger is the region's list of erasures: one file, appended to and synced
// before anything is destroyed. It lies outside the record store and belongs
// into no backup of records; it has its own copy, as the key table has.
// It is safe for concurrent use.
type Ledger struct {
	dir    string
	sealer *store.Sealer

	mu      sync.Mutex
	file    *os.File
	entries []Intent
	last    string // hex SHA-256 of the last line
	failed  error
	after   func() // after an entry is durable
}

// OpenLedger opens or makes the ledger in dir. A last line that was cut short by
// a crash was never acknowledged and is cut off; any other damage is an error.
func OpenLedger(dir string, keys store.Keys, region policy.RegionID) (*Ledger, error) {
	sealer, err := store.NewSealer(keys, string(region), ledgerKey)
	if err != nil {
		return nil, fmt.Errorf("open the erasure ledger: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the erasure ledger: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ledgerFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the erasure ledger: %w", err)
	}
	l := &Ledger{dir: dir, sealer: sealer, file: f}
	if err := l.read(); err != nil {
		return nil, fmt.Errorf("open the erasure ledger %s: %w", f.Name(), errors.Join(err, f.Close()))
	}
	return l, nil
}

func (l *Ledger) read() error {
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
		if err := l.take(bytes.TrimSuffix(raw, []byte("\n"))); err != nil {
			return fmt.Errorf("entry %d: %w; put the file back from its copy, because without it a restored store would serve what was erased", len(l.entries)+1, err)
		}
		whole += int64(len(raw))
	}
}

// take checks one line and remembers it.
func (l *Ledger) take(raw []byte) error {
	var in line
	if err := json.Unmarshal(raw, &in); err != nil {
		return errors.New("it is not an entry")
	}
	if in.N != uint64(len(l.entries))+1 || in.Before != l.last {
		return errors.New("it does not follow the one before it")
	}
	sealed, err := base64.StdEncoding.DecodeString(in.Sealed)
	if err != nil {
		return errors.New("it is not an entry")
	}
	plain, err := l.sealer.Open(sealed, in.place())
	if err != nil {
		return err
	}
	intent := Intent{}
	if err := json.Unmarshal(plain, &intent); err != nil || intent.Tenant != in.Tenant {
		return errors.New("it is not an entry")
	}
	intent.N = in.N
	l.entries, l.last = append(l.entries, intent), hashOf(raw)
	return nil
}

func (in *line) place() []byte { return fmt.Appendf(nil, "%d/%s/%s", in.N, in.Tenant, in.Before) }

func hashOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Append makes an intent durable and gives its number. After an error nothing
// more is appended until a restart: what the disk holds is not known.
func (l *Ledger) Append(in Intent) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return 0, l.failed
	}
	in.N = uint64(len(l.entries)) + 1
	plain, err := json.Marshal(in)
	if err != nil {
		return 0, fmt.Errorf("encode an erasure: %w", err)
	}
	out := line{N: in.N, Tenant: in.Tenant, Before: l.last}
	out.Sealed = base64.StdEncoding.EncodeToString(l.sealer.Seal(plain, out.place()))
	raw, err := json.Marshal(out)
	if err != nil {
		return 0, fmt.Errorf("encode an erasure: %w", err)
	}
	if _, err = l.file.Write(append(raw, '\n')); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.failed = &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the erasure ledger cannot be written, so that nothing is erased; restart the node on a sound disk"}
		return 0, l.failed
	}
	l.entries, l.last = append(l.entries, in), hashOf(raw)
	if l.after != nil {
		l.after()
	}
	return in.N, nil
}

// Healthy is why nothing can be appended, else nil.
func (l *Ledger) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Since lists the entries of a tenant behind number n, in order.
func (l *Ledger) Since(t policy.TenantID, n uint64) (out []Intent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, in := range l.entries {
		if in.Tenant == t && in.N > n {
			out = append(out, in)
		}
	}
	return out
}

// forgotten is everything of a tenant that no restored store may have: each of
// them is mended with all of it, because the first mending lets the ruins of all go.
func (l *Ledger) forgotten(t policy.TenantID) (f store.Forgotten) {
	for _, in := range l.Since(t, 0) {
		f.Owners, f.Calls = append(f.Owners, in.Owners...), append(f.Calls, in.Calls...)
	}
	return f
}

// Last is the number of a tenant's last entry, 0 when it has none.
func (l *Ledger) Last(t policy.TenantID) (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, in := range l.entries {
		if in.Tenant == t {
			n = in.N
		}
	}
	return n
}

// Tenants lists the tenants that have entries, each once.
func (l *Ledger) Tenants() (out []policy.TenantID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[policy.TenantID]bool{}
	for _, in := range l.entries {
		if !seen[in.Tenant] {
			seen[in.Tenant] = true
			out = append(out, in.Tenant)
		}
	}
	return out
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

func (l *Ledger) syncFolder() error {
	d, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
