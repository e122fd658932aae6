package data

import (
	"encoding/json"
	"time"
)

// SimulateRequest is the body of POST /v1/policies:simulate.
type SimulateRequest struct {
	Policy json.RawMessage `json:"policy"` // rules, as PUT /v1/tenants/{t}/policy takes them
	Days   int             `json:"days"`   // 1 to 90, UTC, today included
}

// Simulation says what a proposed policy would have let leave of what left. It
// knows transfers only: what never became one, because a policy or the
// singling-out gate kept it back, is not in it.
type Simulation struct {
	Region   string          `json:"region"`
	Tenant   string          `json:"tenant"`
	Slug     string          `json:"slug"`
	From     time.Time       `json:"from"`
	Until    time.Time       `json:"until"`
	Replayed int             `json:"replayed"` // transfers
	Cut      bool            `json:"cut"`      // there is more after until: ask for fewer days
	Flows    []SimulatedFlow `json:"flows"`
}

// SimulatedFlow is one recipient, egress class and basis.
type SimulatedFlow struct {
	Recipient    string            `json:"recipient"`
	ToRegion     string            `json:"to_region"`
	Purpose      string            `json:"purpose"`
	EgressClass  string            `json:"egress_class"`
	Basis        string            `json:"basis"`                    // under which it left
	NewBasis     string            `json:"proposed_basis,omitempty"` // under which it would have left
	Acknowledged Tally             `json:"acknowledged"`             // what happened: it left and arrived,
	Queued       Tally             `json:"queued"`                   // it waits,
	Refused      Tally             `json:"refused"`                  // it was made and never left
	Allowed      Tally             `json:"allowed"`                  // what the proposed policy says to all of these
	Denied       Tally             `json:"denied"`
	Reasons      []SimulatedReason `json:"reasons,omitempty"` // each of every denied transfer: together more than denied
}

// Tally counts transfers and what they hold.
type Tally struct {
	Transfers int64 `json:"transfers"`
	Rows      int64 `json:"rows"`
	Bytes     int64 `json:"bytes"`
}

// Add adds o.
func (t *Tally) Add(o Tally) {
	t.Transfers += o.Transfers
	t.Rows += o.Rows
	t.Bytes += o.Bytes
}

// SimulatedReason is one rule and what it denies.
type SimulatedReason struct {
	Rule string `json:"rule"`
	Tally
}
