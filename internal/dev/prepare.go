package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/policy"
	"github.com/domicile-io/domicile/regions"
)

// Prepare locks the folder and makes or loads ports, keys and certificates, but
// runs nothing: for whoever starts the parts as processes of their own, with
// VoterConfig and RegionConfig. Those configurations seed both tokens; [Start]
// obtains them by the one-time token. Close lets go of the folder.
func Prepare(o Options) (*Environment, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	e := &Environment{opts: o, seeds: true, voters: map[string]*voter{}, nodes: map[string]*regionNode{}, failed: make(chan error, 16)}
	if e.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	if err := e.prepare(); err != nil {
		return nil, errors.Join(err, e.lock.release())
	}
	return e, nil
}

// VoterConfig is one voter's configuration.
func (e *Environment) VoterConfig(name string) controlplane.Config { return e.voterConfig(name) }

// RegionConfig is the configuration of one region's node.
func (e *Environment) RegionConfig(region string) (dataplane.Config, error) {
	for _, r := range e.places {
		if string(r.ID) == region {
			return e.nodeConfig(r), nil
		}
	}
	return dataplane.Config{}, fmt.Errorf("region %q is not part of this environment", region)
}

// SecondConfig is the configuration of a region's second node: an address and a
// folder of its own, the same region's certificate and name.
func (e *Environment) SecondConfig(region string) (dataplane.Config, error) {
	c, err := e.RegionConfig(region)
	if err != nil || !slices.Contains(e.opts.Second, region) {
		return c, errors.Join(err, fmt.Errorf("region %q has no second node in this environment", region))
	}
	name := SecondName(region)
	c.DataDir, c.TLS = filepath.Join(e.opts.Dir, name), e.pki.region[name]
	c.ListenAddress, c.IngestAddress = e.ports.address(name), e.ports.address(name+"-ingest")
	c.PeerAddress, c.OpsAddress = e.ports.address(name+"-peer"), e.ports.address(name+"-ops")
	return c, nil
}

// SecondName is what the second node of a region is called.
func SecondName(region string) string { return region + "-2" }

// prepare makes or loads what must be there before anything runs.
func (e *Environment) prepare() error {
	if err := os.Remove(e.opts.EnvFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the env file of an earlier start: %w", err)
	}
	catalogue, err := regions.Builtin()
	if err != nil {
		return err
	}
	for _, r := range catalogue.Regions {
		if r.Lifecycle == policy.Active {
			e.places = append(e.places, r)
		}
	}
	if e.ports, err = openPorts(e.opts.Dir, e.listeners()); err != nil {
		return err
	}
	if err := e.packProvider(); err != nil {
		return err
	}
	e.pki, err = openPKI(filepath.Join(e.opts.Dir, "pki"), e.Voters(), e.Regions(), e.opts.Second)
	return err
}
