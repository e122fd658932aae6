package gate

import (
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
	Attestation policy.Attestation // of this node; 0: declared
	BaseURLs    map[string]string  // region → base URL, from node configuration: 421 works before the first bundle

	Keys   func() error // why keys cannot be had, else nil; nil: always fine
	Ledger func() error // why the egress ledger or audit cannot be written, else nil; nil: always fine

	Clock   func() time.Time      // nil: time.Now
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
type Gate struct{ o Options }

// New makes a gate.
func New(o Options) *Gate { return &Gate{o: o} }

// Check asks for a permit, now. Without a bundle the error is UNAVAILABLE; a
// denial is the domain error of its first reason (POLICY_STALE, WRONG_REGION,
// EGRESS_DENIED, PERMISSION_DENIED, …) whose metadata lists every reason.
func (g *Gate) Check(q Question) (policy.Permit, error) { return policy.Permit{}, errNotReady }

// Explain gives the whole decision, and counts nothing.
func (g *Gate) Explain(q Question) policy.Decision { return policy.Decision{} }

var errNotReady = policy.Errorf(policy.NotReady, "the gate is not there yet")

// Decisions lists the latest decisions, newest first: at most n.
func (g *Gate) Decisions(n int) []Decided { return nil }

// Decided is one line of the decision journal. It holds no personal data.
type Decided struct {
	Time      time.Time
	Tenant    policy.TenantID
	Op        policy.Operation
	Class     policy.DataClass
	Recipient policy.RecipientID
	Revision  uint64
	Allowed   bool
	Reasons   []policy.RuleCode
}

// WrongRegion is the refusal of what belongs to region to: 421 with its base URL.
func (g *Gate) WrongRegion(to policy.RegionID) *policy.Error {
	return policy.Errorf(policy.WrongRegion, "this is another region's")
}
