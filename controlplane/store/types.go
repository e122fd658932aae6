package store

import (
	"encoding/json"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Tenant is an operator's customer and where it lives. It holds no personal
// data: ids, codes and a slug that a phone number does not fit into.
type Tenant struct {
	ID              policy.TenantID    `json:"id"`
	Slug            policy.Slug        `json:"slug"`
	Home            policy.RegionID    `json:"home"`
	Boundary        policy.Boundary    `json:"boundary"`
	HomeEpoch       uint64             `json:"home_epoch"`
	BillingCountry  string             `json:"billing_country"` // ISO 3166-1 alpha-2
	Entity          string             `json:"entity"`          // contracting entity, from the table
	SuggestedRegion policy.RegionID    `json:"suggested_region"`
	State           policy.TenantState `json:"state"`
	CreatedAt       time.Time          `json:"created_at"`       // stamped, UTC
	Signed          bool               `json:"signed,omitempty"` // it has a signing key: nodes take its policies from nobody else
	Purge           *Purge             `json:"purge,omitempty"`  // once its end was ordered; since format 3
	ETag            string             `json:"etag"`
}

// PurgeNode is a node whose receipt is waited for.
type PurgeNode struct {
	Region policy.RegionID `json:"region"`
	Node   policy.NodeID   `json:"node"`
}

// Purge is the end of a tenant: the order, and how far it is carried out.
type Purge struct {
	policy.PurgeOrder
	Delete    bool            `json:"delete,omitempty"` // the tenant itself, when everything is destroyed
	StartedAt time.Time       `json:"started_at"`
	EndedAt   *time.Time      `json:"ended_at,omitempty"`
	Signers   *policy.Signers `json:"signers,omitempty"` // of the tenant, by which nodes verify the order
	Nodes     []PurgeNode     `json:"nodes"`             // that were there when it was ordered
	Missing   []PurgeNode     `json:"missing,omitempty"` // that have not answered yet
	Excused   []PurgeNode     `json:"excused,omitempty"` // that never will
}

// PurgeReceipt is a node's receipt as it was recorded.
type PurgeReceipt struct {
	policy.PurgeReceipt
	SHA256     string    `json:"sha256"`    // hex, of its statement
	Signature  string    `json:"signature"` // base64, by the node's certificate
	RecordedAt time.Time `json:"recorded_at"`
}

// Policy is a tenant's residency policy with its etag. Its revision is the
// store's revision at which it was last written.
type Policy struct {
	policy.ResidencyPolicy
	Signers *policy.Signers `json:"signers,omitempty"` // nil until the tenant enrols its first signing key
	ETag    string          `json:"etag"`
}

// Key is an API key as stored: SHA-256 of its secret, never the secret.
type Key struct {
	policy.APIKey
	CreatedAt time.Time `json:"created_at"`
	Revision  uint64    `json:"revision"` // at which it was issued: distributed once the region has acknowledged it
	ETag      string    `json:"etag"`
}

// Region is a region with its etag.
type Region struct {
	policy.Region
	ETag string `json:"etag"`
}

// Feature says how far one feature is in one region.
type Feature struct {
	Region policy.RegionID `json:"region"`
	Name   string          `json:"name"`
	Stage  string          `json:"stage"` // none, pilot, beta, ga

	Limits         []FeatureLimit `json:"limits,omitempty"`         // ordered by code; since format 3
	Certifications []string       `json:"certifications,omitempty"` // codes, ordered; since format 3
	ETag           string         `json:"etag,omitempty"`           // since format 3
}

// FeatureLimit bounds a feature in a region, in closed form.
type FeatureLimit struct {
	Code  string `json:"code"` // e.g. CALLS_PER_SECOND
	Value uint64 `json:"value"`
}

// Entity is the contracting entity of one billing country.
type Entity struct {
	Country         string          `json:"country"` // ISO 3166-1 alpha-2
	Code            string          `json:"code"`
	SuggestedRegion policy.RegionID `json:"suggested_region,omitempty"`
	ETag            string          `json:"etag,omitempty"` // since format 3
}

// Basis is a transfer basis. DrilledAt is for display alone: when somebody last
// asked what its revocation would stop.
type Basis struct {
	policy.TransferBasis
	DrilledAt *time.Time `json:"drilled_at,omitempty"` // stamped; since format 3
	ETag      string     `json:"etag,omitempty"`       // of State, ExpiresAt and Grant; since format 3
}

// ChangeState is a pending change's stage of life.
type ChangeState string

// The states of a change. One lapses when a restore or a recovery begins a new
// cluster epoch.
const (
	ChangePending  ChangeState = "pending"
	ChangeRejected ChangeState = "rejected"
	ChangeApplied  ChangeState = "applied"
	ChangeLapsed   ChangeState = "lapsed"
)

// Change is a loosening policy that waits for signatures.
type Change struct {
	ID        string                 `json:"id"` // CH…
	Tenant    policy.TenantID        `json:"tenant"`
	State     ChangeState            `json:"state"`
	Hash      string                 `json:"hash"` // hex SHA-256 of Proposed.Canonical()
	Fields    []policy.FieldChange   `json:"fields"`
	Proposed  policy.ResidencyPolicy `json:"proposed"`
	CreatedAt time.Time              `json:"created_at"`
	ETag      string                 `json:"etag"`

	Base       string             `json:"base,omitempty"`       // etag of the policy that it changes; it applies to no other
	Sequence   uint64             `json:"sequence,omitempty"`   // that signatures name; 0: the tenant had no signing key
	Signatures []policy.Signature `json:"signatures,omitempty"` // given so far

	BillingCountry string `json:"billing_country,omitempty"` // that the tenant gets, with the entity in Proposed; since format 3
}

// Loosens reports whether the change needs a second person.
func (c Change) Loosens() bool {
	for _, f := range c.Fields {
		if f.Kind == policy.Loosen {
			return true
		}
	}
	return false
}

// Scope is what a credential may do: a role, and what the role is bound to.
type Scope struct {
	Role      string          `json:"role"`                // package server knows the roles
	Tenant    policy.TenantID `json:"tenant,omitempty"`    // the only tenant that exists for it
	Region    policy.RegionID `json:"region,omitempty"`    // the only region that exists for it
	ReadOnly  bool            `json:"read_only,omitempty"` // it changes nothing, whatever its role
	ExpiresAt *time.Time      `json:"expires_at,omitempty"`
}

// Ended reports whether the scope has run out at a time. Without an expiry it
// does not: only tokens that a configuration seeds have none.
func (s Scope) Ended(now time.Time) bool { return s.ExpiresAt != nil && !now.Before(*s.ExpiresAt) }

// Token is a bearer token of a person or program as stored. Its principal is
// its id: each token has one of its own.
type Token struct {
	SHA256    string `json:"sha256"`    // hex, of the whole token
	Principal string `json:"principal"` // PR…, opaque, random
	Scope
	CreatedAt time.Time `json:"created_at,omitzero"` // stamped, UTC
	Disabled  bool      `json:"disabled,omitempty"`
	ETag      string    `json:"etag,omitempty"`
}

// Principal is a person whom an OpenID issuer vouches for, and their role. The
// id is a keyed hash whose key is not in the state: who they are stands nowhere
// here.
type Principal struct {
	ID string `json:"id"` // PR…
	Scope
	CreatedAt time.Time `json:"created_at,omitzero"` // stamped, UTC
	ETag      string    `json:"etag,omitempty"`
}

// Bootstrap is a one-time token: it makes the first credential, and nothing else.
type Bootstrap struct {
	SHA256     string    `json:"sha256"`     // hex, of the whole token
	Generation uint64    `json:"generation"` // a higher one replaces it, spent or not
	ExpiresAt  time.Time `json:"expires_at"` // stamped, UTC
	Spent      bool      `json:"spent,omitempty"`
}

// Cluster is what the first command of a cluster settled.
type Cluster struct {
	ID        string    `json:"id"` // CL…
	CreatedAt time.Time `json:"created_at"`
}

// Epoch is what RaiseEpoch began.
type Epoch struct {
	ClusterID string `json:"cluster_id"`
	Epoch     uint64 `json:"epoch"`
	Revision  uint64 `json:"revision"` // of the change that began it
}

// Result is what one command did. A domain refusal is a value here, equal on
// every node; it left no effect.
type Result struct {
	Kind     Kind          `json:"kind"`           // of the command that had the effect: with a replay, the first one's
	Revision uint64        `json:"revision"`       // the store's revision after the command
	Err      *policy.Error `json:"err,omitempty"`  // refusal, else nil
	Body     []byte        `json:"body,omitempty"` // the object written, as encode gives it: Tenant, Policy, Key, Region, Change, Token, Principal, Cluster
	Replayed bool          `json:"replayed"`       // the idempotency key was seen before: nothing was done again
}

// Decode reads the object that the command wrote.
func (r Result) Decode(into any) error {
	if p, ok := into.(*Policy); ok {
		if unplain(r.Body, p) {
			return nil
		}
		*p = Policy{}
	}
	return json.Unmarshal(r.Body, into)
}

// TenantFilter narrows Tenants; zero fields do not narrow.
type TenantFilter struct {
	Home policy.RegionID
	ID   policy.TenantID // for principals that may see one tenant only
}

// Delta is what changed in one region's bundle after From, as of To.
type Delta struct {
	From, To uint64
	Rows     []policy.Row // replace or add, ordered by row key
	Removed  []string     // row keys, ordered
}
