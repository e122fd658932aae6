package feed

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/policy"
)

// A control plane that was restored from a backup, or recovered from a lost
// quorum, may offer again what was taken back since: a revoked key, a looser
// policy, an open transfer basis. It says by its cluster epoch that this has
// happened. This node knows what it had, so when an epoch begins it keeps the
// tighter of both, tenant by tenant, and takes the rest. What it keeps is durable
// and ends when the control plane offers something that does not loosen it.

// maxRefusedKeys bounds what a node remembers: more keys were never revoked
// between a backup and its restore.
const maxRefusedKeys = 100_000

// guard is what a node keeps against a restored control plane. Once committed it
// is not changed.
type guard struct {
	Keys    map[policy.KeyID]policy.TenantID     `json:"keys"`    // were revoked: refused for ever
	Tenants map[policy.TenantID]policy.TenantRow `json:"tenants"` // what stays in force
	Bases   map[string]policy.TransferBasis      `json:"bases"`
	offered map[policy.KeyID]bool                // of Keys: the control plane lists it now
}

func newGuard() *guard {
	return &guard{Keys: map[policy.KeyID]policy.TenantID{}, Tenants: map[policy.TenantID]policy.TenantRow{}, Bases: map[string]policy.TransferBasis{}, offered: map[policy.KeyID]bool{}}
}

func (g *guard) clone() *guard {
	if g == nil {
		return newGuard()
	}
	return &guard{Keys: maps.Clone(g.Keys), Tenants: maps.Clone(g.Tenants), Bases: maps.Clone(g.Bases), offered: maps.Clone(g.offered)}
}

func (g *guard) empty() bool { return g == nil || len(g.Keys)+len(g.Tenants)+len(g.Bases) == 0 }

// with is everything that either of two guards keeps.
func (g *guard) with(other *guard) *guard {
	out := g.clone()
	if other != nil {
		maps.Copy(out.Keys, other.Keys)
		maps.Copy(out.Tenants, other.Tenants)
		maps.Copy(out.Bases, other.Bases)
	}
	return out
}

// judge holds the rows of one push against what this node had.
type judge struct {
	r      *replica
	old    *View // the last good bundle; nil while the cache is loaded
	raised bool  // the push begins a cluster epoch
	next   *guard
}

// judge makes the judge of a push; nil when there is nothing to judge.
func (r *replica) judge(revision uint64) *judge {
	j := &judge{r: r}
	if r.good != nil {
		j.old = r.good.view
		j.raised = policy.EpochOf(revision) > policy.EpochOf(j.old.Revision)
	}
	if !j.raised && r.guard.empty() {
		return nil
	}
	j.next = r.guard.clone()
	return j
}

// concerns reports whether a tenant's row must be seen whole.
func (j *judge) concerns(id policy.TenantID) bool {
	if j == nil {
		return false
	}
	if _, kept := j.next.Tenants[id]; kept || j.raised {
		return true
	}
	for _, t := range j.next.Keys {
		if t == id {
			return true
		}
	}
	return false
}

// row gives what is in force of an offered row.
func (j *judge) row(r policy.Row) policy.Row {
	switch {
	case j == nil:
	case r.Tenant != nil:
		t := j.tenant(*r.Tenant)
		r.Tenant = &t
	case r.Pair != nil:
		p := *r.Pair
		p.Keys = j.keys(p.Tenant, p.Keys)
		r.Pair = &p
	case r.Basis != nil:
		b := j.basis(*r.Basis)
		r.Basis = &b
	}
	return r
}

func (j *judge) tenant(t policy.TenantRow) policy.TenantRow {
	t.Keys = j.keys(t.ID, t.Keys)
	base, known := j.base(t.ID)
	if known && t.Demands != 0 { // the policy is withheld: nothing is decided by it, and the base goes on to hold
		j.next.Tenants[t.ID] = base
		return j.withheld(base, t)
	}
	if !known || j.tightEnough(base, t) {
		delete(j.next.Tenants, t.ID)
		return t
	}
	j.next.Tenants[t.ID] = base
	return inForce(j.r.expect.Cluster, base, t)
}

// withheld is what is in force of a tenant whose policy this node may not have. One
// that signs keeps what it has signed: it would be refused, and the bundle with it.
func (j *judge) withheld(base, offered policy.TenantRow) policy.TenantRow {
	if base.Signers == nil || j.tightEnough(base, offered) {
		return offered
	}
	out := inForce(j.r.expect.Cluster, base, offered)
	if !out.State.Ends() {
		out.Policy, out.Demands = nil, max(base.Demands, offered.Demands)
	}
	return out
}

// base is what an offered tenant is held against: what is kept already or, when
// an epoch begins, what the node had.
func (j *judge) base(id policy.TenantID) (policy.TenantRow, bool) {
	if kept, ok := j.next.Tenants[id]; ok {
		return kept, true
	}
	if !j.raised {
		return policy.TenantRow{}, false
	}
	return j.old.tenantRow(id)
}

// tightEnough reports whether an offered tenant loosens nothing of the base. For
// a tenant that signs, its signatures say so.
func (j *judge) tightEnough(base, offered policy.TenantRow) bool {
	if base.Signers != nil || offered.Signers != nil {
		had := &base
		if base.Signers == nil {
			had = nil // it has enrolled its first key since, and signed this very policy
		}
		return policy.VerifyRow(j.r.expect.Cluster, j.r.expect.Root, had, &offered) == nil
	}
	if standing(offered.State) < standing(base.State) {
		return false
	}
	if base.Policy == nil || offered.Policy == nil {
		return true // it lives elsewhere: nothing here acts on it
	}
	kind, _ := policy.Classify(base.Policy, offered.Policy)
	return kind != policy.Loosen
}

// standing ranks a tenant's states by how little they allow. What ends does not
// come back, whatever stage of its end a backup knew.
func standing(s policy.TenantState) int {
	switch {
	case s.Ends():
		return 2
	case s == policy.TenantSuspended:
		return 1
	}
	return 0
}

// inForce is the base with the keys that are offered; one that ends has none.
func inForce(cluster string, base, offered policy.TenantRow) policy.TenantRow {
	if base.State.Ends() {
		return base
	}
	out := base
	out.Keys, out.HomeURL = base.Signers.Keep(cluster, base.Keys, offered.Keys), offered.HomeURL
	if base.Signers == nil && base.State != policy.TenantSuspended {
		out.State = offered.State
	}
	return out
}

// keys takes out what was revoked. A key that was issued in an epoch that the
// node has seen, and that was not in the node's last bundle of it, had been
// revoked by then.
func (j *judge) keys(tenant policy.TenantID, offered []policy.APIKey) (out []policy.APIKey) {
	for id, t := range j.next.Keys {
		if t == tenant {
			delete(j.next.offered, id)
		}
	}
	for _, k := range offered {
		if _, refused := j.next.Keys[k.ID]; !refused && j.raised && max(1, k.Epoch) <= policy.EpochOf(j.old.Revision) {
			if !j.old.lists(k) {
				j.next.Keys[k.ID] = tenant
			}
		}
		if _, refused := j.next.Keys[k.ID]; refused {
			j.next.offered[k.ID] = true
			continue
		}
		out = append(out, k)
	}
	return out
}

func (j *judge) basis(b policy.TransferBasis) policy.TransferBasis {
	base, known := j.next.Bases[b.ID]
	if !known && j.raised {
		base, known = j.old.Topology.Basis(b.ID)
	}
	if !known || policy.VerifyBasis(j.r.expect.Cluster, j.r.expect.Root, &base, &b) == nil {
		delete(j.next.Bases, b.ID)
		return b
	}
	j.next.Bases[b.ID] = base
	return base
}

// putBack keeps what a whole snapshot has left out and must not: tenants that
// sign, and transfer bases.
func (j *judge) putBack(e *edit) error {
	if j == nil {
		return nil
	}
	if j.raised {
		for _, t := range j.old.signed.All() {
			if !e.holds((*t).ID) {
				j.next.Tenants[(*t).ID] = **t
			}
		}
		for _, b := range j.old.Topology.Bases() {
			if _, there := e.current(policy.Row{Basis: &b}.RowKey()); !there {
				j.next.Bases[b.ID] = b
			}
		}
	}
	for _, t := range j.next.Tenants {
		if t.Signers != nil && !e.holds(t.ID) {
			row := policy.Row{Format: policy.FormatVersion, Tenant: &t}
			e.checks = append(e.checks, row)
			if err := e.put(row); err != nil {
				return err
			}
		}
	}
	for _, b := range j.next.Bases {
		row := policy.Row{Format: policy.FormatVersion, Basis: &b}
		if _, there := e.current(row.RowKey()); !there {
			if err := e.put(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// result is the guard after the push; an error when it would not be bounded.
func (j *judge) result(before *guard) (*guard, error) {
	if j == nil {
		return before, nil
	}
	if len(j.next.Keys) > maxRefusedKeys {
		return nil, fmt.Errorf("more than %d keys that were revoked are offered again: the control plane was restored from a backup that is far too old", maxRefusedKeys)
	}
	return j.next, nil
}

// holds reports whether a tenant is in the edited view.
func (e *edit) holds(id policy.TenantID) bool {
	b, ok := policy.KindTenant.Bits(string(id))
	return ok && e.tenants.Get(b) != nil
}

// lists reports whether a key was in the bundle, counting or not.
func (v *View) lists(k policy.APIKey) bool {
	if _, ok := v.Key(k.ID); ok {
		return true
	}
	var keys []policy.APIKey
	if p, ok := v.Pair(k.Tenant, k.Recipient); ok {
		keys = p.Keys
	}
	if b, ok := policy.KindTenant.Bits(string(k.Tenant)); ok {
		if row := v.signed.Get(b); row != nil {
			keys = append(keys[:len(keys):len(keys)], (*row).Keys...)
		}
	}
	return slices.ContainsFunc(keys, func(have policy.APIKey) bool { return have.ID == k.ID })
}

// tenantRow is a tenant as it came, without its keys unless it signs.
func (v *View) tenantRow(id policy.TenantID) (policy.TenantRow, bool) {
	b, ok := policy.KindTenant.Bits(string(id))
	if !ok {
		return policy.TenantRow{}, false
	}
	if row := v.signed.Get(b); row != nil {
		return **row, true
	}
	t := v.tenants.Get(b)
	if t == nil {
		return policy.TenantRow{}, false
	}
	n := t.named(id)
	row := policy.TenantRow{ID: id, Slug: n.Slug, State: n.State, Home: n.Home, HomeEpoch: n.HomeEpoch, HomeURL: n.HomeURL, Purge: v.orders["t/"+string(id)]}
	if t.kind.policy != nil {
		p := *t.kind.policy
		p.Tenant = id
		if r, ok := v.Set.Rules(id); ok {
			p.Revision = r.Revision
		}
		row.Policy = &p
	}
	return row, true
}

// Kept is something that this node keeps although the control plane offers
// otherwise.
type Kept struct {
	What string // KEY, TENANT, BASIS
	ID   string
}

// kept lists what the control plane must know of, in order.
func (g *guard) kept() (out []Kept) {
	if g == nil {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(g.offered)) {
		out = append(out, Kept{"KEY", string(id)})
	}
	for _, id := range slices.Sorted(maps.Keys(g.Tenants)) {
		out = append(out, Kept{"TENANT", string(id)})
	}
	for _, id := range slices.Sorted(maps.Keys(g.Bases)) {
		out = append(out, Kept{"BASIS", id})
	}
	return out
}

var errGuard = errors.New("what this node keeps against a restored control plane cannot be read")
