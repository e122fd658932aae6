package feed

import (
	"fmt"

	"github.com/domicile-io/domicile/policy"
)

// edit builds the next view from rows.
type edit struct {
	next View

	rows  writer[policy.Row]
	keys  writer[policy.APIKey]
	slugs writer[policy.TenantID]

	compiled []*policy.Rules
	gone     []policy.TenantID
	regions  bool // a region or transfer basis changed
}

// current finds a row as edited so far.
func (e *edit) current(key string) (policy.Row, bool) {
	if e.rows.used {
		r, ok := e.rows.next[shardOf(key)][key]
		return r, ok
	}
	return e.next.rows.get(key)
}

// remove takes a row and what it brought out again.
func (e *edit) remove(key string) {
	old, ok := e.current(key)
	if !ok {
		return
	}
	delete(e.rows.at(e.next.rows, key), key)
	switch {
	case old.Region != nil, old.Basis != nil:
		e.regions = true
	case old.Tenant != nil:
		e.dropKeys(old.Tenant.Keys)
		slugs := e.slugs.at(e.next.slugs, string(old.Tenant.Slug))
		if slugs[string(old.Tenant.Slug)] == old.Tenant.ID {
			delete(slugs, string(old.Tenant.Slug))
		}
		e.gone = append(e.gone, old.Tenant.ID)
	case old.Pair != nil:
		e.dropKeys(old.Pair.Keys)
	}
}

// put adds a row or replaces the one with its key.
func (e *edit) put(r policy.Row) error {
	if err := checkRow(r); err != nil {
		return err
	}
	key := r.RowKey()
	e.remove(key)
	e.rows.at(e.next.rows, key)[key] = r
	switch {
	case r.Region != nil, r.Basis != nil:
		e.regions = true
	case r.Tenant != nil:
		return e.putTenant(r.Tenant)
	case r.Pair != nil:
		return e.addKeys(r.Pair.Keys)
	}
	return nil
}

func (e *edit) putTenant(t *policy.TenantRow) error {
	slug := string(t.Slug)
	slugs := e.slugs.at(e.next.slugs, slug)
	if other, taken := slugs[slug]; taken && other != t.ID {
		return fmt.Errorf("two tenants have one slug")
	}
	slugs[slug] = t.ID
	if t.Policy != nil {
		e.compiled = append(e.compiled, policy.Compile(t.Policy, t.State))
	}
	return e.addKeys(t.Keys)
}

func (e *edit) addKeys(keys []policy.APIKey) error {
	for _, k := range keys {
		m := e.keys.at(e.next.keys, string(k.ID))
		if _, twice := m[string(k.ID)]; twice {
			return fmt.Errorf("key %s stands twice", k.ID)
		}
		m[string(k.ID)] = k
	}
	return nil
}

func (e *edit) dropKeys(keys []policy.APIKey) {
	for _, k := range keys {
		delete(e.keys.at(e.next.keys, string(k.ID)), string(k.ID))
	}
}

// finish compiles the tables, the rules and, when it changed, the topology.
func (e *edit) finish(revision uint64) (*View, error) {
	v := e.next
	v.rows, v.keys, v.slugs = e.rows.table(v.rows), e.keys.table(v.keys), e.slugs.table(v.slugs)
	v.Set = v.Set.With(revision, e.compiled, e.gone)
	if e.regions || v.Topology == nil {
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
	return &v, nil
}

// checkRow refuses what no honest control plane sends.
func checkRow(r policy.Row) error {
	set := 0
	for _, have := range []bool{r.Region != nil, r.Tenant != nil, r.Pair != nil, r.Basis != nil, r.Features != nil} {
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
	}
	return nil
}
