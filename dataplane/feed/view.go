package feed

import (
	"fmt"
	"hash/maphash"
	"iter"
	"maps"

	"github.com/domicile-io/domicile/policy"
)

// View is one bundle, ready to be asked. It is immutable; nothing that it
// returns may be changed.
type View struct {
	Revision uint64
	Set      *policy.Set      // compiled rules of tenants homed here
	Topology *policy.Topology // every region and transfer basis

	rows  table[policy.Row]      // by row key
	keys  table[policy.APIKey]   // by key id
	slugs table[policy.TenantID] // by slug
}

// NewView makes a view of whole bundle rows.
func NewView(revision uint64, rows []policy.Row) (*View, error) {
	return (&View{}).With(revision, rows, nil)
}

// Tenant finds a tenant that is homed here or moved away from here.
func (v *View) Tenant(id policy.TenantID) (*policy.TenantRow, bool) {
	r, ok := v.rows.get("t/" + string(id))
	return r.Tenant, ok
}

// Slug finds a tenant by its slug. Use it only after authentication.
func (v *View) Slug(s policy.Slug) (policy.TenantID, bool) { return v.slugs.get(string(s)) }

// Key finds an API key: a tenant's or, with role recipient, an inbound pair's.
func (v *View) Key(id policy.KeyID) (policy.APIKey, bool) { return v.keys.get(string(id)) }

// Pair finds the inbound pair of a sender and a recipient.
func (v *View) Pair(t policy.TenantID, r policy.RecipientID) (*policy.InboundPair, bool) {
	row, ok := v.rows.get("p/" + string(t) + "/" + string(r))
	return row.Pair, ok
}

// Features is what a region says that it can do; nil when the bundle does not
// say, which takes nothing away.
func (v *View) Features(r policy.RegionID) *policy.RegionFeatures {
	row, _ := v.rows.get("f/" + string(r))
	return row.Features
}

// Tenants yields every tenant, in no order.
func (v *View) Tenants() iter.Seq[*policy.TenantRow] {
	return func(yield func(*policy.TenantRow) bool) {
		for _, r := range v.rows.all() {
			if r.Tenant != nil && !yield(r.Tenant) {
				return
			}
		}
	}
}

// Pairs yields every inbound pair, in no order.
func (v *View) Pairs() iter.Seq[*policy.InboundPair] {
	return func(yield func(*policy.InboundPair) bool) {
		for _, r := range v.rows.all() {
			if r.Pair != nil && !yield(r.Pair) {
				return
			}
		}
	}
}

// With gives the view at a later revision, in which rows replace or add and
// removed row keys are gone. It shares what did not change.
func (v *View) With(revision uint64, rows []policy.Row, removed []string) (*View, error) {
	e := edit{next: *v}
	e.next.Revision = revision
	for _, key := range removed {
		e.remove(key) // one that is absent came and went between two revisions
	}
	seen := make(map[string]bool, len(rows))
	for _, r := range rows {
		if key := r.RowKey(); seen[key] {
			return nil, fmt.Errorf("row %.80q stands twice", key)
		} else {
			seen[key] = true
		}
		if err := e.put(r); err != nil {
			return nil, err
		}
	}
	return e.finish(revision)
}

const shards = 1024

var seed = maphash.MakeSeed()

// table is an immutable sharded map: an edit copies only the shards it touches.
type table[V any] struct{ shard *[shards]map[string]V }

func (t table[V]) get(key string) (v V, ok bool) {
	if t.shard == nil {
		return v, false
	}
	v, ok = t.shard[shardOf(key)][key]
	return v, ok
}

func (t table[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if t.shard == nil {
			return
		}
		for _, m := range t.shard {
			for k, v := range m {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// writer edits a copy of a table.
type writer[V any] struct {
	next [shards]map[string]V
	own  [shards]bool
	used bool
}

func (w *writer[V]) at(t table[V], key string) map[string]V {
	if !w.used {
		w.used = true
		if t.shard != nil {
			w.next = *t.shard
		}
	}
	i := shardOf(key)
	if !w.own[i] {
		w.own[i] = true
		w.next[i] = maps.Clone(w.next[i])
		if w.next[i] == nil {
			w.next[i] = map[string]V{}
		}
	}
	return w.next[i]
}

func (w *writer[V]) table(t table[V]) table[V] {
	if !w.used {
		return t
	}
	next := w.next // a copy, so that a view does not keep its edit, and through it every earlier view
	return table[V]{shard: &next}
}

func shardOf(key string) uint64 { return maphash.String(seed, key) % shards }
