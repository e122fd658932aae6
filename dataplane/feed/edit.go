package feed

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/policy"
)

// edit builds the next view from rows.
type edit struct {
	next   View
	kinds  *kinds
	strict bool                       // rows came from outside: their policies are checked
	whole  func(policy.TenantID) bool // tenants whose rows are checked whole; nil: none
	judge  *judge                     // of what a restored control plane offers; nil: nothing to judge

	rows    writer[policy.Row]
	set     *policy.SetEdit
	tenants *policy.TableEdit[tenant]
	keys    *policy.TableEdit[apiKey]
	signed  *policy.TableEdit[*policy.TenantRow] // nil: unchanged

	topology bool         // a region or transfer basis changed
	used     []*kind      // of changed rows
	checks   []policy.Row // of those that trusted must see
}

func newEdit(from *View, k *kinds) *edit {
	return &edit{next: *from, kinds: k, set: from.Set.Edit(), tenants: from.tenants.Edit(), keys: from.keys.Edit()}
}

// current finds a row as edited so far; tenants are not among them.
func (e *edit) current(key string) (policy.Row, bool) {
	if e.rows.used {
		r, ok := e.rows.next[shardOf(key)][key]
		return r, ok
	}
	return e.next.rows.get(key)
}

// remove takes a row and what it brought out again.
func (e *edit) remove(key string) {
	if id, ok := strings.CutPrefix(key, "t/"); ok {
		e.removeTenant(policy.TenantID(id))
		return
	}
	old, ok := e.current(key)
	if !ok {
		return
	}
	delete(e.rows.at(e.next.rows, key), key)
	e.order(key, nil)
	switch {
	case old.Region != nil, old.Basis != nil:
		e.topology = true
	case old.Pair != nil:
		e.next.unsigned -= unsigned(old.Pair.Signers, old.Pair.Keys)
		for _, k := range old.Pair.Keys {
			if b, ok := policy.KindKey.Bits(string(k.ID)); ok {
				e.keys.Delete(b)
			}
		}
	}
}

func (e *edit) removeTenant(id policy.TenantID) {
	b, ok := policy.KindTenant.Bits(string(id))
	if !ok {
		return
	}
	old := e.tenants.Get(b)
	if old == nil {
		return
	}
	e.order("t/"+string(id), nil)
	old.keyIDs(e.keys.Delete)
	e.tenants.Delete(b)
	e.set.Remove(id)
	if row := e.signedRow(b); row != nil {
		e.next.unsigned -= unsigned((*row).Signers, (*row).Keys)
		e.signing().Delete(b)
	}
}

func (e *edit) signedRow(b policy.Bits) **policy.TenantRow {
	if e.signed != nil {
		return e.signed.Get(b)
	}
	return e.next.signed.Get(b)
}

// unsigned is how many keys do not count for want of a signature.
func unsigned(s *policy.Signers, keys []policy.APIKey) int { return len(keys) - len(s.Counting(keys)) }

func (e *edit) signing() *policy.TableEdit[*policy.TenantRow] {
	if e.signed == nil {
		e.signed = e.next.signed.Edit()
	}
	return e.signed
}

// put adds a row or replaces the one with its key.
func (e *edit) put(r policy.Row) error {
	if err := checkRow(r); err != nil {
		return err
	}
	key := r.RowKey()
	e.remove(key)
	if r.Tenant != nil {
		k, err := e.kindOf(r.Tenant)
		if err != nil {
			return err
		}
		return e.putTenant(r.Tenant, k)
	}
	e.rows.at(e.next.rows, key)[key] = r
	switch {
	case r.Region != nil, r.Basis != nil:
		e.topology = true
	case r.Pair != nil:
		e.order(key, r.Pair.Purge)
		e.next.unsigned += unsigned(r.Pair.Signers, r.Pair.Keys)
		return e.addKeys(r.Pair.Signers.Counting(r.Pair.Keys), func(k policy.APIKey) bool {
			return k.Tenant == r.Pair.Tenant && k.Recipient == r.Pair.Recipient && k.Role == policy.RoleRecipient
		})
	}
	return nil
}

// order notes the purge that a row orders, or that it orders none.
func (e *edit) order(key string, o *policy.PurgeOrder) {
	if _, had := e.next.orders[key]; !had && o == nil {
		return
	}
	next := make(map[string]*policy.PurgeOrder, len(e.next.orders)+1) // a copy: earlier views keep theirs
	maps.Copy(next, e.next.orders)
	if o == nil {
		delete(next, key)
	} else {
		next[key] = o
	}
	e.next.orders = next
}

// kindOf makes a kind; its policy must be such as an owner could have written.
func (e *edit) kindOf(t *policy.TenantRow) (*kind, error) {
	if e.strict && t.Policy != nil {
		if err := validApart(t.Policy); err != nil {
			return nil, fmt.Errorf("tenant %.40q: %w", t.ID, err)
		}
	}
	return kindOf(t), nil
}

// putTenant adds a tenant that is not there.
func (e *edit) putTenant(t *policy.TenantRow, k *kind) error {
	revision := uint64(0)
	if t.Policy != nil {
		revision = t.Policy.Revision
	}
	return e.putKind(t, k, revision)
}

func (e *edit) putKind(t *policy.TenantRow, k *kind, revision uint64) error {
	b, ok := policy.KindTenant.Bits(string(t.ID))
	if !ok {
		return errors.New("a tenant's id is malformed")
	}
	keys := t.Signers.Counting(t.Keys)
	text, slug, err := textOf(t.Slug, keys)
	if err != nil {
		return fmt.Errorf("tenant %s: %w", t.ID, err)
	}
	e.tenants.Put(b, tenant{kind: k, text: text, slug: slug})
	if k.terms != nil {
		e.set.Put(policy.Rules{Tenant: t.ID, Revision: revision, Terms: k.terms})
	}
	if t.Signers != nil {
		e.next.unsigned += unsigned(t.Signers, t.Keys)
		e.signing().Put(b, t)
	}
	e.order("t/"+string(t.ID), t.Purge)
	e.used = append(e.used, k)
	return e.addKeys(keys, func(k policy.APIKey) bool { return k.Tenant == t.ID && k.Role != policy.RoleRecipient })
}

// putBody is put for a row as it was shipped, and gives its key.
func (e *edit) putBody(body []byte) (key string, err error) {
	if w, ok := split(body); ok && (e.whole == nil || !e.whole(w.row.Tenant.ID)) {
		if done, err := e.putSplit(&w); err != nil || done {
			return w.row.RowKey(), err
		}
	}
	r, err := bundle.Decode(body)
	if err != nil {
		return "", err
	}
	r = e.judge.row(r)
	if r.Tenant == nil || r.Tenant.Signers != nil || (e.whole != nil && e.whole(r.Tenant.ID)) {
		e.checks = append(e.checks, r)
	}
	return r.RowKey(), e.put(r)
}

// putSplit is put for a tenant's row whose policy is apart; false when the row
// must be decoded whole.
func (e *edit) putSplit(w *wireTenant) (done bool, err error) {
	name, err := w.key()
	if err != nil {
		return false, err
	}
	k := e.kinds.find(name)
	if k == nil {
		if !w.whole() {
			return false, nil
		}
		if err := checkRow(w.row); err != nil {
			return false, err
		}
		if k, err = e.kindOf(w.row.Tenant); err != nil {
			return false, err
		}
		e.kinds.keep(name, k)
	}
	e.removeTenant(w.row.Tenant.ID)
	return true, e.putKind(w.row.Tenant, k, w.revision)
}

// copyTenant takes a tenant over from another view, in which its row is the same.
func (e *edit) copyTenant(from *View, id policy.TenantID) bool {
	b, ok := policy.KindTenant.Bits(string(id))
	if !ok || from.signed.Get(b) != nil || from.orders["t/"+string(id)] != nil {
		return false
	}
	t := from.tenants.Get(b)
	if t == nil {
		return false
	}
	e.removeTenant(id)
	e.tenants.Put(b, *t)
	if r, ok := from.Set.Rules(id); ok {
		e.set.Put(r)
	}
	t.keyIDs(func(b policy.Bits) { e.keys.Put(b, *from.keys.Get(b)) })
	return true
}

// addKeys adds the keys of a row, each of which must be its own: one of another tenant
// would count without that tenant's signature, which is asked for in its own row.
func (e *edit) addKeys(keys []policy.APIKey, own func(policy.APIKey) bool) error {
	for _, k := range keys {
		if !own(k) {
			return fmt.Errorf("key %.40q stands in a row that is not its own", k.ID)
		}
		id, key, err := apiKeyOf(k)
		if err != nil {
			return err
		}
		if e.keys.Get(id) != nil {
			return fmt.Errorf("key %s stands twice", k.ID)
		}
		e.keys.Put(id, key)
	}
	return nil
}

// finish compiles the tables and, when it changed, the topology, in which every
// changed policy must fit.
func (e *edit) finish(revision uint64) (*View, error) {
	v := e.next
	v.Revision = revision
	v.rows, v.Set, v.tenants, v.keys = e.rows.table(v.rows), e.set.Set(revision), e.tenants.Table(), e.keys.Table()
	if e.signed != nil {
		v.signed = e.signed.Table()
	}
	if e.topology || v.Topology == nil {
		var regions []policy.Region
		var bases []policy.TransferBasis
		for _, r := range v.rows.all() {
			if r.Region != nil {
				regions = append(regions, *r.Region)
			}
			if r.Basis != nil {
				bases = append(bases, *r.Basis)
			}
		}
		top, err := policy.NewTopology(regions)
		if err != nil {
			return nil, err
		}
		v.Topology = top.WithBases(bases)
	}
	for _, k := range e.used {
		if !e.strict {
			break
		}
		if err := k.fitsIn(v.Topology); err != nil {
			return nil, err
		}
	}
	return &v, nil
}

// checkRow refuses what no honest control plane sends.
func checkRow(r policy.Row) error {
	set := 0
	for _, have := range []bool{r.Region != nil, r.Tenant != nil, r.Pair != nil, r.Basis != nil, r.Features != nil, r.Node != nil} {
		if have {
			set++
		}
	}
	switch {
	case r.Format != policy.FormatVersion:
		return fmt.Errorf("row has format %d, want %d", r.Format, policy.FormatVersion)
	case set != 1:
		return fmt.Errorf("row holds %d things, want 1", set)
	case r.Basis != nil && !r.Basis.State.Valid():
		return fmt.Errorf("transfer basis has a state of no kind")
	case r.Tenant != nil && r.Tenant.Policy != nil && (r.Tenant.Policy.Tenant != r.Tenant.ID || r.Tenant.Policy.HomeRegion != r.Tenant.Home):
		return fmt.Errorf("tenant %.40q carries a policy of another tenant or home", r.Tenant.ID)
	case r.Tenant != nil && r.Tenant.Policy != nil && r.Tenant.Demands != 0:
		return fmt.Errorf("tenant %.40q carries a policy that is said to be left out", r.Tenant.ID)
	}
	return nil
}
