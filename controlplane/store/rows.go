package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// A region's bundle: its nodes that are more than declared, all regions and transfer bases, what the region itself can do, the tenants homed there with policy and keys,
// the tenants that moved away from it, and the inbound pairs of recipients that
// live in it. Nothing of a tenant reaches a region that has no part in it.

func tenantRow(t policy.TenantID) string {
	return policy.Row{Tenant: &policy.TenantRow{ID: t}}.RowKey()
}

func featureRow(r policy.RegionID) string {
	return policy.Row{Features: &policy.RegionFeatures{Region: r}}.RowKey()
}

func pairRow(t policy.TenantID, r policy.RecipientID) string {
	return policy.Row{Pair: &policy.InboundPair{Tenant: t, Recipient: r}}.RowKey()
}

// Rows calls fn with each row of a region's bundle, ordered by row key, all at
// the revision that it returns. fn must not call the store. An error of fn ends
// the walk and is returned.
func (s *Store) Rows(region policy.RegionID, fn func(policy.Row) error) (revision uint64, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if revision, _, err = load[uint64](tx, bucketMeta, metaRevision); err != nil {
			return err
		}
		for _, walk := range []func(*bolt.Tx, policy.RegionID, func(string) error) error{basisRows, featureRows, nodeRows, pairRows, regionRows, tenantRows} {
			if err := walk(tx, region, func(key string) error {
				row, err := rowAt(tx, region, key)
				if err != nil || row == nil {
					return err
				}
				return fn(*row)
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return revision, err
}

// The walks give row keys in order; "b/" < "f/" < "n/" < "p/" < "r/" < "t/".

func basisRows(tx *bolt.Tx, _ policy.RegionID, each func(string) error) error {
	return eachSuffix(tx, bucketBases, nil, func(s string) error { return each("b/" + s) })
}

func featureRows(_ *bolt.Tx, region policy.RegionID, each func(string) error) error {
	return each(featureRow(region))
}

func pairRows(tx *bolt.Tx, region policy.RegionID, each func(string) error) error {
	return eachSuffix(tx, bucketPairs, path(region, ""), func(s string) error { return each("p/" + s) })
}

func regionRows(tx *bolt.Tx, _ policy.RegionID, each func(string) error) error {
	return eachSuffix(tx, bucketRegions, nil, func(s string) error { return each("r/" + s) })
}

func tenantRows(tx *bolt.Tx, region policy.RegionID, each func(string) error) error {
	return eachSuffix(tx, bucketHomes, path(region, ""), func(s string) error { return each("t/" + s) })
}

func eachSuffix(tx *bolt.Tx, bucket, prefix []byte, each func(string) error) error {
	c := tx.Bucket(bucket).Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		if err := each(string(k[len(prefix):])); err != nil {
			return err
		}
	}
	return nil
}

// rowAt makes the row of one key as a region sees it; nil when it has none.
func rowAt(tx *bolt.Tx, region policy.RegionID, key string) (*policy.Row, error) {
	kind, id, _ := strings.Cut(key, "/")
	switch kind {
	case "n":
		return nodeRowAt(tx, region, policy.NodeID(id))
	case "r":
		r, ok, err := load[Region](tx, bucketRegions, []byte(id))
		if err != nil || !ok {
			return nil, err
		}
		return &policy.Row{Format: policy.FormatVersion, Region: &r.Region}, nil
	case "b":
		b, ok, err := load[Basis](tx, bucketBases, []byte(id))
		if err != nil || !ok {
			return nil, err
		}
		return &policy.Row{Format: policy.FormatVersion, Basis: &b.TransferBasis}, nil
	case "f":
		return featureRowAt(tx, region, policy.RegionID(id))
	case "t":
		return tenantRowAt(tx, region, policy.TenantID(id))
	case "p":
		tenant, recipient, _ := strings.Cut(id, "/")
		return pairRowAt(tx, region, policy.TenantID(tenant), policy.RecipientID(recipient))
	}
	return nil, fmt.Errorf("row key %q has no kind", key)
}

// featureRowAt: a region learns what it can do itself, and of no other.
func featureRowAt(tx *bolt.Tx, region, of policy.RegionID) (*policy.Row, error) {
	features, err := list[Feature](tx, bucketFeatures, path(region, ""), nil, -1, nil)
	if err != nil || of != region || len(features) == 0 {
		return nil, err
	}
	row := &policy.RegionFeatures{Region: region, Stages: make(map[policy.Feature]policy.Stage, len(features))}
	for _, f := range features {
		row.Stages[policy.Feature(f.Name)] = policy.Stage(f.Stage)
	}
	return &policy.Row{Format: policy.FormatVersion, Features: row}, nil
}

func tenantRowAt(tx *bolt.Tx, region policy.RegionID, id policy.TenantID) (*policy.Row, error) {
	if tx.Bucket(bucketHomes).Get(path(region, id)) == nil {
		return nil, nil
	}
	t, err := need[Tenant](tx, bucketTenants, []byte(id), "tenant")
	if err != nil {
		return nil, dangling(err)
	}
	home, err := need[Region](tx, bucketRegions, []byte(t.Home), "region")
	if err != nil {
		return nil, dangling(err)
	}
	row := &policy.TenantRow{ID: t.ID, Slug: t.Slug, State: t.State, Home: t.Home, HomeEpoch: t.HomeEpoch, HomeURL: home.BaseURL}
	if t.Purge != nil {
		row.HomeURL, row.Purge, row.Signers = "", &t.Purge.PurgeOrder, t.Purge.Signers
		return &policy.Row{Format: policy.FormatVersion, Tenant: row}, nil
	}
	if t.Home == region {
		p, err := need[Policy](tx, bucketPolicies, []byte(id), "policy")
		if err != nil {
			return nil, dangling(err)
		}
		row.Policy, row.Signers = &p.ResidencyPolicy, p.Signers
		if row.Keys, err = apiKeys(tx, id, func(k Key) bool { return k.Role != policy.RoleRecipient }); err != nil {
			return nil, err
		}
	}
	return &policy.Row{Format: policy.FormatVersion, Tenant: row}, nil
}

func pairRowAt(tx *bolt.Tx, region policy.RegionID, tenant policy.TenantID, id policy.RecipientID) (*policy.Row, error) {
	if tx.Bucket(bucketPairs).Get(pairKey(region, tenant, id)) == nil {
		return nil, nil
	}
	t, err := need[Tenant](tx, bucketTenants, []byte(tenant), "tenant")
	if err != nil {
		return nil, dangling(err)
	}
	if t.Purge != nil {
		return &policy.Row{Format: policy.FormatVersion, Pair: &policy.InboundPair{Tenant: tenant, Recipient: id, From: t.Home, State: t.State,
			Purge: &t.Purge.PurgeOrder, Signers: t.Purge.Signers}}, nil
	}
	p, err := need[Policy](tx, bucketPolicies, []byte(tenant), "policy")
	if err != nil {
		return nil, dangling(err)
	}
	r, ok := recipientOf(p, id)
	if !ok {
		return nil, fmt.Errorf("inbound pair of %s and %s has no recipient: %w", tenant, id, errCorrupt)
	}
	keys, err := apiKeys(tx, tenant, func(k Key) bool {
		return k.Role == policy.RoleRecipient && k.Recipient == id && k.Region == region
	})
	if err != nil {
		return nil, err
	}
	return &policy.Row{Format: policy.FormatVersion, Pair: &policy.InboundPair{
		Tenant: tenant, Recipient: id, From: p.HomeRegion, Purpose: r.Purpose, Transforms: r.Transforms,
		AllowListHash: policy.ExportSchemaHash(r.Transforms), Basis: p.Egress[policy.PseudonymisedExport].Basis,
		Revision: p.Revision, State: suspendedOnly(t.State), Keys: keys, Signers: p.Signers, MinAttestation: aboveDeclared(p.MinAttestation)}}, nil
}

// suspendedOnly leaves the usual state out of a row.
func suspendedOnly(s policy.TenantState) policy.TenantState {
	if s == policy.TenantActive {
		return ""
	}
	return s
}

// aboveDeclared leaves out the level that every node has.
func aboveDeclared(a policy.Attestation) policy.Attestation {
	if a <= policy.Declared {
		return 0
	}
	return a
}

// apiKeys lists a tenant's keys as nodes need them.
func apiKeys(tx *bolt.Tx, tenant policy.TenantID, keep func(Key) bool) ([]policy.APIKey, error) {
	keys, err := keysOf(tx, tenant, "", MaxKeys)
	if err != nil {
		return nil, dangling(err)
	}
	var out []policy.APIKey
	for _, k := range keys {
		if keep(k) {
			out = append(out, k.APIKey)
		}
	}
	return out, nil
}

// dangling turns NOT_FOUND behind an index into what it is: corruption.
func dangling(err error) error {
	if errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return fmt.Errorf("an index names what does not exist: %w", errCorrupt)
	}
	return err
}
