package gate

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/policy"
)

// Source gives the current bundle and what is known of its freshness.
// *feed.Feed is one; `explain` on a saved bundle and tests have their own.
type Source interface {
	Current() *feed.View // nil before the first bundle
	Age() time.Duration
	ClockSuspect() bool
}

// Options of a gate.
type Options struct {
	Region      policy.RegionID
	Feed        Source
	Attestation func() policy.Attestation // that this node has verified of itself; nil: declared
	BaseURLs    map[string]string         // region → base URL, from node configuration: 421 works before the first bundle

	Keys   func() error // why keys cannot be had, else nil; nil: always fine
	Ledger func() error // why the egress ledger or audit cannot be written, else nil; nil: always fine

	// Serves is why a tenant's data may not be shown or sent although its policy
	// allows it, else nil: a store that was put back from a backup still holds what
	// was erased since (INV22). nil: always fine.
	Serves func(policy.TenantID) error

	Disk func() error // why the node's disk can take no more (less than 5 % free), else nil; asked for each ingest, so cheap; nil: always fine

	// Recipients is why a recipient's key counts for nothing although the bundle has it
	// in a pair: the sender signs API keys, and not this one. nil: always fine.
	Recipients func(*policy.InboundPair, policy.KeyID) error

	Clock   func() time.Time      // nil: time.Now
	Elapsed func() time.Duration  // since any fixed moment, never jumping; nil: CLOCK_BOOTTIME
	Metrics prometheus.Registerer // nil: none
}

// Question asks for one permit.
type Question struct {
	Tenant    policy.TenantID
	Op        policy.Operation
	Class     policy.DataClass
	Egress    policy.EgressClass // exports only
	Recipient policy.RecipientID // exports only
	Purpose   string             // exports only

	SentToday     uint64 // exports only: releases of this class today (UTC)
	FieldsUnknown bool   // the data holds a field without a class
}

// Gate answers whether data may move, and who asks. It is safe for concurrent use.
type Gate struct {
	o        Options
	keysGone atomic.Int64 // Elapsed when the keys' absence was first seen; 0: they are there
	journal  journal
}

// New makes a gate. Region and Feed must be given.
func New(o Options) *Gate {
	if o.Attestation == nil {
		o.Attestation = func() policy.Attestation { return policy.Declared }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Elapsed == nil {
		o.Elapsed = feed.BootTime
	}
	if o.Recipients == nil {
		o.Recipients = func(*policy.InboundPair, policy.KeyID) error { return nil }
	}
	fine := func() error { return nil }
	if o.Keys == nil {
		o.Keys = fine
	}
	if o.Ledger == nil {
		o.Ledger = fine
	}
	if o.Disk == nil {
		o.Disk = fine
	}
	if o.Serves == nil {
		o.Serves = func(policy.TenantID) error { return nil }
	}
	g := &Gate{o: o}
	if o.Metrics != nil {
		o.Metrics.MustRegister(collector{g})
	}
	return g
}

// Check asks for a permit, now. Without a bundle the error is UNAVAILABLE; a
// denial is the decision's error ([policy.Decision.Err]): NOT_FOUND for an
// unknown tenant, WRONG_REGION with the home's base URL, EGRESS_DENIED,
// POLICY_STALE and so on, whose metadata "rules" lists every rule that denied.
func (g *Gate) Check(q Question) (policy.Permit, error) {
	v := g.o.Feed.Current()
	if v == nil {
		g.journal.unready.Add(1)
		return policy.Permit{}, noBundle()
	}
	d, r := g.decide(v, q)
	g.journal.note(r, &d)
	if err := d.Err(); err != nil {
		return policy.Permit{}, g.direct(v, q.Tenant, err)
	}
	if shows(q) {
		if err := g.o.Serves(q.Tenant); err != nil {
			return policy.Permit{}, err
		}
	}
	return d.Permit(), nil
}

// shows reports whether a permit would let records be looked at. Settings are
// read to take records in, and erasing makes good what Serves waits for.
func shows(q Question) bool {
	return (q.Op == policy.View || q.Op == policy.Process || q.Op == policy.Export) && q.Class != policy.AccountConfig
}

// Explain gives the whole decision without its permit's use: it is neither
// counted nor journalled. Without a bundle the tenant is unknown.
func (g *Gate) Explain(q Question) policy.Decision {
	v := g.o.Feed.Current()
	if v == nil {
		v = &feed.View{}
	}
	d, _ := g.decide(v, q)
	return d
}

func (g *Gate) decide(v *feed.View, q Question) (policy.Decision, policy.Request) {
	r := policy.Request{
		Tenant: q.Tenant, Op: q.Op, Class: q.Class, Region: g.o.Region,
		Egress: q.Egress, Recipient: q.Recipient, Purpose: q.Purpose,
		Now: g.o.Clock().UTC(), BundleAge: g.o.Feed.Age(), Attestation: g.o.Attestation(),
		ClockSuspect: g.o.Feed.ClockSuspect(),
		SentToday:    q.SentToday, FieldsUnknown: q.FieldsUnknown,
	}
	r.KeysDown, r.KeysLost = g.keysDown()
	switch q.Op { // the others do not depend on it, and ingest is hot
	case policy.Export:
		r.AuditDown, r.DiskFull = g.o.Ledger() != nil, g.o.Disk() != nil
	case policy.Ingest, policy.Store:
		r.DiskFull = g.o.Disk() != nil
	case policy.Erase:
		r.AuditDown = g.o.Ledger() != nil
	}
	return policy.Decide(v.Set, v.Topology, r), r
}

// keysDown asks for the keys' health. A node goes on with the keys that it has
// for policy.KeysFor; how long they have been away is measured on CLOCK_BOOTTIME,
// because a machine that sleeps must not hold them longer, from when somebody first
// asked in vain.
func (g *Gate) keysDown() (down, lost bool) {
	if g.o.Keys() == nil {
		if g.keysGone.Load() != 0 {
			g.keysGone.Store(0)
		}
		return false, false
	}
	now := int64(g.o.Elapsed()) + 1 // never 0
	g.keysGone.CompareAndSwap(0, now)
	return true, now-g.keysGone.Load() >= int64(policy.KeysFor)
}

// Offers is nil when this region has a feature, else FEATURE_NOT_IN_REGION. A
// bundle that does not say, or none, takes nothing away: what is not known
// never refuses a home tenant's records.
func (g *Gate) Offers(f policy.Feature) error {
	v := g.o.Feed.Current()
	if v == nil || v.Features(g.o.Region).Has(f) {
		return nil
	}
	return policy.Errorf(policy.FeatureNotInRegion, "region %s does not have %s, and nothing is passed on to a region that has; see GET /v1/regions/%s/features at the control plane", g.o.Region, f, g.o.Region).
		With("feature", string(f)).With("region", string(g.o.Region))
}

// direct adds where to go to a refusal that sends the caller elsewhere. A
// tenant that moved away has no rules here any more, only a forwarding address.
func (g *Gate) direct(v *feed.View, t policy.TenantID, e *policy.Error) *policy.Error {
	row, known := v.Tenant(t)
	switch {
	case e.Reason == policy.NotFound && known && row.Home != g.o.Region:
		return g.moved(row)
	case e.Reason == policy.WrongRegion && e.Metadata["home_region"] != "":
		home := policy.RegionID(e.Metadata["home_region"])
		if url := g.baseURL(v, home); url != "" {
			e.With("base_url", url)
		}
	}
	return e
}

// WrongRegion is the refusal of what belongs to region to: 421, naming the
// region and, when it is known, its base URL.
func (g *Gate) WrongRegion(to policy.RegionID) *policy.Error {
	return wrongRegion(g.o.Region, to, g.baseURL(g.o.Feed.Current(), to))
}

func (g *Gate) moved(row feed.Tenant) *policy.Error {
	url := row.HomeURL
	if url == "" {
		url = g.baseURL(g.o.Feed.Current(), row.Home)
	}
	return wrongRegion(g.o.Region, row.Home, url)
}

func wrongRegion(here, to policy.RegionID, url string) *policy.Error {
	where := "region " + string(to)
	if url != "" {
		where += " at " + url
	}
	e := policy.Errorf(policy.WrongRegion, "this is region %s and the request belongs to %s; send it there", here, where).
		With("home_region", string(to))
	if url != "" {
		e.With("base_url", url)
	}
	return e
}

// baseURL is where a region is reached: replicated state knows better than this
// node's configuration, which is what there is before the first bundle.
func (g *Gate) baseURL(v *feed.View, id policy.RegionID) string {
	if v != nil {
		if r, ok := v.Topology.Region(id); ok && r.BaseURL != "" {
			return r.BaseURL
		}
	}
	return g.o.BaseURLs[string(id)]
}

// known reports whether a region exists, as far as this node can tell.
func (g *Gate) known(v *feed.View, id policy.RegionID) bool {
	if _, ok := g.o.BaseURLs[string(id)]; ok || id == g.o.Region {
		return true
	}
	if v == nil {
		return false
	}
	_, ok := v.Topology.Region(id)
	return ok
}

func noBundle() *policy.Error {
	return policy.Errorf(policy.NotReady, "this node has no policy bundle yet, so it cannot say what is allowed; retry in a moment")
}
