package subject

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

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

// Ledger is the region's list of erasures, appended to durably before anything
// is destroyed. It lies outside the record store and belongs into no backup of
// records. A region of one node keeps it in a file ([OpenLedger]), which has its
// own copy, as the key table has; several nodes share it on a shelf
// ([OpenShelfLedger]). It is safe for concurrent use.
type Ledger interface {
	// Append makes an intent durable and gives its number.
	Append(in Intent) (uint64, error)
	// Since lists the entries of a tenant behind number n, in order.
	Since(t policy.TenantID, n uint64) ([]Intent, error)
	// Last is the number of a tenant's last entry, 0 when it has none.
	Last(t policy.TenantID) (uint64, error)
	// Tenants lists the tenants that have entries, each once.
	Tenants() ([]policy.TenantID, error)
	// Len is the number of the last entry of all.
	Len() (uint64, error)
	// Healthy is why nothing can be appended, else nil.
	Healthy() error
	Close() error
}

// chain is the entries of a ledger as they were checked.
type chain struct {
	sealer  *store.Sealer
	entries []Intent
	last    string // hex SHA-256 of the last line
}

func newChain(keys store.Keys, region policy.RegionID) (chain, error) {
	sealer, err := store.NewSealer(keys, string(region), ledgerKey)
	if err != nil {
		return chain{}, fmt.Errorf("open the erasure ledger: %w", err)
	}
	return chain{sealer: sealer}, nil
}

// take checks one line and remembers it.
func (c *chain) take(raw []byte) error {
	var in line
	if err := json.Unmarshal(raw, &in); err != nil {
		return errors.New("it is not an entry")
	}
	if in.N != uint64(len(c.entries))+1 || in.Before != c.last {
		return errors.New("it does not follow the one before it")
	}
	sealed, err := base64.StdEncoding.DecodeString(in.Sealed)
	if err != nil {
		return errors.New("it is not an entry")
	}
	plain, err := c.sealer.Open(sealed, in.place())
	if err != nil {
		return err
	}
	intent := Intent{}
	if err := json.Unmarshal(plain, &intent); err != nil || intent.Tenant != in.Tenant {
		return errors.New("it is not an entry")
	}
	intent.N = in.N
	c.entries, c.last = append(c.entries, intent), hashOf(raw)
	return nil
}

// next is the line that makes an intent the entry behind those that are there.
func (c *chain) next(in Intent) (n uint64, raw []byte, err error) {
	in.N = uint64(len(c.entries)) + 1
	plain, err := json.Marshal(in)
	if err != nil {
		return 0, nil, fmt.Errorf("encode an erasure: %w", err)
	}
	out := line{N: in.N, Tenant: in.Tenant, Before: c.last}
	out.Sealed = base64.StdEncoding.EncodeToString(c.sealer.Seal(plain, out.place()))
	if raw, err = json.Marshal(out); err != nil {
		return 0, nil, fmt.Errorf("encode an erasure: %w", err)
	}
	return in.N, raw, nil
}

func (in *line) place() []byte { return fmt.Appendf(nil, "%d/%s/%s", in.N, in.Tenant, in.Before) }

func hashOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func (c *chain) since(t policy.TenantID, n uint64) (out []Intent) {
	for _, in := range c.entries {
		if in.Tenant == t && in.N > n {
			out = append(out, in)
		}
	}
	return out
}

func (c *chain) lastOf(t policy.TenantID) (n uint64) {
	for _, in := range c.entries {
		if in.Tenant == t {
			n = in.N
		}
	}
	return n
}

func (c *chain) tenants() (out []policy.TenantID) {
	seen := map[policy.TenantID]bool{}
	for _, in := range c.entries {
		if !seen[in.Tenant] {
			seen[in.Tenant] = true
			out = append(out, in.Tenant)
		}
	}
	return out
}

// forgottenIn is everything of a tenant that no restored store may have: each of
// them is mended with all of it, because the first mending lets the ruins of all go.
func forgottenIn(l Ledger, t policy.TenantID) (f store.Forgotten, err error) {
	all, err := l.Since(t, 0)
	for _, in := range all {
		f.Owners, f.Calls = append(f.Owners, in.Owners...), append(f.Calls, in.Calls...)
	}
	return f, err
}
