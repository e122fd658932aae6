package store

import (
	"fmt"

	"github.com/domicile-io/domicile/policy"
)

func (e *entry) initCluster(p InitCluster) (any, error) {
	if have, ok, err := load[Cluster](e.tx, bucketMeta, metaCluster); err != nil {
		return nil, err
	} else if ok {
		return nil, policy.Errorf(policy.AlreadyExists, "the cluster is already set up").With("cluster", have.ID)
	}
	if !policy.ValidID(policy.KindCluster, p.ClusterID) {
		return nil, invalid("cluster_id", "must be CL and 32 hex digits")
	}
	if _, err := policy.NewTopology(p.Regions); err != nil {
		return nil, invalid("regions", "%v", err)
	}
	e.changed = true
	cluster := Cluster{ID: p.ClusterID, CreatedAt: e.stamp.Now}
	if err := e.put(bucketMeta, metaCluster, cluster); err != nil {
		return nil, err
	}
	for i, r := range p.Regions {
		if err := checkRegion(r); err != nil {
			return nil, err.within(fmt.Sprintf("regions[%d]", i))
		}
		if err := e.put(bucketRegions, []byte(r.ID), Region{Region: r, ETag: etagOf(e.revision())}); err != nil {
			return nil, err
		}
		e.touch(everyRegion, policy.Row{Region: &r}.RowKey())
	}
	return cluster, e.seed(p)
}

// seed stages the tables of features, entities and bases, and the first tokens.
func (e *entry) seed(p InitCluster) error {
	for i, f := range p.Features {
		if _, err := policy.ParseRegionID(string(f.Region)); err != nil {
			return invalid(fmt.Sprintf("features[%d].region", i), "%v", err)
		}
		if bad := checkFeature(f); bad != nil {
			return bad.within(fmt.Sprintf("features[%d]", i))
		}
		f.ETag = etagOf(e.revision())
		e.touch(f.Region, featureRow(f.Region))
		if err := e.put(bucketFeatures, path(f.Region, f.Name), f); err != nil {
			return err
		}
	}
	for i, x := range p.Entities {
		if _, err := policy.ParseEntityCode(x.Code); err != nil || !countryPattern.MatchString(x.Country) {
			return invalid(fmt.Sprintf("entities[%d]", i), "must have a country of two capitals and an entity code")
		}
		x.ETag = etagOf(e.revision())
		if err := e.put(bucketEntities, []byte(x.Country), x); err != nil {
			return err
		}
	}
	for i, b := range p.Bases {
		if bad := checkBasis(b.TransferBasis); bad != nil {
			return bad.within(fmt.Sprintf("bases[%d]", i))
		}
		b.ETag, b.DrilledAt = etagOf(e.revision()), nil
		e.touch(everyRegion, policy.Row{Basis: &b.TransferBasis}.RowKey())
		if err := e.put(bucketBases, []byte(b.ID), b); err != nil {
			return err
		}
	}
	for i, t := range p.Tokens {
		if err := checkToken(t); err != nil {
			return err.within(fmt.Sprintf("tokens[%d]", i))
		}
		if _, err := e.storeToken(t); err != nil {
			return err
		}
	}
	if p.Bootstrap == nil {
		return nil
	}
	if f := e.checkBootstrap(*p.Bootstrap); f != nil {
		return f.within("bootstrap")
	}
	return e.put(bucketMeta, metaBootstrap, *p.Bootstrap)
}
