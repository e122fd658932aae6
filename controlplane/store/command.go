package store

import (
	"time"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// Kind numbers a command. Numbers are append-only and never used again. A node
// that meets a kind it does not know stops, unless the top bit marks the kind
// as one that older nodes may skip.
type Kind uint16

// Ignorable is the bit of kinds that a node may skip without knowing them.
const Ignorable Kind = 1 << 15

// The kinds.
const (
	KindInitCluster  Kind = 1
	KindCreateTenant Kind = 2
	KindUpdateTenant Kind = 3
	KindPutPolicy    Kind = 4
	KindAddChange    Kind = 5
	KindRejectChange Kind = 6
	KindCreateKey    Kind = 7
	KindDeleteKey    Kind = 8
	KindPutRegion    Kind = 9
	KindCreateToken  Kind = 10
	KindNop          Kind = 11 | Ignorable
	KindEnrolKey     Kind = 12
	KindApprove      Kind = 13
	KindRaiseEpoch   Kind = 25

	KindPutBasis        Kind = 40
	KindDrillBasis      Kind = 41
	KindRevokeToken     Kind = 30
	KindBindPrincipal   Kind = 31
	KindUnbindPrincipal Kind = 32
	KindUseBootstrap    Kind = 33
	KindRenewBootstrap  Kind = 34
	KindBatch           Kind = 50

	KindSetTenantState Kind = 42
	KindPurgeTenant    Kind = 43
	KindRecordPurge    Kind = 44
	KindPutFeature     Kind = 45
	KindPutEntity      Kind = 46
	KindDeleteTenant   Kind = 47
	KindExcuseNode     Kind = 48
)

// Stamp is everything about a command that Apply must not make up itself. It is
// filled before the command is proposed.
type Stamp struct {
	Now            time.Time `json:"now"`                       // UTC; the proposer's wall clock
	Actor          string    `json:"actor"`                     // PR…, or "bootstrap"
	IdempotencyKey string    `json:"idempotency_key,omitempty"` // a UUID, or ""
	RequestHash    string    `json:"request_hash,omitempty"`    // hex SHA-256 of the request; with an idempotency key only
}

// Command is one change of the state, as proposed. Payload says which.
type Command struct {
	Stamp   Stamp
	Payload Payload
}

// Kind of the command; 0 without a payload.
func (c Command) Kind() Kind {
	if c.Payload == nil {
		return 0
	}
	return c.Payload.kind()
}

// Payload is one of the payload types of this package.
type Payload interface {
	kind() Kind
	// subject says, for the audit log, what the command does to which object. Each
	// id is one that Apply has checked.
	subject() (audit.Action, string)
}

// InitCluster seeds an empty store. Refused with ALREADY_EXISTS afterwards.
type InitCluster struct {
	ClusterID string          `json:"cluster_id"`
	Regions   []policy.Region `json:"regions"`
	Features  []Feature       `json:"features"`
	Entities  []Entity        `json:"entities"`
	Bases     []Basis         `json:"bases"`
	Tokens    []Token         `json:"tokens"`
	Bootstrap *Bootstrap      `json:"bootstrap,omitempty"` // with no token: makes the first credential
}

// CreateTenant places a tenant. Boundary, entity, suggested region, state,
// home_epoch, times and etag come from the state, whatever the caller wrote;
// Policy may be nil: then it is policy.DefaultPolicy. Result body: Tenant.
//
// Refusals: ALREADY_EXISTS (slug or id taken), REGION_REQUIRED,
// INVALID_ARGUMENT (region unknown or not active; billing country not in the
// table; malformed ids).
type CreateTenant struct {
	ID             policy.TenantID         `json:"id"`
	Slug           policy.Slug             `json:"slug"`
	Home           policy.RegionID         `json:"home"`
	BillingCountry string                  `json:"billing_country"`
	Policy         *policy.ResidencyPolicy `json:"policy,omitempty"`
}

// UpdateTenant re-contracts a tenant: a new billing country gives it a new
// entity and suggestion, in its policy too. Result body: Tenant.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH, INVALID_ARGUMENT.
type UpdateTenant struct {
	ID             policy.TenantID `json:"id"`
	IfMatch        string          `json:"if_match"`
	BillingCountry string          `json:"billing_country"`
}

// PutPolicy replaces a tenant's policy by one that the proposer classified as
// tighter or neutral against the policy of etag IfMatch; Apply checks that it
// still is that one. Home, boundary, epoch, entity, revision come from the
// state. Result body: Policy.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH, REGION_IMMUTABLE,
// LOOSENING_NEEDS_APPROVAL, INVALID_ARGUMENT.
type PutPolicy struct {
	Tenant  policy.TenantID        `json:"tenant"`
	IfMatch string                 `json:"if_match"`
	Policy  policy.ResidencyPolicy `json:"policy"`
}

// AddChange keeps a loosening policy until it is signed. While a change of the
// same tenant and hash is pending, that one is the result and nothing is added.
// Tenant, state, time and etag are set by Apply. Result body: Change.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH (against the policy's
// etag), INVALID_ARGUMENT, OVERLOADED (too many pending changes).
type AddChange struct {
	ID       string                 `json:"id"` // CH…
	Tenant   policy.TenantID        `json:"tenant"`
	IfMatch  string                 `json:"if_match"`
	Hash     string                 `json:"hash"` // hex SHA-256 of Proposed.Canonical()
	Fields   []policy.FieldChange   `json:"fields"`
	Proposed policy.ResidencyPolicy `json:"proposed"`
}

// RejectChange ends a pending change. Result body: Change.
//
// Refusals: NOT_FOUND, ETAG_MISMATCH (IfMatch may be ""), ALREADY_EXISTS (not
// pending any more).
type RejectChange struct {
	ID      string `json:"id"`
	IfMatch string `json:"if_match,omitempty"`
}

// CreateKey issues an API key. Its home_epoch comes from the state. Region is
// the tenant's home or, with role recipient, the recipient's region. Result
// body: Key.
//
// Refusals: NOT_FOUND (tenant, recipient), ALREADY_EXISTS (key id),
// RESOURCE_REGION_MISMATCH (region), INVALID_ARGUMENT, OVERLOADED (too many keys).
type CreateKey struct {
	Key policy.APIKey `json:"key"`
}

// DeleteKey revokes an API key. No result body.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH.
type DeleteKey struct {
	Tenant  policy.TenantID `json:"tenant"`
	ID      policy.KeyID    `json:"id"`
	IfMatch string          `json:"if_match"`
}

// PutRegion adds a region (IfMatch "") or changes one. Result body: Region.
//
// Refusals: IF_MATCH_REQUIRED (it exists), ETAG_MISMATCH, INVALID_ARGUMENT
// (boundary or country would change, backup region not of the boundary,
// lifecycle goes back, malformed).
type PutRegion struct {
	Region  policy.Region `json:"region"`
	IfMatch string        `json:"if_match,omitempty"`
}

// CreateToken stores a bearer token's hash. Result body: Token.
//
// Refusals: ALREADY_EXISTS (hash, principal), NOT_FOUND (tenant),
// INVALID_ARGUMENT (region among them), OVERLOADED (too many tokens).
type CreateToken struct {
	Token Token `json:"token"`
}

// EnrolKey adds a signing key to a tenant. The proposer has verified its
// certificate up to the operator's root, which Apply does not know. A tenant's
// key comes with its signature over the policy in force, under the next
// sequence: from then on that policy is signed. That is what logs of before hold;
// now a tenant's key comes with EnrolTenantKey. Result body: Policy.
//
// Refusals: NOT_FOUND, INVALID_ARGUMENT (malformed; the signature is not of the
// key over the policy and sequence of now; the tenant signs its API keys), ALREADY_EXISTS (the key is
// enrolled), OVERLOADED (too many keys), APPROVAL_REQUIRED (an approver before
// the first tenant key).
type EnrolKey struct {
	Tenant    policy.TenantID   `json:"tenant"`
	Key       policy.SigningKey `json:"key"`
	Signature *policy.Signature `json:"signature,omitempty"` // with a tenant's key only
}

// Approve adds signatures to a pending change. When the tenant's key and, under
// a loosening, an approver have signed its exact hash, it applies. Result body:
// Change.
//
// Refusals: NOT_FOUND, ALREADY_EXISTS (not pending any more), ETAG_MISMATCH
// (the policy is another than the one that the change was made for),
// APPROVAL_REQUIRED (the tenant has no signing key), INVALID_ARGUMENT (a
// signature that does not hold).
type Approve struct {
	ID         string             `json:"id"`
	Signatures []policy.Signature `json:"signatures"`
}

// EpochCause says why a new cluster epoch began.
type EpochCause string

// The causes of an epoch.
const (
	CauseRestore EpochCause = "restore" // of a backup
	CauseRecover EpochCause = "recover" // from a lost quorum
)

// RaiseEpoch begins a new cluster epoch after a restore or a recovery. It is
// made offline, before the state serves anybody: all tokens but the given ones
// are void, pending changes lapse, and no delta leads across it. Result body:
// Epoch.
//
// Refusals: NOT_FOUND (no cluster yet), INVALID_ARGUMENT.
type RaiseEpoch struct {
	ClusterID string     `json:"cluster_id"`
	Epoch     uint64     `json:"epoch"` // above any that the cluster has had
	Cause     EpochCause `json:"cause"`
	Source    string     `json:"source"` // hex SHA-256 of the backup's manifest, or of the statement that two people signed
	Voter     string     `json:"voter"`  // the one that goes on; all others are given up
	Tokens    []Token    `json:"tokens"` // of the first operator of the new epoch
}

// RevokeToken removes a token: from this entry on it opens nothing. No result body.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH.
type RevokeToken struct {
	Principal string `json:"principal"` // PR… of the token
	IfMatch   string `json:"if_match"`
}

// BindPrincipal gives a person a role. Result body: Principal.
//
// Refusals: ALREADY_EXISTS (bound, or the id is a token's), NOT_FOUND (tenant),
// INVALID_ARGUMENT, OVERLOADED (too many principals).
type BindPrincipal struct {
	Principal Principal `json:"principal"`
}

// UnbindPrincipal takes a person's role away. No result body.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH.
type UnbindPrincipal struct {
	ID      string `json:"id"` // PR…
	IfMatch string `json:"if_match"`
}

// UseBootstrap spends the bootstrap token on one token or one principal of role
// operator or security_officer. Result body: Token or Principal.
//
// Refusals: UNAUTHENTICATED (no such token, spent, expired), INVALID_ARGUMENT,
// and those of CreateToken and BindPrincipal.
type UseBootstrap struct {
	SHA256    string     `json:"sha256"` // hex, of the bootstrap token that was shown
	Token     *Token     `json:"token,omitempty"`
	Principal *Principal `json:"principal,omitempty"`
}

// RenewBootstrap makes another bootstrap token the one: of a higher generation,
// or in place of one that expired unspent. No result body.
//
// Refusals: ALREADY_EXISTS (neither), INVALID_ARGUMENT, NOT_FOUND (no such cluster).
type RenewBootstrap struct {
	ClusterID string    `json:"cluster_id"`
	Bootstrap Bootstrap `json:"bootstrap"`
}

// Nop does nothing.
type Nop struct{}

func (InitCluster) kind() Kind  { return KindInitCluster }
func (CreateTenant) kind() Kind { return KindCreateTenant }
func (UpdateTenant) kind() Kind { return KindUpdateTenant }
func (PutPolicy) kind() Kind    { return KindPutPolicy }
func (AddChange) kind() Kind    { return KindAddChange }
func (RejectChange) kind() Kind { return KindRejectChange }
func (CreateKey) kind() Kind    { return KindCreateKey }
func (DeleteKey) kind() Kind    { return KindDeleteKey }
func (PutRegion) kind() Kind    { return KindPutRegion }
func (CreateToken) kind() Kind  { return KindCreateToken }
func (Nop) kind() Kind          { return KindNop }
func (EnrolKey) kind() Kind     { return KindEnrolKey }
func (Approve) kind() Kind      { return KindApprove }
func (RaiseEpoch) kind() Kind   { return KindRaiseEpoch }

func (RevokeToken) kind() Kind     { return KindRevokeToken }
func (BindPrincipal) kind() Kind   { return KindBindPrincipal }
func (UnbindPrincipal) kind() Kind { return KindUnbindPrincipal }
func (UseBootstrap) kind() Kind    { return KindUseBootstrap }
func (RenewBootstrap) kind() Kind  { return KindRenewBootstrap }

func (p InitCluster) subject() (audit.Action, string)  { return "cluster.init", p.ClusterID }
func (p CreateTenant) subject() (audit.Action, string) { return "tenant.create", string(p.ID) }
func (p UpdateTenant) subject() (audit.Action, string) { return "tenant.update", string(p.ID) }
func (p PutPolicy) subject() (audit.Action, string)    { return "policy.put", string(p.Tenant) }
func (p AddChange) subject() (audit.Action, string)    { return "change.add", p.ID }
func (p RejectChange) subject() (audit.Action, string) { return "change.reject", p.ID }
func (p CreateKey) subject() (audit.Action, string)    { return "key.create", string(p.Key.ID) }
func (p DeleteKey) subject() (audit.Action, string)    { return "key.delete", string(p.ID) }
func (p PutRegion) subject() (audit.Action, string)    { return "region.put", string(p.Region.ID) }
func (p CreateToken) subject() (audit.Action, string)  { return "token.create", p.Token.Principal }
func (p EnrolKey) subject() (audit.Action, string)     { return "signing_key.enrol", string(p.Tenant) }
func (p Approve) subject() (audit.Action, string)      { return "change.approve", p.ID }
func (p RaiseEpoch) subject() (audit.Action, string) {
	return audit.Action("cluster." + p.Cause), p.ClusterID
}
func (Nop) subject() (audit.Action, string) { return "", "" } // changes nothing

func (p RevokeToken) subject() (audit.Action, string)     { return "token.revoke", p.Principal }
func (p BindPrincipal) subject() (audit.Action, string)   { return "principal.bind", p.Principal.ID }
func (p UnbindPrincipal) subject() (audit.Action, string) { return "principal.unbind", p.ID }
func (p RenewBootstrap) subject() (audit.Action, string)  { return "bootstrap.renew", p.ClusterID }

func (p UseBootstrap) subject() (audit.Action, string) {
	if p.Principal != nil {
		return "bootstrap.use", p.Principal.ID
	}
	if p.Token != nil {
		return "bootstrap.use", p.Token.Principal
	}
	return "bootstrap.use", "" // refused by Apply
}

// Entry is one committed entry of the Raft log.
type Entry struct {
	Index, Term uint64
	Data        []byte // an encoded Command; empty for entries of Raft itself
}
