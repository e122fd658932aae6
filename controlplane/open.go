package controlplane

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/controlplane/login"
	"github.com/domicile-io/domicile/controlplane/mirror"
	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/server"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/certificates"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/mtls"
)

// Options of Open. The zero value is good.
type Options struct {
	Logger *slog.Logger // nil discards
	Timing Timing       // zero fields take defaults
}

// Timing is every interval of a plane, so that tests and `domicile dev` need not wait.
type Timing struct {
	Heartbeat time.Duration // of Raft, and its election timeout; default 1 s
	Renew     time.Duration // between renewals of fresh_until to nodes; default 15 s
	FreshFor  time.Duration // what each renewal promises; default 60 s
	Announce  time.Duration // between announcements of a member to the leader; default 2 s

	ViolationsApart time.Duration // between two writes of one violation; default 1 min
}

// Plane is one running voter. Several may run in one process: nothing is global.
type Plane struct {
	log     *slog.Logger
	store   *store.Store
	replica *replica.Replica
	members *membership
	server  *server.Server
	ops     *ops
	rest    net.Addr
	grpc    net.Addr

	cancel context.CancelFunc // of what runs in the background
	wait   sync.WaitGroup

	mu   sync.Mutex
	err  error
	done chan struct{}
}

// Open starts one voter: state, Raft, gRPC, REST gateway, ops. It returns once
// the listeners are bound, which may be before a leader exists: see Ready. On an
// error nothing keeps running.
func Open(ctx context.Context, cfg Config, opts Options) (_ *Plane, err error) {
	if err := errors.Join(cfg.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Plane{log: log.With("voter", cfg.Name), done: make(chan struct{})}
	defer func() {
		if err != nil {
			closeCtx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			err = errors.Join(err, p.Close(closeCtx))
		}
	}()
	own, err := identities(cfg)
	if err != nil {
		return nil, err
	}
	var first store.InitCluster
	if cfg.Bootstrap != nil {
		if first, err = seed(*cfg.Bootstrap, own.voter.Identity.Cluster); err != nil {
			return nil, err
		}
	}
	if err := p.openState(cfg, opts, own.voter); err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	registry := prometheus.NewRegistry()
	if err := p.serve(cfg, opts, own, registry); err != nil {
		return nil, err
	}
	stored, err := p.scheduleBackups(background, cfg.Backup, registry)
	if err != nil {
		return nil, err
	}
	p.wait.Go(func() { p.server.Work(background, stored) })
	p.wait.Go(func() { p.members.run(background) })
	if cfg.Bootstrap != nil {
		once := &oneTime{path: filepath.Join(cfg.DataDir, bootstrapFile), generation: cfg.Bootstrap.Generation}
		p.wait.Add(1)
		go func() { defer p.wait.Done(); p.bootstrap(background, first, once) }()
	}
	p.log.Info("voter is open", "rest", p.RESTURL(), "grpc", p.GRPCAddress(), "raft", cfg.RaftAddress)
	return p, nil
}

// owned is what says who we are.
type owned struct {
	voter, gateway *mtls.Material
	signer         *bundle.Signer
	root           ed25519.PublicKey
	instances      *instance.Authorities
	logins         *login.Verifier // nil without issuers
	issuers        []login.Issuer
}

func identities(cfg Config) (owned, error) {
	k, err := ofStopped(cfg)
	if err != nil {
		return owned{}, err
	}
	voter, root := k.voter, k.root
	gateway, err := mtls.Load(cfg.GatewayTLS)
	if err != nil {
		return owned{}, fmt.Errorf("gateway_tls: %w", err)
	}
	switch {
	case gateway.Identity.Role != mtls.Gateway:
		return owned{}, fmt.Errorf("gateway_tls: the certificate's role is %q, want %q", gateway.Identity.Role, mtls.Gateway)
	case voter.Identity.Cluster != gateway.Identity.Cluster:
		return owned{}, errors.New("gateway_tls: the certificate is of another cluster than that of tls")
	}
	seed, err := hexFile("bundle_key", cfg.BundleKey)
	if err != nil {
		return owned{}, err
	}
	certificate, err := hexFile("bundle_key_certificate", cfg.BundleKeyCertificate)
	if err != nil {
		return owned{}, err
	}
	signer, err := bundle.NewSigner(voter.Identity.Cluster, seed, certificate, root)
	if err != nil {
		return owned{}, err
	}
	logins, issuers, err := openLogins(cfg)
	if err != nil {
		return owned{}, err
	}
	instances, err := instance.Load(cfg.Attestation)
	return owned{voter: voter, gateway: gateway, signer: signer, root: root, logins: logins, issuers: issuers, instances: instances}, err
}

// hexFile never says what it read: it may be a key.
func hexFile(key, path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, fmt.Errorf("%s: %s does not hold hex digits only", key, path)
	}
	return b, nil
}

// openState opens store and Raft in the data folder.
func (p *Plane) openState(cfg Config, opts Options, own *mtls.Material) error {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	var err error
	if p.store, err = store.Open(store.Options{Path: filepath.Join(cfg.DataDir, stateFile), Logger: p.log, Hung: p.fail}); err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	if c, err := p.store.Cluster(); err == nil && c.ID != own.Identity.Cluster {
		return fmt.Errorf("data_dir %s belongs to another cluster than the certificate", cfg.DataDir)
	}
	p.members = newMembership(cfg, opts, own, p)
	if err := p.members.checkVersion(); err != nil {
		return err
	}
	o := replica.Options{Name: cfg.Name, Advertise: cfg.advertised().RaftAddress, Address: p.members.directory.RaftAddress, Admit: p.members.admit, Dir: filepath.Join(cfg.DataDir, raftFolder), RaftAddress: cfg.RaftAddress, TLS: own,
		Store: p.store, Bootstrap: cfg.Bootstrap != nil, Logger: p.log, Fatal: p.fail,
		Heartbeat: cmp.Or(opts.Timing.Heartbeat, cfg.Raft.Heartbeat), SnapshotThreshold: cfg.Raft.SnapshotThreshold,
		SnapshotBytes: cfg.Raft.SnapshotBytes, SnapshotInterval: cfg.Raft.SnapshotInterval, TrailingLogs: cfg.Raft.TrailingLogs}
	for _, v := range cfg.Voters {
		o.Voters = append(o.Voters, replica.Voter{Name: v.Name, Address: v.RaftAddress})
	}
	if p.replica, err = replica.Open(o); err != nil {
		return fmt.Errorf("open Raft: %w", err)
	}
	return nil
}

// serve binds the listeners and answers on them.
func (p *Plane) serve(cfg Config, opts Options, own owned, registry *prometheus.Registry) error {
	if err := errors.Join(registry.Register(collectors.NewGoCollector()), registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	for name, m := range map[string]*mtls.Material{"voter": own.voter, "gateway": own.gateway} {
		if err := certificates.Watch(registry, p.log, name, m); err != nil {
			return err
		}
	}
	terraform, err := openMirror(cfg.TerraformMirror)
	if err != nil {
		return err
	}
	rpc, err := net.Listen("tcp", cfg.GRPCAddress)
	if err != nil {
		return fmt.Errorf("grpc_address: %w", err)
	}
	rest, err := net.Listen("tcp", cfg.RESTAddress)
	if err != nil {
		return errors.Join(fmt.Errorf("rest_address: %w", err), rpc.Close())
	}
	p.grpc, p.rest = rpc.Addr(), rest.Addr()
	if err := p.members.steward(cfg, registry); err != nil {
		return errors.Join(err, rpc.Close(), rest.Close())
	}
	o := server.Options{Name: cfg.Name, Directory: p.members.directory, Steward: p.members.stewarding, Roll: p.members.roll, Store: p.store, Replica: p.replica, Signer: own.signer, Root: own.root, Logins: own.logins, Issuers: own.issuers, TLS: own.voter, GatewayTLS: own.gateway,
		GRPC: rpc, REST: rest, Logger: p.log, Registry: registry, Dir: cfg.DataDir, Renew: opts.Timing.Renew, FreshFor: opts.Timing.FreshFor,
		Instances: own.instances, ViolationsApart: opts.Timing.ViolationsApart, Mirror: terraform}
	if cfg.Backup != nil {
		o.BackupRecipients = cfg.Backup.Recipients
	}
	s, err := server.New(o)
	if err != nil {
		return errors.Join(err, rpc.Close(), rest.Close())
	}
	s.Serve(p.fail)
	p.server = s
	if cfg.OpsAddress == "" {
		return nil
	}
	p.ops, err = openOps(cfg.OpsAddress, registry, p.Ready, p.fail)
	return err
}

// openMirror reads the archives of the Terraform provider; "" is none.
func openMirror(dir string) (*mirror.Mirror, error) {
	if dir == "" {
		return nil, nil
	}
	m, err := mirror.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("terraform_mirror: %w", err)
	}
	return m, nil
}

// Status is what a plane says of itself without asking anybody.
type Status struct {
	Name     string
	Leader   bool   // whether this voter leads
	LeaderID string // "" while there is none
	Revision uint64 // of the local state
	Members  int    // that have announced themselves
}

// Status says how the plane is.
func (p *Plane) Status() Status {
	leader, _ := p.replica.Leader()
	return Status{Name: p.replica.Status().Name, Leader: p.replica.IsLeader(), LeaderID: leader, Revision: p.store.Revision(),
		Members: len(p.store.Members().Present())}
}

// RESTURL is where people reach this voter: "https://host:port" with the bound port.
func (p *Plane) RESTURL() string { return "https://" + p.rest.String() }

// GRPCAddress is the bound gRPC address, "host:port".
func (p *Plane) GRPCAddress() string { return p.grpc.String() }

// OpsURL is "http://host:port" of metrics and health, or "" when there is none.
func (p *Plane) OpsURL() string {
	if p.ops == nil {
		return ""
	}
	return "http://" + p.ops.address.String()
}

// Ready reports whether the plane can answer: a leader is known, and the
// cluster is initialised. The error says what is missing.
func (p *Plane) Ready() error {
	if d := p.writing(); d > slowDisk {
		return fmt.Errorf("a write to the disk has taken %v so far", d.Round(time.Second))
	}
	return p.server.Ready()
}

// slowDisk is how long one write may take before others are told; the voter stops
// when it has taken ten seconds.
const slowDisk = 2 * time.Second

// writing is for how long the longest write that is under way has taken.
func (p *Plane) writing() time.Duration { return max(p.store.Writing(), p.replica.Writing()) }

// Done is closed when the plane can not go on by itself; Err then says why.
func (p *Plane) Done() <-chan struct{} { return p.done }

// Err is nil while the plane runs and after a Close that nothing preceded.
func (p *Plane) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// fail notes why the plane must stop; whoever watches Done then closes it.
func (p *Plane) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		p.log.Error("voter must stop", "cause", err)
		close(p.done)
	}
}

// Close stops taking requests, waits for those in flight until ctx ends, hands
// leadership over, and closes the state. It may be called on a failed plane.
func (p *Plane) Close(ctx context.Context) error {
	var err error
	if p.cancel != nil {
		p.cancel()
	}
	if p.ops != nil {
		err = errors.Join(err, p.ops.close(ctx))
	}
	if p.server != nil {
		err = errors.Join(err, p.server.Close(ctx))
	}
	p.wait.Wait()
	if p.replica != nil {
		err = errors.Join(err, p.replica.Shutdown(ctx))
	}
	if p.store != nil {
		err = errors.Join(err, p.store.Close())
	}
	return err
}
