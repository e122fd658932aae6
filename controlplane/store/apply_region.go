package store

import (
	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

func (e *entry) putRegion(p PutRegion) (any, error) {
	if f := checkRegion(p.Region); f != nil {
		return nil, f.refusal()
	}
	old, exists, err := load[Region](e.tx, bucketRegions, []byte(p.Region.ID))
	if err != nil {
		return nil, err
	}
	if exists {
		if err := checkRegionChange(p, old); err != nil {
			return nil, err
		}
		if old.Region == p.Region {
			return old, nil
		}
	} else if p.IfMatch != "" {
		return nil, policy.Errorf(policy.ETagMismatch, "the region does not exist: leave If-Match out to add it")
	}
	if err := e.checkTopology(p.Region); err != nil {
		return nil, err
	}
	e.changed = true
	r := Region{Region: p.Region, ETag: etagOf(e.revision())}
	e.touch(everyRegion, policy.Row{Region: &r.Region}.RowKey())
	if exists && old.BaseURL != r.BaseURL {
		e.log.Resync = true // every tenant row that names this region's URL changes
	}
	return r, e.put(bucketRegions, []byte(r.ID), r)
}

func checkRegionChange(p PutRegion, old Region) error {
	if err := match(p.IfMatch, old.ETag); err != nil {
		return err
	}
	switch {
	case p.Region.Boundary != old.Boundary:
		return invalid("boundary", "of a region never changes: add another region")
	case p.Region.Country != old.Country:
		return invalid("country", "of a region never changes: add another region")
	case p.Region.Lifecycle < old.Lifecycle:
		return invalid("lifecycle", "goes planned, active, draining, read_only, retired, and never back")
	}
	return nil
}

// checkTopology refuses a region that would leave some backup region wrong.
func (e *entry) checkTopology(r policy.Region) error {
	top, err := topologyOf(e.tx)
	if err != nil {
		return err
	}
	next := []policy.Region{r}
	for _, x := range top.Regions() {
		if x.ID != r.ID {
			next = append(next, x)
		}
	}
	if _, err := policy.NewTopology(next); err != nil {
		return invalid("backup_region", "%v", err)
	}
	return nil
}

// topologyOf reads the regions and transfer bases of a transaction.
func topologyOf(tx *bolt.Tx) (*policy.Topology, error) {
	stored, err := list[Region](tx, bucketRegions, nil, nil, -1, nil)
	if err != nil {
		return nil, err
	}
	regions := make([]policy.Region, 0, len(stored))
	for _, r := range stored {
		regions = append(regions, r.Region)
	}
	top, err := policy.NewTopology(regions)
	if err != nil {
		return nil, err
	}
	bases, err := list[Basis](tx, bucketBases, nil, nil, -1, nil)
	if err != nil {
		return nil, err
	}
	known := make([]policy.TransferBasis, 0, len(bases))
	for _, b := range bases {
		known = append(known, b.TransferBasis)
	}
	return top.WithBases(known), nil
}
