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
// region is reached, and the first tokens that are configured, if any.
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
	for role, sum := range map[string]string{"operator": b.OperatorTokenSHA256, "security_officer": b.OfficerTokenSHA256} {
		if sum == "" {
			continue
		}
		principal, err := policy.NewID(policy.KindPrincipal, rand.Reader)
		if err != nil {
			return store.InitCluster{}, err
		}
		out.Tokens = append(out.Tokens, store.Token{SHA256: sum, Principal: principal, Scope: store.Scope{Role: role}})
	}
	return out, nil
}

func loadCatalogue(path string) (*regions.Catalogue, error) {
	if path == "" {
		return regions.Builtin()
	}
	return regions.Load(path)
}

// lookAgain is how often a voter looks whether its part of the bootstrap is done.
const lookAgain = time.Second

// bootstrap initialises an empty cluster as soon as this voter leads, and minds
// the one-time token until nothing is left to do. Voters that race see
// ALREADY_EXISTS, which is what they wanted.
func (p *Plane) bootstrap(ctx context.Context, first store.InitCluster, once *oneTime) {
	for {
		changed := p.replica.LeaderChanged()
		done, err := p.bootstrapStep(ctx, first, once)
		if err != nil {
			p.fail(err)
			return
		}
		if done {
			return
		}
		timer := time.NewTimer(lookAgain)
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

// bootstrapStep does what this voter can do now. An error stops the voter.
func (p *Plane) bootstrapStep(ctx context.Context, first store.InitCluster, once *oneTime) (done bool, err error) {
	_, err = p.store.Cluster()
	switch {
	case err == nil:
		return p.mindToken(ctx, once)
	case !errors.Is(err, &policy.Error{Reason: policy.NotFound}) || !p.replica.IsLeader():
		return false, nil
	}
	if len(first.Tokens) == 0 {
		b, err := once.draw(max(once.generation, 1), time.Now().UTC())
		if err != nil {
			return false, err
		}
		first.Bootstrap = &b
	}
	if err := p.settle(ctx, first); err != nil {
		return false, fmt.Errorf("initialise the cluster: %w", err)
	}
	return false, nil
}

// settle proposes a command of the bootstrap. What raced and lost, and what had
// no answer, is seen at the next step; any other refusal is an error.
func (p *Plane) settle(ctx context.Context, payload store.Payload) error {
	stamp := store.Stamp{Now: time.Now().UTC(), Actor: "bootstrap"}
	res, err := p.replica.Propose(ctx, store.Command{Stamp: stamp, Payload: payload})
	switch {
	case err != nil, res.Err != nil && res.Err.Reason == policy.AlreadyExists:
		return nil
	case res.Err != nil:
		return res.Err
	}
	if c, ok := payload.(store.InitCluster); ok {
		p.log.Info("a new cluster was initialised", "regions", len(c.Regions), "bootstrap_token", c.Bootstrap != nil)
	}
	return nil
}

// mindToken removes this voter's file of a token that is not the one, or was
// spent, and makes a new token where the configuration asks for one or the last
// expired unspent. It is done when the token is spent.
func (p *Plane) mindToken(ctx context.Context, once *oneTime) (done bool, err error) {
	now := time.Now().UTC()
	b, err := p.store.Bootstrap()
	if err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return false, nil
	}
	none := err != nil
	if none || b.Spent {
		if once.generation <= b.Generation {
			return true, once.remove()
		}
	} else if once.generation <= b.Generation && now.Before(b.ExpiresAt) {
		return false, once.keepOnly(b.SHA256)
	}
	if !p.replica.IsLeader() {
		return false, once.keepOnly(b.SHA256)
	}
	// One that this process proposed may be on its way; any other is of before.
	if err := once.keepOnly(once.drawn); err != nil {
		return false, err
	}
	next, err := once.draw(max(once.generation, b.Generation), now)
	if err != nil {
		return false, err
	}
	c, err := p.store.Cluster()
	if err != nil {
		return false, nil
	}
	if err := p.settle(ctx, store.RenewBootstrap{ClusterID: c.ID, Bootstrap: next}); err != nil {
		return false, fmt.Errorf("renew the bootstrap token: %w", err)
	}
	p.log.Info("a bootstrap token was written", "generation", next.Generation, "file", bootstrapFile)
	return false, nil
}
