// Package testcluster runs a whole Domicile as separate processes of the real
// binaries: three voters, and one data-plane node in each active region. It is
// for system tests and the benchmark; only there are processes killed.
package testcluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
)

// startLimit bounds the start of everything on a slow, busy machine.
const startLimit = 90 * time.Second

// Options of Open.
type Options struct {
	Dir            string // of data, configurations and logs
	Bin            string // of binaries, from Build
	ExportInterval time.Duration
	ExportWindow   time.Duration
	// EditRegion changes a region's configuration before it is written; nil changes nothing.
	EditRegion func(env *dev.Environment, c *dataplane.Config) error
	// EditVoter does the same for a voter.
	EditVoter func(env *dev.Environment, c *controlplane.Config) error
	Only      Part // what runs; "" everything
	// Second names regions that have a second node, called REGION-2. EditRegion makes
	// both share a database.
	Second  []string
	Regions []string // whose nodes run; nil: all
}

// Part of the system.
type Part string

// ControlPlane alone: no region's node is started.
const ControlPlane Part = "control plane"

// Cluster is a running system of processes. Close ends them all.
type Cluster struct {
	Env   *dev.Environment // prepared, running nothing itself
	http  *http.Client
	procs map[string]*Process
	nodes []string // second nodes of regions
}

// Build compiles the two servers into dir, with the race detector when the tests are.
func Build(ctx context.Context, dir string, flags ...string) error {
	return build(ctx, append(flags, "-o", dir+string(filepath.Separator), "./cmd/domicile-controlplane", "./cmd/domicile-dataplane")...)
}

// BuildAndRun is a TestMain: it builds the servers into a folder of their own,
// names that in bin, runs the tests, and removes it. It gives the exit code.
// flags are for the compiler: "-tags", "failpoints".
func BuildAndRun(bin *string, run func() int, flags ...string) int {
	dir, err := os.MkdirTemp("", "domicile-bin")
	if err == nil {
		defer os.RemoveAll(dir)
		err = Build(context.Background(), dir, flags...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*bin = dir
	return run()
}

// BuildVoter compiles a voter that says it speaks another protocol version, into
// the file program: the release before or after, as far as upgrades are concerned.
func BuildVoter(ctx context.Context, program string, version int) error {
	return build(ctx, "-ldflags", fmt.Sprintf("-X github.com/domicile-io/domicile/controlplane.protocolVersion=%d", version), "-o", program, "./cmd/domicile-controlplane")
}

func build(ctx context.Context, args ...string) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	run := exec.CommandContext(ctx, "go", append(append([]string{"build"}, RaceFlags()...), args...)...)
	run.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	if out, err := run.CombinedOutput(); err != nil {
		return fmt.Errorf("build the servers: %w\n%s", err, out)
	}
	return nil
}

// Open starts every process and waits until all are ready.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	env, err := dev.Prepare(dev.Options{Dir: o.Dir, ExportInterval: o.ExportInterval, ExportWindow: o.ExportWindow, Second: o.Second})
	if err != nil {
		return nil, err
	}
	c := &Cluster{Env: env, procs: map[string]*Process{}}
	if c.http, err = client.NewHTTP(client.HTTPOptions{CAFile: env.CAFile()}); err != nil {
		return nil, errors.Join(err, env.Close())
	}
	if err := c.plan(o); err != nil {
		return nil, errors.Join(err, env.Close())
	}
	if err := c.startAll(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) plan(o Options) error {
	for _, v := range c.Env.Voters() {
		config := c.Env.VoterConfig(v)
		if o.EditVoter != nil {
			if err := o.EditVoter(c.Env, &config); err != nil {
				return err
			}
		}
		if err := c.add(o, v, "domicile-controlplane", config); err != nil {
			return err
		}
	}
	if o.Only == ControlPlane {
		return nil
	}
	for _, r := range c.Env.Regions() {
		if o.Regions != nil && !slices.Contains(o.Regions, r) {
			continue
		}
		config, err := c.Env.RegionConfig(r)
		if err != nil {
			return err
		}
		if err := c.addNode(o, r, config); err != nil {
			return err
		}
	}
	for _, r := range o.Second {
		config, err := c.Env.SecondConfig(r)
		if err != nil {
			return err
		}
		name := dev.SecondName(r)
		if err := c.addNode(o, name, config); err != nil {
			return err
		}
		c.nodes = append(c.nodes, name)
	}
	return nil
}

func (c *Cluster) addNode(o Options, name string, config dataplane.Config) error {
	if o.EditRegion != nil {
		if err := o.EditRegion(c.Env, &config); err != nil {
			return err
		}
	}
	return c.add(o, name, "domicile-dataplane", config)
}

func (c *Cluster) add(o Options, name, program string, config any) error {
	text, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("write the configuration of %s: %w", name, err)
	}
	path := filepath.Join(o.Dir, "config", name+".yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	c.procs[name] = &Process{name: name, program: filepath.Join(o.Bin, program), config: path,
		log: filepath.Join(o.Dir, "logs", name+".log"), ready: c.Env.OpsURL(name) + "/readyz"}
	return nil
}

func (c *Cluster) startAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var all errgroup.Group
	for _, p := range c.procs {
		if err := p.Start(); err != nil {
			return err
		}
		all.Go(func() error { return p.WaitReady(ctx) })
	}
	return all.Wait()
}

// Process finds a process by name: a voter ("cp1") or a region ("ie1").
func (c *Cluster) Process(name string) *Process { return c.procs[name] }

// Control is a client of one voter with the operator's token.
func (c *Cluster) Control(voter string) *client.Control {
	return &client.Control{BaseURL: c.Env.VoterURL(voter), Token: c.Env.Token(), HTTP: c.http, Patience: 20 * time.Second}
}

// Region is a client of one region with a key.
func (c *Cluster) Region(region, key string) *client.Region {
	return &client.Region{BaseURL: c.Env.RegionURL(region), Key: key, HTTP: c.http}
}

// HTTP trusts the cluster's authority.
func (c *Cluster) HTTP() *http.Client { return c.http }

// Close ends every process, regions first, and gives the folder back.
func (c *Cluster) Close() error {
	var all []error
	for _, names := range [][]string{c.nodes, c.Env.Regions(), c.Env.Voters()} {
		for _, name := range names {
			if p := c.procs[name]; p != nil {
				all = append(all, p.Stop())
			}
		}
	}
	return errors.Join(append(all, c.Env.Close())...)
}
