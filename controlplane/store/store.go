// Package store is the replicated state of the control plane: tenants, their
// policies and keys, regions, pending changes, and what is needed to tell each
// region of them. It holds no personal data and no secret.
//
// It is a pure state machine over bbolt: Apply has no clock, no randomness and
// no map order; whatever depends on them is stamped into the command before it
// is proposed. A batch of committed entries is one bbolt transaction that also
// holds the applied index, so that the file never disagrees with itself.
//
// Each effective change takes the next revision. Etags are the hexadecimal
// revision of an object's last change.
package store

import (
	"errors"
	"io"
	"log/slog"

	"github.com/domicile-io/domicile/policy"
)

var errStub = errors.New("not built yet")

// Options of a store.
type Options struct {
	Path   string       // of the bbolt file; its folder must exist
	Logger *slog.Logger // nil: slog.Default()
}

// Store is the state of one node. Methods are safe for concurrent use, but
// Apply and Restore have one caller.
//
// Reads return a *policy.Error of reason NOT_FOUND for what does not exist, and
// any other error for what cannot be read or fails its checksum.
type Store struct{}

// Open opens or creates the state and verifies every value in it.
func Open(o Options) (*Store, error) { return nil, errStub }

// Close releases the file.
func (s *Store) Close() error { return errStub }

// Apply applies committed entries in order, in one transaction. An error (an
// I/O error, an unknown command, a corrupt value) means that this node must
// stop; domain refusals are in the results, one for each entry.
func (s *Store) Apply(entries []Entry) ([]Result, error) { return nil, errStub }

// Applied gives index and term of the last applied entry; 0, 0 when new.
func (s *Store) Applied() (index, term uint64) { return 0, 0 }

// Revision of the state.
func (s *Store) Revision() uint64 { return 0 }

// Replay looks up what an idempotency key did before; ok is false when it is
// new. Reused with another request it answers IDEMPOTENCY_KEY_REUSED in Err.
func (s *Store) Replay(stamp Stamp) (r Result, ok bool, err error) { return r, false, errStub }

// Cluster finds what InitCluster settled; NOT_FOUND before it.
func (s *Store) Cluster() (Cluster, error) { return Cluster{}, errStub }

// Tenant finds a tenant by id.
func (s *Store) Tenant(id policy.TenantID) (Tenant, error) { return Tenant{}, errStub }

// TenantBySlug finds a tenant by slug.
func (s *Store) TenantBySlug(slug policy.Slug) (Tenant, error) { return Tenant{}, errStub }

// Tenants lists tenants after the given id, ordered by id, at most limit.
func (s *Store) Tenants(after policy.TenantID, limit int, f TenantFilter) ([]Tenant, error) {
	return nil, errStub
}

// Policy finds a tenant's policy.
func (s *Store) Policy(id policy.TenantID) (Policy, error) { return Policy{}, errStub }

// Key finds an API key by id. The caller compares its tenant.
func (s *Store) Key(id policy.KeyID) (Key, error) { return Key{}, errStub }

// Keys lists a tenant's keys after the given id, ordered by id, at most limit.
func (s *Store) Keys(tenant policy.TenantID, after policy.KeyID, limit int) ([]Key, error) {
	return nil, errStub
}

// Region finds a region.
func (s *Store) Region(id policy.RegionID) (Region, error) { return Region{}, errStub }

// Regions lists all regions, ordered by id.
func (s *Store) Regions() ([]Region, error) { return nil, errStub }

// Features lists a region's features, ordered by name; NOT_FOUND without such a region.
func (s *Store) Features(region policy.RegionID) ([]Feature, error) { return nil, errStub }

// Entities lists the contracting entities, ordered by country.
func (s *Store) Entities() ([]Entity, error) { return nil, errStub }

// EntityFor finds the contracting entity of a billing country.
func (s *Store) EntityFor(country string) (Entity, error) { return Entity{}, errStub }

// Bases lists the transfer bases, ordered by id.
func (s *Store) Bases() ([]Basis, error) { return nil, errStub }

// Basis finds a transfer basis.
func (s *Store) Basis(id string) (Basis, error) { return Basis{}, errStub }

// Change finds a pending or past change.
func (s *Store) Change(id string) (Change, error) { return Change{}, errStub }

// Changes lists changes after the given id, ordered by id, at most limit; state "" is any.
func (s *Store) Changes(after string, limit int, state ChangeState) ([]Change, error) {
	return nil, errStub
}

// TokenByHash finds a bearer token by the hex SHA-256 of it. The caller checks
// expiry and Disabled.
func (s *Store) TokenByHash(sha256Hex string) (Token, error) { return Token{}, errStub }

// Topology is the regions as of the last Apply; immutable, never nil after Open.
func (s *Store) Topology() *policy.Topology { return nil }

// StateHash is hex SHA-256 over the whole state. It is equal on every node at
// the same applied index. It reads everything: for status and tests.
func (s *Store) StateHash() (hash string, index uint64, err error) { return "", 0, errStub }

// Rows calls fn with each row of a region's bundle, ordered by row key, all at
// the revision that it returns. fn must not call the store.
func (s *Store) Rows(region policy.RegionID, fn func(policy.Row) error) (revision uint64, err error) {
	return 0, errStub
}

// RowsChanged gives what changed in a region's bundle after revision from, as
// of the current revision (Delta.To). SNAPSHOT_GONE means that the change log no longer
// reaches back that far, or from lies in the future: send a snapshot.
func (s *Store) RowsChanged(region policy.RegionID, from uint64) (Delta, error) {
	return Delta{}, errStub
}

// WriteSnapshot writes the whole state as of one applied index.
func (s *Store) WriteSnapshot(w io.Writer) error { return errStub }

// Restore replaces the state by a snapshot. After an error the store refuses
// everything: the node must stop.
func (s *Store) Restore(r io.Reader) error { return errStub }
