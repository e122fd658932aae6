package feed

import (
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"strings"

	"github.com/domicile-io/domicile/policy"
)

// View is one bundle, ready to be asked. It is immutable; nothing that it
// returns may be changed.
//
// It is made for a million tenants of which most have equal policies: what they
// have in common is kept once (kind), and each takes its id, its slug, its keys'
// hashes and a pointer.
type View struct {
	Revision uint64
	Set      *policy.Set      // compiled rules of tenants homed here
	Topology *policy.Topology // every region and transfer basis

	rows    table[policy.Row]               // of every kind but tenants, by row key
	tenants policy.Table[tenant]            // by the bits of their ids
	keys    policy.Table[apiKey]            // by the bits of their ids
	signed  policy.Table[*policy.TenantRow] // whole rows of tenants that sign

	unsigned int // keys that do not count because their tenant has not signed them

	orders map[string]*policy.PurgeOrder // by the key of the row that gives it; few, and never changed in place
}

// Tenant is a tenant as a node needs it once its policy is compiled.
type Tenant struct {
	ID        policy.TenantID
	Slug      policy.Slug
	State     policy.TenantState
	Home      policy.RegionID
	HomeEpoch uint64
	HomeURL   string // where it went, when that is known
}

// NewView makes a view of whole bundle rows.
func NewView(revision uint64, rows []policy.Row) (*View, error) {
	return (&View{}).With(revision, rows, nil)
}

// Tenant finds a tenant that is homed here or moved away from here.
func (v *View) Tenant(id policy.TenantID) (Tenant, bool) {
	b, ok := policy.KindTenant.Bits(string(id))
	if !ok {
		return Tenant{}, false
	}
	t := v.tenants.Get(b)
	if t == nil {
		return Tenant{}, false
	}
	return t.named(id), true
}

// Key finds an API key: a tenant's or, with role recipient, an inbound pair's.
func (v *View) Key(id policy.KeyID) (policy.APIKey, bool) {
	b, ok := policy.KindKey.Bits(string(id))
	if !ok {
		return policy.APIKey{}, false
	}
	k := v.keys.Get(b)
	if k == nil {
		return policy.APIKey{}, false
	}
	return k.named(id), true
}

// Unsigned is how many API keys do not count because their tenant, which signs
// keys, has not signed them; 0 of no view.
func (v *View) Unsigned() int {
	if v == nil {
		return 0
	}
	return v.unsigned
}

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

// Node finds what the control plane says of a node of this region; nil when it
// is no more than declared.
func (v *View) Node(id policy.NodeID) *policy.NodeRow {
	row, _ := v.rows.get("n/" + string(id))
	return row.Node
}

// Orders are the purges that this region must have carried out, those of long
// ago included, by tenant.
func (v *View) Orders() map[policy.TenantID]*policy.PurgeOrder {
	out := make(map[policy.TenantID]*policy.PurgeOrder, len(v.orders))
	for key, order := range v.orders { // t/TN… or p/TN…/RP…
		id, _, _ := strings.Cut(key[len("t/"):], "/")
		out[policy.TenantID(id)] = order
	}
	return out
}

// Tenants yields every tenant, in no order.
func (v *View) Tenants() iter.Seq[Tenant] {
	return func(yield func(Tenant) bool) {
		for id, t := range v.tenants.All() {
			if !yield(t.named(policy.TenantID(policy.KindTenant.Of(id)))) {
				return
			}
		}
	}
}

// Signers are the keys of a tenant whose row is here and that signs; nil else.
func (v *View) Signers(id policy.TenantID) *policy.Signers {
	if b, ok := policy.KindTenant.Bits(string(id)); ok {
		if row := v.signed.Get(b); row != nil {
			return (*row).Signers
		}
	}
	return nil
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
	e := newEdit(v, newKinds())
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

// at is the view at a later revision, at which nothing of it changed.
func (v *View) at(revision uint64) *View {
	next := *v
	next.Revision, next.Set = revision, v.Set.At(revision)
	return &next
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
