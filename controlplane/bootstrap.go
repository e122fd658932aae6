package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
	"github.com/domicile-io/domicile/regions"
)

// seed makes the first command of a new cluster: the catalogue, where each
// region is reached, and the first operator.
func seed(b Bootstrap, cluster string) (store.InitCluster, error) {
	catalogue, err := loadCatalogue(b.Catalogue)
	if err != nil {
		return store.InitCluster{}, err
	}
	out := store.InitCluster{ClusterID: cluster}
	unused := make(map[string]string, len(b.BaseURLs))
	for r, u := range b.BaseURLs {
		unused[r] = u
	}
	for _, r := range catalogue.Regions {
		if u, ok := unused[string(r.ID)]; ok {
			r.BaseURL = u
			delete(unused, string(r.ID))
		}
		out.Regions = append(out.Regions, r)
		for _, name := range regions.FeatureNames() {
			out.Features = append(out.Features, store.Feature{Region: r.ID, Name: name, Stage: catalogue.Features[r.ID][name]})
		}
	}
	for r := range unused {
		return store.InitCluster{}, fmt.Errorf("bootstrap.base_urls names region %.8q, which the catalogue does not hold", r)
	}
	for _, e := range catalogue.Entities {
		out.Entities = append(out.Entities, store.Entity{Country: e.BillingCountry, Code: e.Code, SuggestedRegion: e.SuggestedRegion})
	}
	for _, x := range catalogue.Bases {
		out.Bases = append(out.Bases, store.Basis{TransferBasis: policy.TransferBasis{ID: x.ID, State: policy.BasisState(x.State), ExpiresAt: x.ExpiresAt}})
	}
	principal, err := policy.NewID(policy.KindPrincipal, rand.Reader)
	if err != nil {
		return store.InitCluster{}, err
	}
	out.Tokens = []store.Token{{SHA256: b.OperatorTokenSHA256, Principal: principal, Role: "operator"}}
	return out, nil
}

func loadCatalogue(path string) (*regions.Catalogue, error) {
	if path == "" {
		return regions.Builtin()
	}
	return regions.Load(path)
}

// bootstrap initialises an empty cluster as soon as this voter leads. Voters
// that race see ALREADY_EXISTS, which is what they wanted.
func (p *Plane) bootstrap(ctx context.Context, first store.InitCluster) {
	for {
		changed := p.replica.LeaderChanged()
		if _, err := p.store.Cluster(); err == nil {
			return
		}
		retry := time.Second
		if p.replica.IsLeader() {
			stamp := store.Stamp{Now: time.Now().UTC(), Actor: "bootstrap"}
			res, err := p.replica.Propose(ctx, store.Command{Stamp: stamp, Payload: first})
			switch {
			case err == nil && res.Err == nil:
				p.log.Info("a new cluster was initialised", "regions", len(first.Regions))
				return
			case err == nil && errors.Is(res.Err, &policy.Error{Reason: policy.AlreadyExists}):
				return
			case err == nil:
				p.fail(fmt.Errorf("initialise the cluster: %w", res.Err))
				return
			}
			retry = 100 * time.Millisecond
		}
		timer := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}
