package dev

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/domicile-io/domicile/controlplane"
)

// voter is one running voter.
type voter struct {
	plane *controlplane.Plane
	log   *logFile
	ended chan struct{} // closed when watch has seen the end
	asked chan struct{} // closed when we ask it to stop
}

// StartVoter starts a voter that is not running; it returns when its listeners are bound.
func (e *Environment) StartVoter(ctx context.Context, name string) error {
	log, err := openLog(e.opts.Dir, name)
	if err != nil {
		return err
	}
	plane, err := controlplane.Open(ctx, e.voterConfig(name), controlplane.Options{Logger: log.logger})
	if err != nil {
		return errors.Join(fmt.Errorf("start voter %s: %w", name, err), log.close())
	}
	v := &voter{plane: plane, log: log, ended: make(chan struct{}), asked: make(chan struct{})}
	e.mu.Lock()
	e.voters[name] = v
	e.mu.Unlock()
	go func() {
		defer close(v.ended)
		select {
		case <-plane.Done():
			e.failed <- fmt.Errorf("voter %s ended by itself: %w; its log is %s", name, plane.Err(), log.path)
		case <-v.asked:
		}
	}()
	return nil
}

func (e *Environment) voterConfig(name string) controlplane.Config {
	c := controlplane.Config{
		Name: name, DataDir: filepath.Join(e.opts.Dir, "controlplane", name),
		TLS: e.pki.control[name], GatewayTLS: e.pki.gateway[name],
		RESTAddress: e.ports.address(name + "-rest"), GRPCAddress: e.ports.address(name + "-grpc"),
		RaftAddress: e.ports.address(name + "-raft"), OpsAddress: e.ports.address(name + "-ops"),
		BundleKey: e.pki.bundleKey, BundleKeyCertificate: e.pki.bundleCert, RootPublicKey: hex.EncodeToString(e.pki.rootPublic),
		TerraformMirror: e.mirror,
		Bootstrap:       &controlplane.Bootstrap{BaseURLs: e.baseURLs(), Generation: e.pki.generation},
	}
	if e.seeds {
		c.Bootstrap.OperatorTokenSHA256, c.Bootstrap.OfficerTokenSHA256, c.Bootstrap.Generation = hashOf(e.pki.token), hashOf(e.pki.officer), 0
	}
	for _, v := range voterNames {
		c.Voters = append(c.Voters, controlplane.Voter{Name: v, RaftAddress: e.ports.address(v + "-raft"), GRPCAddress: e.ports.address(v + "-grpc")})
	}
	return c
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func (e *Environment) baseURLs() map[string]string {
	urls := map[string]string{}
	for _, r := range e.Regions() {
		urls[r] = e.RegionURL(r)
	}
	return urls
}

// StopVoter stops one voter; its data stays and StartVoter brings it back.
func (e *Environment) StopVoter(ctx context.Context, name string) error {
	e.mu.Lock()
	v := e.voters[name]
	delete(e.voters, name)
	e.mu.Unlock()
	if v == nil {
		return fmt.Errorf("voter %s is not running", name)
	}
	close(v.asked)
	<-v.ended
	if err := errors.Join(v.plane.Close(ctx), v.log.close()); err != nil {
		return fmt.Errorf("stop voter %s: %w", name, err)
	}
	return nil
}

// StopControlPlane stops every voter that runs.
func (e *Environment) StopControlPlane(ctx context.Context) error {
	var all errgroup.Group
	for _, name := range e.running() {
		all.Go(func() error { return e.StopVoter(ctx, name) })
	}
	return all.Wait()
}

// StartControlPlane starts every voter that does not run and waits until they are
// ready and hear of a node in each region.
func (e *Environment) StartControlPlane(ctx context.Context) error {
	if err := e.startVoters(ctx); err != nil {
		return err
	}
	return e.waitConnected(ctx)
}

// startVoters starts every voter that does not run and waits until all are ready.
func (e *Environment) startVoters(ctx context.Context) error {
	runs := map[string]bool{}
	for _, name := range e.running() {
		runs[name] = true
	}
	var all errgroup.Group
	for _, name := range voterNames {
		if !runs[name] {
			all.Go(func() error { return e.StartVoter(ctx, name) })
		}
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return e.waitReady(ctx)
}

func (e *Environment) running() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, name := range voterNames {
		if e.voters[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// Leader names the voter that leads, or "" while none does.
func (e *Environment) Leader() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, v := range e.voters {
		if v.plane.Status().Leader {
			return name
		}
	}
	return ""
}
