// Package dev runs a whole Domicile in one process, for a person's first hour,
// for demonstrations and for tests: a control plane of three voters and one
// node in each active region of the built-in catalogue, over real listeners,
// real TLS and real files.
//
// Everything lives in one folder and survives restarts:
//
//	DIR/lock              held while a process runs it
//	DIR/ports.json        the ports of the first start, kept
//	DIR/pki               authority, operator root, bundle key, tokens of an operator and a security officer (0600)
//	DIR/controlplane/cp1  Raft log, snapshots and state of one voter; also cp2, cp3
//	DIR/ie1               everything of one region's node; also au1, us1
//	DIR/logs              one JSON log per part
//	DIR/terraform         the Terraform provider's archive, where there is one
//	DIR/terraformrc       where terraform finds it
//	DIR/env               addresses, authority and token as KEY=value lines
//
// One process holds all regions here, so the isolation that separate processes
// and machines give is not shown by it; everything that crosses between parts
// still crosses the network, and is checked there.
package dev

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/domicile-io/domicile/policy"
)

// Defaults of Options.
const (
	DefaultDir            = ".domicile"
	DefaultExportInterval = time.Second
	DefaultExportWindow   = 10 * time.Second
)

const (
	startLimit = 60 * time.Second // for everything to be ready
	stopLimit  = 15 * time.Second // for requests in flight at the end
)

// voterNames are the three voters; their order is that of their ports.
var voterNames = []string{"cp1", "cp2", "cp3"}

// Options of Start. The zero value works in DefaultDir.
type Options struct {
	Dir            string
	EnvFile        string        // "" DIR/env
	ExportInterval time.Duration // 0: DefaultExportInterval
	ExportWindow   time.Duration // 0: DefaultExportWindow

	TerraformProvider string // program that the voters serve to `terraform init`; "" none

	// Second names regions that have a second node, called REGION-2, which shares
	// the region's database. It is for Prepare: in one process each region has one.
	Second []string
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, fmt.Errorf("find the data folder: %w", err)
	}
	if o.EnvFile == "" {
		o.EnvFile = filepath.Join(o.Dir, "env")
	}
	if o.ExportInterval == 0 {
		o.ExportInterval = DefaultExportInterval
	}
	if o.ExportWindow == 0 {
		o.ExportWindow = DefaultExportWindow
	}
	return o, nil
}

// Environment is a running Domicile. Its methods may be called concurrently.
type Environment struct {
	opts   Options
	lock   *dirLock
	ports  ports
	pki    *pki
	places []policy.Region // active regions, by id
	mirror string          // folder of the Terraform provider's archive; "" none
	seeds  bool            // the voters' configuration holds the hashes of both tokens, for who starts them as processes

	credentials Credentials

	mu     sync.Mutex
	voters map[string]*voter
	nodes  map[string]*regionNode
	failed chan error
}

// Start opens everything and returns when all of it is ready and the env file
// is written. On an error everything that was started is stopped again.
func Start(ctx context.Context, o Options) (*Environment, error) {
	e, err := Prepare(o)
	if err != nil {
		return nil, err
	}
	e.seeds = false
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Environment) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var all errgroup.Group
	for _, name := range voterNames {
		all.Go(func() error { return e.StartVoter(ctx, name) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for _, r := range e.places {
		all.Go(func() error { return e.startRegion(ctx, r) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	if err := e.waitReady(ctx); err != nil {
		return err
	}
	if err := e.obtain(ctx); err != nil {
		return err
	}
	if err := e.waitConnected(ctx); err != nil {
		return err
	}
	if err := e.publishURLs(ctx); err != nil {
		return err
	}
	if err := e.writeTerraformRC(); err != nil {
		return err
	}
	return writeEnvFile(e.opts.EnvFile, e.Variables())
}

// Failed delivers the error of a part that ended without being asked to.
func (e *Environment) Failed() <-chan error { return e.failed }

// Close stops regions first, so that they part from a control plane that still
// answers, then the voters, and lets go of the folder.
func (e *Environment) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	e.mu.Lock()
	nodes := e.nodes
	e.nodes = map[string]*regionNode{}
	e.mu.Unlock()
	var all errgroup.Group
	for name, n := range nodes {
		all.Go(func() error { return n.close(ctx, name) })
	}
	err := errors.Join(all.Wait(), e.StopControlPlane(ctx))
	return errors.Join(err, e.lock.release())
}
