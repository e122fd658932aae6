package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// find reads one object; NOT_FOUND without it.
func find[T any](s *Store, bucket, key []byte, what string) (v T, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		v, err = need[T](tx, bucket, key, what)
		return err
	})
	return v, err
}

// list reads objects whose keys begin with prefix and stand after the given
// key, in order, at most limit (-1: all). keep, when given, filters.
func list[T any](tx *bolt.Tx, bucket, prefix, after []byte, limit int, keep func(T) bool) ([]T, error) {
	var out []T
	c := tx.Bucket(bucket).Cursor()
	seek := prefix
	if len(after) > 0 {
		seek = append(append([]byte(nil), after...), 0) // the least key after it
	}
	for k, raw := c.Seek(seek); k != nil && bytes.HasPrefix(k, prefix); k, raw = c.Next() {
		if limit >= 0 && len(out) >= limit {
			break
		}
		v, err := decode[T](bucket, k, raw)
		if err != nil {
			return nil, err
		}
		if keep == nil || keep(v) {
			out = append(out, v)
		}
	}
	return out, nil
}

// all reads a whole small bucket, or the part of it under a prefix.
func all[T any](s *Store, bucket, prefix []byte) (out []T, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		out, err = list[T](tx, bucket, prefix, nil, -1, nil)
		return err
	})
	return out, err
}

// page bounds a caller's limit.
func page(limit int) int { return max(0, min(limit, MaxList)) }

// Applied gives index and term of the last applied entry; 0, 0 when new.
func (s *Store) Applied() (index, term uint64) {
	p := s.current.Load().applied
	return p.Index, p.Term
}

// Revision of the state; 0 while the cluster is not set up.
func (s *Store) Revision() uint64 { return s.current.Load().revision }

// Topology is the regions as of the last Apply; immutable, never nil after Open.
func (s *Store) Topology() *policy.Topology { return s.current.Load().topology }

// Members is the membership as of the last Apply; immutable, never nil after Open.
func (s *Store) Members() *Members { return s.current.Load().members }

// Replay looks up what an idempotency key did before; ok is false when it is
// new. A key that was used for another request has IDEMPOTENCY_KEY_REUSED in
// Result.Err, and one whose answer is not kept ANSWER_NOT_KEPT.
func (s *Store) Replay(stamp Stamp) (r Result, ok bool, err error) {
	if _, known := s.current.Load().index.find(idempotencyID(stamp)); !known { // nearly always
		return Result{}, false, s.usable()
	}
	err = s.peek(func(tx *bolt.Tx) error {
		r, ok, err = lookup(tx, s.current.Load().index, stamp)
		return err
	})
	return r, ok, err
}

// Cluster finds what InitCluster settled; NOT_FOUND before it.
func (s *Store) Cluster() (Cluster, error) {
	return find[Cluster](s, bucketMeta, metaCluster, "cluster yet")
}

// Tenant finds a tenant by id. Nothing may be changed in what it points to.
func (s *Store) Tenant(id policy.TenantID) (Tenant, error) {
	if k, ok := s.recently(id); ok {
		return k.tenant, nil
	}
	return find[Tenant](s, bucketTenants, []byte(id), "tenant")
}

// TenantBySlug finds a tenant by slug.
func (s *Store) TenantBySlug(slug policy.Slug) (t Tenant, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		id, err := need[policy.TenantID](tx, bucketSlugs, []byte(slug), "tenant")
		if err != nil {
			return err
		}
		t, err = need[Tenant](tx, bucketTenants, []byte(id), "tenant")
		return err
	})
	return t, err
}

// SlugOf says for which tenant a slug is taken, be it one that is no more; ""
// when it is free.
func (s *Store) SlugOf(slug policy.Slug) (id policy.TenantID, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		id, _, err = load[policy.TenantID](tx, bucketSlugs, []byte(slug))
		return err
	})
	return id, err
}

// Tenants lists tenants after the given id ("" from the start), ordered by id,
// at most limit and MaxList.
func (s *Store) Tenants(after policy.TenantID, limit int, f TenantFilter) (out []Tenant, err error) {
	keep := func(t Tenant) bool {
		return (f.Home == "" || t.Home == f.Home) && (f.ID == "" || t.ID == f.ID)
	}
	err = s.view(func(tx *bolt.Tx) error {
		out, err = list(tx, bucketTenants, []byte(f.ID), []byte(after), page(limit), keep)
		return err
	})
	return out, err
}

// Policy finds a tenant's policy. Nothing may be changed in its maps and lists.
func (s *Store) Policy(id policy.TenantID) (Policy, error) {
	if k, ok := s.recently(id); ok {
		return k.policy, nil
	}
	return find[Policy](s, bucketPolicies, []byte(id), "policy")
}

// Key finds an API key by id. The caller compares its tenant.
func (s *Store) Key(id policy.KeyID) (Key, error) {
	return find[Key](s, bucketKeys, []byte(id), "key")
}

// Keys lists a tenant's keys after the given id, ordered by id, at most limit
// and MaxList.
func (s *Store) Keys(tenant policy.TenantID, after policy.KeyID, limit int) (out []Key, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		out, err = keysOf(tx, tenant, after, page(limit))
		return err
	})
	return out, err
}

// keysOf follows the index of a tenant's keys.
func keysOf(tx *bolt.Tx, tenant policy.TenantID, after policy.KeyID, limit int) ([]Key, error) {
	var out []Key
	prefix := path(tenant, "")
	c := tx.Bucket(bucketTenantKeys).Cursor()
	for k, _ := c.Seek(path(tenant, after)); k != nil && bytes.HasPrefix(k, prefix) && len(out) < limit; k, _ = c.Next() {
		id := k[len(prefix):]
		if string(id) == string(after) {
			continue
		}
		key, err := need[Key](tx, bucketKeys, id, "key")
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	return out, nil
}

// Region finds a region.
func (s *Store) Region(id policy.RegionID) (Region, error) {
	return find[Region](s, bucketRegions, []byte(id), "region")
}

// Regions lists all regions, ordered by id.
func (s *Store) Regions() ([]Region, error) { return all[Region](s, bucketRegions, nil) }

// Features lists a region's features, ordered by name; NOT_FOUND without such a region.
func (s *Store) Features(region policy.RegionID) ([]Feature, error) {
	if _, err := s.Region(region); err != nil {
		return nil, err
	}
	return all[Feature](s, bucketFeatures, path(region, ""))
}

// Feature finds one feature of a region.
func (s *Store) Feature(region policy.RegionID, name string) (Feature, error) {
	return find[Feature](s, bucketFeatures, path(region, name), "feature")
}

// Entities lists the contracting entities, ordered by country.
func (s *Store) Entities() ([]Entity, error) { return all[Entity](s, bucketEntities, nil) }

// EntityFor finds the contracting entity of a billing country.
func (s *Store) EntityFor(country string) (Entity, error) {
	return find[Entity](s, bucketEntities, []byte(country), "billing country")
}

// Bases lists the transfer bases, ordered by id.
func (s *Store) Bases() ([]Basis, error) { return all[Basis](s, bucketBases, nil) }

// Basis finds a transfer basis.
func (s *Store) Basis(id string) (Basis, error) {
	return find[Basis](s, bucketBases, []byte(id), "transfer basis")
}

// Change finds a pending or past change.
func (s *Store) Change(id string) (Change, error) {
	return find[Change](s, bucketChanges, []byte(id), "change")
}

// Changes lists changes after the given id, ordered by id, at most limit and
// MaxList; state "" is any, tenant "" is all.
func (s *Store) Changes(after string, limit int, state ChangeState, tenant policy.TenantID) (out []Change, err error) {
	keep := func(c Change) bool { return (state == "" || c.State == state) && (tenant == "" || c.Tenant == tenant) }
	err = s.view(func(tx *bolt.Tx) error {
		out, err = list(tx, bucketChanges, nil, []byte(after), page(limit), keep)
		return err
	})
	return out, err
}

// TokenByHash finds a bearer token by the hex SHA-256 of it. The caller checks
// expiry and Disabled.
func (s *Store) TokenByHash(sha256Hex string) (Token, error) {
	return find[Token](s, bucketTokens, []byte(sha256Hex), "token")
}

// Token finds a bearer token by its principal.
func (s *Store) Token(principal string) (t Token, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		t, err = tokenOf(tx, principal)
		return err
	})
	return t, err
}

// Tokens lists tokens after the given principal, ordered by principal, at most
// limit and MaxList. keep filters; it may be nil.
func (s *Store) Tokens(after string, limit int, keep func(Token) bool) (out []Token, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketTokenIDs).Cursor()
		for k, _ := c.Seek([]byte(after)); k != nil && len(out) < page(limit); k, _ = c.Next() {
			if string(k) == after {
				continue
			}
			t, err := tokenOf(tx, string(k))
			if err != nil {
				return err
			}
			if keep == nil || keep(t) {
				out = append(out, t)
			}
		}
		return nil
	})
	return out, err
}

// Principal finds what a person is bound to.
func (s *Store) Principal(id string) (Principal, error) {
	return find[Principal](s, bucketPrincipals, []byte(id), "principal")
}

// Principals lists bindings after the given id, ordered by id, at most limit
// and MaxList. keep filters; it may be nil.
func (s *Store) Principals(after string, limit int, keep func(Principal) bool) (out []Principal, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		out, err = list(tx, bucketPrincipals, nil, []byte(after), page(limit), keep)
		return err
	})
	return out, err
}

// Bootstrap finds the bootstrap token; NOT_FOUND where there never was one.
func (s *Store) Bootstrap() (Bootstrap, error) {
	return find[Bootstrap](s, bucketMeta, metaBootstrap, "bootstrap token")
}

// StateHash is hex SHA-256 over the whole state, and the applied index that it
// holds for. It is equal on every node at the same index (invariant 32). It
// reads everything: for status and tests.
func (s *Store) StateHash() (hash string, index uint64, err error) {
	h := sha256.New()
	part := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	err = s.view(func(tx *bolt.Tx) error {
		at, _, err := load[position](tx, bucketMeta, metaApplied)
		index = at.Index
		if err != nil {
			return err
		}
		for _, name := range buckets {
			part(name)
			if err := tx.Bucket(name).ForEach(func(k, v []byte) error {
				part(k)
				part(v)
				_, err := unseal(name, k, v)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), index, err
}
