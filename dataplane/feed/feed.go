// Package feed follows the control plane for one data-plane node. It keeps the
// region's policy bundle verified, durable and current, and publishes it as one
// atomic pointer to an immutable [View].
//
// A bundle counts only when its seal leads to the pinned operator root, names
// this cluster and region, is not below the revision that this node has ever
// persisted (invariant 35), and its rows have the signed state hash. Then it is
// made durable, encrypted under the region's own key, published, and only then
// acknowledged. Anything else is answered with a Nack and the last good bundle
// stays. A restarted node serves from its cache without the control plane.
package feed

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Options of a feed. Region and cluster come from the certificate in Material.
type Options struct {
	Region         policy.RegionID // must be the certificate's (invariant 6)
	Material       *mtls.Material  // role dp
	ControlPlane   []string        // voters' gRPC addresses, host:port
	RootPublicKey  ed25519.PublicKey
	SigningTenants []policy.TenantID     // are never believed without signing keys, not even at first sight
	Document       []byte                // the cloud's word about this machine, in DER, shown to the control plane; nil: none
	Instances      *instance.Authorities // what the node itself holds Document against; nil: it is not believed
	Dir            string                // folder of the cache, made 0700 when absent; owned by one process
	Keys           store.Keys            // encrypts the cache
	Door           *egress.Door
	// Findings tells what is against the rules in this region, as causes of a
	// closed list; the control plane makes violations of them. Nil: nothing is.
	Findings func() []string
	// Waiting tells what waits in the region's outbox, for the control plane; false
	// when that is not known. It must not block. Nil: it is never known.
	Waiting func() (Waiting, bool)
	// HeldPurges tells which ends of tenants wait here for legal holds, by the order's
	// id, and for how many. It must not block. Nil: none does.
	HeldPurges func() map[string]int

	Clock   Clock
	Logger  *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: none
}

// Waiting is what a region has yet to send to others: how much, never of whom.
type Waiting struct {
	Transfers uint64        // of all tenants
	For       time.Duration // for how long something has waited without a pause
}

// Status is for people and probes.
type Status struct {
	Revision     uint64        // of the current bundle; 0 none
	Age          time.Duration // since the control plane last confirmed it; policy.AgeUnknown
	Connected    bool          // a stream is open
	Voter        string        // address of the stream's other end, or ""
	ClockSuspect bool
	LastNack     string // reason of the latest Nack of this process, or ""
	LastError    string // why the latest stream ended, or ""
}

// Feed follows the control plane. Make it with Open, then Start; Close ends it.
// It is safe for concurrent use.
type Feed struct {
	o     Options
	fresh *freshness
	view  atomic.Pointer[View]
	level atomic.Pointer[proof]
	voter atomic.Pointer[grpc.ClientConn] // of the stream; nil between streams

	// Of the following goroutine, after Open.
	replica replica
	cache   *cache
	kept    contact // as last saved

	compacting  *compacting  // under way, or done and not taken over; nil: none
	compactFrom int64        // bytes of the cache below which compacting is not tried again
	compactions atomic.Int64 // of this process

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when view changes
	status  Status        // the parts that the stream knows
	nacks   map[string]int64
}

// Open loads the cache; Current is then non-nil if there was a good one. A
// cache that does not verify is reported and not served, and the node waits for
// the control plane. Errors: bad options, or a folder or key that cannot be had.
func Open(o Options) (*Feed, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open the policy feed: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	key, err := o.Keys.Named(keyName)
	if err != nil {
		return nil, fmt.Errorf("open the policy feed: key of the bundle cache: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the policy feed: %w", err)
	}
	cluster := o.Material.Identity.Cluster
	c, err := newCache(o.Dir, key, cluster+"/"+string(o.Region)+"\n")
	if err != nil {
		return nil, err
	}
	f := &Feed{o: o, fresh: newFreshness(o.Clock), cache: c, changed: make(chan struct{}), nacks: map[string]int64{},
		replica: replica{signing: o.SigningTenants, expect: bundle.Expect{Cluster: cluster, Region: o.Region, Root: o.RootPublicKey}}}
	f.replica.wall = f.fresh.clock.Wall
	f.ctx, f.stop = context.WithCancel(context.Background())
	if err := o.Door.Allow(policy.ControlStream, o.ControlPlane...); err != nil {
		return nil, fmt.Errorf("open the policy feed: %w", err)
	}
	if err := f.restore(); err != nil {
		return nil, fmt.Errorf("open the policy feed: %w; docs/operations/backup.md says what to do", err)
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(collector{f}); err != nil {
			return nil, fmt.Errorf("register the policy feed's metrics: %w", err)
		}
	}
	return f, nil
}

func (o Options) check() error {
	switch {
	case o.Material == nil || o.Keys == nil || o.Door == nil:
		return errors.New("certificate, keys and door must be given")
	case o.Material.Identity.Role != mtls.DataPlane:
		return fmt.Errorf("the certificate's role is %s, want %s", o.Material.Identity.Role, mtls.DataPlane)
	case o.Material.Identity.Region != o.Region:
		return fmt.Errorf("the certificate is of region %s, the configuration says %s: one of them is wrong", o.Material.Identity.Region, o.Region)
	case len(o.RootPublicKey) != ed25519.PublicKeySize:
		return fmt.Errorf("the root public key is %d bytes, want %d", len(o.RootPublicKey), ed25519.PublicKeySize)
	case len(o.ControlPlane) == 0:
		return errors.New("no control-plane address was given")
	case o.Dir == "":
		return errors.New("no folder was given")
	}
	return nil
}

// Start begins to follow the control plane, until Close.
func (f *Feed) Start() { f.done.Go(f.follow) }

// Voter is the connection of the present stream, for what a node reports beside
// it; nil while there is none. The voter at its other end leads.
func (f *Feed) Voter() grpc.ClientConnInterface {
	if cc := f.voter.Load(); cc != nil {
		return cc
	}
	return nil
}

// Current is the latest good bundle, or nil before the first.
func (f *Feed) Current() *View { return f.view.Load() }

// Age is how long ago the control plane last confirmed the bundle;
// policy.AgeUnknown when that is not known. At and past fresh_until it is at
// least policy.FreshFor.
func (f *Feed) Age() time.Duration { return f.fresh.age() }

// ClockSuspect reports whether the wall clock has jumped by more than 5 s
// against the monotonic one, and has neither gone back nor been confirmed by
// the control plane since.
func (f *Feed) ClockSuspect() bool { return f.fresh.clockSuspect() }

// Wait returns when the current bundle is at revision or later. When ctx ends
// first the error is POLICY_STALE.
func (f *Feed) Wait(ctx context.Context, revision uint64) error {
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if v := f.Current(); v != nil && v.Revision >= revision {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return policy.Errorf(policy.PolicyStale, "this node has not yet seen policy revision %d; retry in a moment", revision)
		}
	}
}

// Status describes the feed now.
func (f *Feed) Status() Status {
	f.mu.Lock()
	s := f.status
	f.mu.Unlock()
	if v := f.Current(); v != nil {
		s.Revision = v.Revision
	}
	s.Age, s.ClockSuspect = f.Age(), f.ClockSuspect()
	return s
}

// Close ends the stream and waits for it.
func (f *Feed) Close() error {
	f.stop()
	f.done.Wait()
	f.compacted()
	if f.o.Metrics != nil {
		f.o.Metrics.Unregister(collector{f})
	}
	f.cache.close()
	return nil
}

func (f *Feed) publish(v *View) {
	f.view.Store(v)
	f.prove()
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}
