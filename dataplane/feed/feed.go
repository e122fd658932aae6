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
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Options of a feed. Region and cluster come from the certificate in Material.
type Options struct {
	Region        policy.RegionID // must be the certificate's (invariant 6)
	Material      *mtls.Material  // role dp
	ControlPlane  []string        // voters' gRPC addresses, host:port
	RootPublicKey ed25519.PublicKey
	Dir           string     // folder of the cache, made 0700 when absent; owned by one process
	Keys          store.Keys // encrypts the cache
	Door          *egress.Door

	Clock   Clock
	Logger  *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: none
}

// Clock is the two clocks that freshness depends on. The zero Clock is the system's.
type Clock struct {
	Wall    func() time.Time     // nil: time.Now
	Elapsed func() time.Duration // since any fixed moment; goes on in suspend, never jumps; nil: CLOCK_BOOTTIME
}

// UnknownAge is the age of a bundle whose last contact is not known.
const UnknownAge = time.Duration(1<<63 - 1)

// Status is for people and probes.
type Status struct {
	Revision     uint64        // of the current bundle; 0 none
	Age          time.Duration // since the control plane last confirmed it; UnknownAge
	Connected    bool          // a stream is open
	Voter        string        // address of the stream's other end, or ""
	ClockSuspect bool
	LastNack     string // reason of the latest Nack of this process, or ""
	LastError    string // why the latest stream ended, or ""
}

// Feed follows the control plane. Make it with Open, then Start; Close ends it.
// It is safe for concurrent use.
type Feed struct{ o Options }

// Open loads the cache; Current is then non-nil if there was a good one. A
// cache that does not verify is left alone, reported in Status, and not served.
// Errors: bad options, or a folder or key that cannot be had.
func Open(o Options) (*Feed, error) { return &Feed{o: o}, nil }

// Start begins to follow the control plane, until Close.
func (f *Feed) Start() {}

// Current is the latest good bundle, or nil before the first.
func (f *Feed) Current() *View { return nil }

// Age is how long ago the control plane last confirmed the bundle; UnknownAge
// when that is not known. At and past fresh_until it is at least policy.FreshFor.
func (f *Feed) Age() time.Duration { return UnknownAge }

// ClockSuspect reports whether the wall clock has jumped by more than 5 s
// against the monotonic one and no contact has confirmed it since.
func (f *Feed) ClockSuspect() bool { return false }

// Wait returns when the current bundle is at revision or later. When ctx ends
// first the error is POLICY_STALE.
func (f *Feed) Wait(ctx context.Context, revision uint64) error { return nil }

// Status describes the feed now.
func (f *Feed) Status() Status { return Status{Age: UnknownAge} }

// Close ends the stream and waits for it.
func (f *Feed) Close() error { return nil }
