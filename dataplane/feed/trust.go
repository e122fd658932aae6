package feed

import (
	"fmt"
	"slices"
	"strings"

	"github.com/domicile-io/domicile/policy"
)

// The seal of a bundle says that a control plane stands behind it. For a
// tenant that has enrolled a signing key that is not enough: whoever stole the
// quorum, or one voter and the bundle key, could seal anything. Such a tenant's
// rows are held against the pinned root and against what this node had before,
// which survives restarts in the cache.

// trusted checks the rows of tenants that sign. gone are the rows that the
// push may take away.
func (r *replica) trusted(next *View, rows []policy.Row, gone []string) error {
	for _, row := range rows {
		if row.Basis != nil {
			if err := policy.VerifyBasis(r.expect.Cluster, r.expect.Root, r.hadBasis(row.Basis.ID), row.Basis); err != nil {
				return err
			}
		}
		if row.Tenant == nil {
			continue
		}
		if row.Tenant.Signers == nil && slices.Contains(r.signing, row.Tenant.ID) {
			return fmt.Errorf("tenant %s: its signing keys were left out, and the configuration says that it signs", row.Tenant.ID)
		}
		if err := policy.VerifyRow(r.expect.Cluster, r.expect.Root, r.had(row.RowKey()), row.Tenant); err != nil {
			return fmt.Errorf("tenant %s: %w", row.Tenant.ID, err)
		}
	}
	for _, key := range gone {
		if id, ok := strings.CutPrefix(key, "b/"); ok && r.hadBasis(id) != nil {
			if _, stays := next.Topology.Basis(id); !stays { // it would come back as one that the cluster began with
				return fmt.Errorf("transfer basis %s was left out", id)
			}
		}
		old := r.had(key)
		if old == nil {
			continue
		}
		if _, stays := next.Tenant(old.ID); stays {
			continue
		}
		if err := policy.VerifyRow(r.expect.Cluster, r.expect.Root, old, nil); err != nil {
			return fmt.Errorf("tenant %s: %w", old.ID, err)
		}
	}
	return nil
}

// hadBasis is a transfer basis in the last good bundle; nil without one.
func (r *replica) hadBasis(id string) *policy.TransferBasis {
	if r.good == nil {
		return nil
	}
	if b, ok := r.good.view.Topology.Basis(id); ok {
		return &b
	}
	return nil
}

// had is the row of a tenant that signs in the last good bundle; nil without
// one. Of the others nothing is held against what comes.
func (r *replica) had(key string) *policy.TenantRow {
	if r.good == nil {
		return nil
	}
	id, _ := strings.CutPrefix(key, "t/")
	b, ok := policy.KindTenant.Bits(id)
	if !ok {
		return nil
	}
	if row := r.good.view.signed.Get(b); row != nil {
		return *row
	}
	return nil
}

// everyTenant lists the rows of tenants that sign and of transfer bases in the last good bundle: a snapshot may
// leave out any of them.
func (r *replica) everyTenant() (keys []string) {
	if r.good == nil {
		return nil
	}
	for _, b := range r.good.view.Topology.Bases() {
		keys = append(keys, policy.Row{Basis: &b}.RowKey())
	}
	for _, t := range r.good.view.signed.All() {
		keys = append(keys, policy.Row{Tenant: *t}.RowKey())
	}
	return keys
}
