package dev

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/domicile-io/domicile/api/client"
)

// waitReady waits until every part says that it can serve.
func (e *Environment) waitReady(ctx context.Context) error {
	var all errgroup.Group
	for _, p := range e.parts() {
		all.Go(func() error { return waitFor(ctx, p.name, p.ready) })
	}
	return all.Wait()
}

// operator is a client for the first voter, with the operator's token.
func (e *Environment) operator() (cp *client.Control, done func(), err error) {
	return e.as(e.Token())
}

// publishURLs corrects where the control plane says that regions are, after
// somebody gave one another port.
func (e *Environment) publishURLs(ctx context.Context) error {
	cp, done, err := e.operator()
	if err != nil {
		return err
	}
	defer done()
	for _, name := range e.Regions() {
		r, err := cp.RegionInfo(ctx, name)
		if err != nil {
			return fmt.Errorf("read the address of %s: %w", name, err)
		}
		if r.GetBaseUrl() == e.RegionURL(name) {
			continue
		}
		etag := r.GetEtag()
		r.BaseUrl, r.Etag = e.RegionURL(name), ""
		if _, err := cp.PutRegion(ctx, r, etag); err != nil {
			return fmt.Errorf("correct the address of %s: %w", name, err)
		}
	}
	return nil
}

// waitConnected waits until the control plane hears of a node in each region: a
// node that was here before serves from its last bundle sooner than that.
func (e *Environment) waitConnected(ctx context.Context) error {
	cp, done, err := e.operator()
	if err != nil {
		return err
	}
	defer done()
	return waitFor(ctx, "the control plane", func() error {
		nodes, err := cp.Nodes(ctx, "", "")
		if err != nil {
			return err
		}
		connected := map[string]bool{}
		for _, n := range nodes {
			connected[n.GetRegion()] = connected[n.GetRegion()] || n.GetConnected()
		}
		for _, r := range e.Regions() {
			if !connected[r] {
				return fmt.Errorf("region %s is not connected", r)
			}
		}
		return nil
	})
}

type part struct {
	name  string
	ready func() error
}

func (e *Environment) parts() []part {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []part
	for name, v := range e.voters {
		all = append(all, part{"voter " + name, v.plane.Ready})
	}
	for name, n := range e.nodes {
		all = append(all, part{"region " + name, n.node.Ready})
	}
	return all
}

// waitFor asks until ready answers nil; at the end of ctx it gives the last answer.
func waitFor(ctx context.Context, name string, ready func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%w)", name, err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
