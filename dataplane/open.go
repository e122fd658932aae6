package dataplane

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/domicile-io/domicile/dataplane/disk"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/lease"
	regionlog "github.com/domicile-io/domicile/dataplane/log"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/server"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/internal/certificates"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Folders below DataDir.
const (
	keysDir    = "keys"    // root and table of keys; in no backup of records
	recordsDir = "records" // sealed records and their indexes
	bundleDir  = "bundle"  // the policy bundle, encrypted
	mediaDir   = "media"   // sealed recordings and transcripts
	ledgerDir  = "egress"  // what left
)

// Options are what a process gives a node besides its configuration. The zero
// value works.
type Options struct {
	Logger *slog.Logger // nil: slog.Default()

	// Listeners that are already bound, so that `dev` and tests can choose free
	// ports before certificates and base URLs are made. The node closes them. Nil:
	// the configured address is bound.
	Listener       net.Listener
	IngestListener net.Listener
	PeerListener   net.Listener
	OpsListener    net.Listener
}

// Node is one running data-plane node. Make it with Open; Close ends it.
type Node struct {
	cfg       Config
	log       *slog.Logger
	registry  *prometheus.Registry
	material  *mtls.Material
	keys      store.Keys
	keyring   operatedKeys // keys, as its operator sees it
	shared    *databases   // nil: a region of one node
	copies    *keyCopies   // nil: a region of one node, or not open yet
	moved     *MoveMark    // nil: the records were in the database from the first
	moving    *moving
	leases    lease.Leases
	store     store.Store
	media     *media.Library
	buckets   []*bucket // of recordings, of backups
	backups   *backups
	corrupt   *prometheus.CounterVec
	door      *egress.Door
	feed      *feed.Feed
	senders   *senders // that sign, of what this region receives
	gate      *gate.Gate
	disk      *disk.Gauge
	reserve   *disk.Reserve                   // nil: none
	held      held                            // what legal holds keep; nil: nothing is held
	subjects  atomic.Pointer[subject.Service] // nil until it is open
	server    *server.Server
	regionLog *regionlog.Log
	found     findings
	oblivion  *oblivion
	waiting   waiting
	heldEnds  heldEnds
	traces    *telemetry.Tracer // nil: nothing is traced

	tenants net.Listener // bound, below TLS and the count
	ingest  net.Listener // nil: none
	peers   net.Listener // nil: none
	ops     net.Listener // nil: none

	closers []closer // in the order of opening; closed in reverse
	served  chan error
	once    sync.Once
	closed  error
}

// closer ends one part.
type closer struct {
	name  string
	close func(ctx context.Context) error
}

// Open starts a node: egress door, keyring, store, policy feed, gate, tenant
// listener, operations listener. It returns when the node listens, which is
// before it has a bundle: Ready says when it serves. It refuses to start when
// the certificate's region is not the configured one (invariant 6).
//
// ctx bounds the start only; Close ends the node.
func Open(ctx context.Context, cfg Config, opts Options) (*Node, error) {
	n := &Node{cfg: cfg.withDefaults(), log: opts.Logger, registry: prometheus.NewRegistry(), served: make(chan error, 1), waiting: waiting{now: feed.BootTime}}
	n.moving = &moving{node: n}
	if n.log == nil {
		n.log = slog.Default()
	}
	n.log = n.log.With("region", cfg.Region)
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func(Options) error{n.identify, n.checkRestored, n.checkMoved, n.bind, n.lock, n.openDisk, n.openDoor, n.openTraces, n.openDatabases, n.openKeys, n.openBackups, n.openStore, n.openLog, n.openMedia, n.openFeed, n.openServer, n.openOps, n.openMove, n.openAdmin} {
		err := ctx.Err()
		if err == nil {
			err = step(opts)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start node of region %s: %w", cfg.Region, err), n.shut(context.WithoutCancel(ctx)))
		}
	}
	n.feed.Start()
	n.held = n.heldCalls
	n.startRetention()
	n.startMerger()
	n.startBackups()
	n.log.Info("node listens", "address", n.tenants.Addr().String(), "node", string(n.material.Identity.Node))
	return n, nil
}

// onClose remembers how to end a part that was opened.
func (n *Node) onClose(name string, f func(ctx context.Context) error) {
	n.closers = append(n.closers, closer{name, f})
}

// identify loads the certificate and compares what it says with what the
// configuration says; the certificate is right, so a difference stops the start.
func (n *Node) identify(opts Options) error {
	for _, l := range []net.Listener{opts.Listener, opts.IngestListener, opts.PeerListener, opts.OpsListener} {
		if l != nil {
			n.onClose("listener", func(context.Context) error { return closeListener(l) })
		}
	}
	if err := n.cfg.Check(); err != nil {
		return err
	}
	m, err := mtls.Load(n.cfg.TLS)
	if err != nil {
		return err
	}
	if m.Identity.Role != mtls.DataPlane {
		return fmt.Errorf("certificate %s has role %s, want %s; give the node a certificate of its own", n.cfg.TLS.Certificate, m.Identity.Role, mtls.DataPlane)
	}
	if string(m.Identity.Region) != n.cfg.Region {
		return fmt.Errorf("certificate %s is of region %s but the configuration says %s; a node's region is what its certificate says, so correct the configuration or use that region's certificate",
			n.cfg.TLS.Certificate, m.Identity.Region, n.cfg.Region)
	}
	n.material = m
	return certificates.Watch(n.registry, n.log, "node", m)
}

func (n *Node) openStore(Options) error {
	n.corrupt = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_corrupt_values_total",
		Help: "Sealed values that did not open; they are neither served nor dropped."}, []string{"kind"})
	n.registry.MustRegister(n.corrupt)
	if n.shared != nil {
		return n.openSharedStore()
	}
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(n.cfg.DataDir, recordsDir), Region: n.region(), Keys: n.keys, Logger: n.log, Room: n.disk.Check, Backup: n.backups.note,
		NoRoom: n.noRoom, OnCorrupt: n.foundCorrupt})
	if err != nil {
		return fmt.Errorf("open record store: %w", err)
	}
	n.store, n.backups.source.records = s, s
	n.onClose("record store", func(context.Context) error { return s.Close() })
	n.startScrubber(s)
	n.startOblivion(s)
	return nil
}

func (n *Node) openDoor(Options) error {
	door, err := egress.New(egress.Options{Region: n.region(), Dir: filepath.Join(n.cfg.DataDir, ledgerDir), Logger: n.log, Metrics: n.registry, Retry: n.reserve.Retry})
	if err != nil {
		return fmt.Errorf("open egress ledger: %w", err)
	}
	n.door = door
	n.onClose("egress ledger", func(context.Context) error { return door.Close() })
	return nil
}

func (n *Node) openFeed(Options) error {
	root, err := hex.DecodeString(n.cfg.RootPublicKey)
	if err != nil {
		return fmt.Errorf("read root_public_key: %w", err)
	}
	signing := make([]policy.TenantID, 0, len(n.cfg.SigningTenants))
	for _, id := range n.cfg.SigningTenants {
		signing = append(signing, policy.TenantID(id))
	}
	instances, err := instance.Load(n.cfg.Attestation)
	if err != nil {
		return err
	}
	var document []byte
	if n.cfg.InstanceDocument != "" {
		if document, err = instance.Read(n.cfg.InstanceDocument); err != nil {
			return err
		}
	}
	f, err := feed.Open(feed.Options{Region: n.region(), Document: document, Instances: instances, SigningTenants: signing, Material: n.material, ControlPlane: n.cfg.ControlPlane,
		RootPublicKey: ed25519.PublicKey(root), Dir: filepath.Join(n.cfg.DataDir, bundleDir), Keys: n.keys, Door: n.door, Findings: n.found.list, Waiting: n.waiting.tell, HeldPurges: n.heldEnds.list,
		Logger: n.log, Metrics: n.registry})
	if err != nil {
		return fmt.Errorf("open policy feed: %w", err)
	}
	n.feed = f
	n.onClose("policy feed", func(context.Context) error { return f.Close() })
	if n.senders, err = openSenders(filepath.Join(n.cfg.DataDir, purgesDir), n.material.Identity.Cluster, ed25519.PublicKey(root), n.cfg.SigningTenants); err != nil {
		return err
	}
	n.gate = gate.New(gate.Options{Region: n.region(), Feed: f, Attestation: f.Attestation, BaseURLs: n.cfg.BaseURLs, Recipients: n.senders.admits,
		Keys: n.keys.Healthy, Ledger: n.door.Healthy, Disk: func() error { return n.disk.Check(time.Now()) }, Serves: n.serves, Metrics: n.registry})
	return nil
}

func (n *Node) openServer(Options) error {
	exports, err := n.openExports()
	if err != nil {
		return err
	}
	numbers := intake.NewNumbers(0)
	subjects, err := n.openSubjects(exports, numbers)
	if err != nil {
		return err
	}
	n.server, err = server.New(server.Options{Region: n.region(), Hosts: n.cfg.Hosts, DefaultCountry: n.cfg.DefaultCountry,
		TLS: n.material.PublicServer(), Gate: n.gate, Bundle: n.feed, Store: n.store, Media: n.media, Ledger: n.door.Entries, Ready: n.Ready,
		Exports: exports, Subjects: subjects, Log: n.regionLog, Numbers: numbers, IngestAddresses: n.cfg.IngestAddresses, Admission: n.cfg.Admission, UploadMemory: n.cfg.Media.memory(), Traces: n.traces, Logger: n.log, Metrics: n.registry})
	if err != nil {
		return err
	}
	n.startSweeper()
	go func() {
		err := n.server.Serve(n.door.Listener(n.tenants, policy.CustomerAPI))
		if err != nil {
			n.log.Error("tenants' listener ended; restart the node", "cause", err.Error())
		}
		n.served <- err
	}()
	streams := n.serveStreams()
	n.onClose("tenants' listener", func(ctx context.Context) error {
		return errors.Join(n.server.Shutdown(ctx), <-n.served, <-streams)
	})
	return n.startSelfTests()
}

// serveStreams answers streams of records, where the node has a port for them.
func (n *Node) serveStreams() <-chan error {
	done := make(chan error, 1)
	if n.ingest == nil {
		done <- nil
		return done
	}
	go func() {
		err := n.server.ServeIngest(n.door.Listener(n.ingest, policy.CustomerAPI))
		if err != nil {
			n.log.Error("the streams' listener ended; restart the node", "cause", err.Error())
		}
		done <- err
	}()
	n.log.Info("node takes streams of records", "address", n.ingest.Addr().String())
	return done
}

func (n *Node) region() policy.RegionID { return policy.RegionID(n.cfg.Region) }

// URL is the base URL at which tenants reach this node, as configured for its region.
func (n *Node) URL() string { return n.cfg.BaseURLs[n.cfg.Region] }

// Ready is nil when the node serves tenants, else says every reason why not.
func (n *Node) Ready() error {
	var why []error
	if n.feed.Current() == nil {
		why = append(why, errors.New("no policy bundle yet: "+n.feed.Status().LastError))
	}
	for _, part := range []struct {
		name    string
		healthy func() error
	}{{"keyring", n.keys.Healthy}, {"record store", n.store.Healthy}, {"egress ledger", n.door.Healthy}, {"database", n.shared.healthy}} {
		if err := part.healthy(); err != nil {
			why = append(why, fmt.Errorf("%s: %w", part.name, err))
		}
	}
	return errors.Join(why...)
}

// Close stops taking requests, lets those in flight end (until ctx is done),
// then closes the feed and, last, the store and its keys. It may be called
// again and then answers the same.
func (n *Node) Close(ctx context.Context) error {
	n.once.Do(func() { n.closed = n.shut(ctx) })
	return n.closed
}

func (n *Node) shut(ctx context.Context) error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		if err := n.closers[i].close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", n.closers[i].name, err))
		}
	}
	n.closers = nil
	return errors.Join(errs...)
}
