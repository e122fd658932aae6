package store

import (
	"bytes"

	"github.com/domicile-io/domicile/policy"
)

// recent remembers tenants and policies that changes have read or made, so that the
// next change of the same policy, and whoever plans it, need not find and decode them. It holds what the
// transaction under way holds, or nothing: whatever is written to a tenant or a
// policy leaves it, in commit, which is the only way to either. What it holds never
// decides anything that the rows would decide otherwise, since a policy is made of
// JSON and stored as what it encodes to. Apply alone changes it; nobody changes
// anything in what he gets from it.
type recent struct{ of map[policy.TenantID]known }

type known struct {
	tenant Tenant
	policy Policy
}

// Bounds of it. Texts of a policy are parts of its command, all of which stays in
// memory with them, and a command is as large as whoever proposes it likes: so only
// small ones are remembered, with some 2 KiB each beside them.
const (
	maxRecent     = 8192
	maxRemembered = 8 << 10 // bytes of a command
)

func newRecent() *recent { return &recent{of: map[policy.TenantID]known{}} }

func (r *recent) keep(k known) {
	if len(r.of) >= maxRecent {
		clear(r.of)
	}
	r.of[k.tenant.ID] = k
}

// wrote forgets what a write makes old.
func (r *recent) wrote(w write) {
	if bytes.Equal(w.bucket, bucketPolicies) || bytes.Equal(w.bucket, bucketTenants) {
		delete(r.of, policy.TenantID(w.key))
	}
}

// known finds a tenant that has not ended, and its policy.
func (e *entry) known(id policy.TenantID) (k known, err error) {
	k, ok := e.recent.of[id]
	if ok {
		return k, nil
	}
	if k.tenant, err = e.living(id); err != nil {
		return k, err
	}
	k.policy, err = need[Policy](e.tx, bucketPolicies, []byte(id), "policy")
	return k, err
}

// recently finds what is remembered of a tenant, in the state that was applied last.
func (s *Store) recently(id policy.TenantID) (k known, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.gathered.mu.Lock()
	defer s.gathered.mu.Unlock()
	if s.usable() != nil { // what was given up half applied may be remembered
		return k, false
	}
	k, ok = s.current.Load().recent.of[id]
	return k, ok
}
