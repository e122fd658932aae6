package policy

import (
	"encoding/json"
	"fmt"
	"time"
)

// FormatVersion is the version of the JSON forms of this package (policies and
// bundle rows). Readers refuse any other.
const FormatVersion = 1

// ResidencyPolicy is the residency rules of one tenant, as stored, signed and
// shipped. Canonical gives its signed bytes. All strings are closed: ids, codes
// and hex, never prose.
type ResidencyPolicy struct {
	Tenant            TenantID                   `json:"tenant"`
	HomeRegion        RegionID                   `json:"home_region"`
	Boundary          Boundary                   `json:"boundary"`
	HomeEpoch         uint64                     `json:"home_epoch"`
	Revision          uint64                     `json:"revision"`
	ContractingEntity string                     `json:"contracting_entity"`
	Classes           map[DataClass]ClassRule    `json:"classes"`
	OnUnavailable     Unavailable                `json:"on_region_unavailable"`
	Egress            map[EgressClass]EgressRule `json:"egress"`
	Recipients        Recipients                 `json:"recipients"`
	Access            AccessRule                 `json:"access"`
	Consent           map[DataClass][]string     `json:"consent,omitempty"` // required purposes
	MaxStaleness      Seconds                    `json:"max_policy_staleness"`
	MinAttestation    Attestation                `json:"min_attestation"`
	AllowRegionChange bool                       `json:"allow_region_change"`
	Signatures        []Signature                `json:"signatures,omitempty"`
}

// ClassRule says what holds for one data class.
type ClassRule struct {
	Mode          Mode    `json:"mode"`
	Retention     Seconds `json:"retention"`                // 0: until erased
	RedactProfile string  `json:"redact_profile,omitempty"` // ^[a-z0-9_]{1,32}$
}

// Seconds is a length of time in whole seconds.
type Seconds int64

// Duration converts to the standard library's unit.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Unavailable says what happens while the home region is away.
type Unavailable uint8

// The two answers. FailoverInBoundary answers NOT_YET until its mechanism exists.
const (
	FailClosed Unavailable = iota + 1
	FailoverInBoundary
	numUnavailables = iota + 1
)

var unavailableNames = [numUnavailables]string{FailClosed: "fail_closed", FailoverInBoundary: "failover_in_boundary"}

func (u Unavailable) String() string                { return nameOf(unavailableNames[:], uint8(u)) }
func (u Unavailable) MarshalText() ([]byte, error)  { return marshalName(unavailableNames[:], uint8(u)) }
func (u *Unavailable) UnmarshalText(b []byte) error { return parseInto(u, unavailableNames[:], b) }

// Effect is allow or deny, or a daily cap for egress.
type Effect uint8

// The effects. The zero effect denies.
const (
	Deny Effect = iota + 1
	Allow
	Cap
	numEffects = iota + 1
)

var effectNames = [numEffects]string{Deny: "deny", Allow: "allow", Cap: "cap"}

func (e Effect) String() string                { return nameOf(effectNames[:], uint8(e)) }
func (e Effect) MarshalText() ([]byte, error)  { return marshalName(effectNames[:], uint8(e)) }
func (e *Effect) UnmarshalText(b []byte) error { return parseInto(e, effectNames[:], b) }

// EgressRule allows, denies or caps one egress class under a named basis.
type EgressRule struct {
	Effect Effect `json:"effect"`
	PerDay uint64 `json:"per_day,omitempty"` // with cap: releases a day
	Basis  string `json:"basis,omitempty"`   // id of a transfer basis; "" with deny
}

// Recipients is the allow-list of who may receive exports. An empty list must
// be written as deny_all.
type Recipients struct {
	DenyAll bool        `json:"deny_all"`
	List    []Recipient `json:"list,omitempty"`
}

// Recipient is one receiver of pseudonymised data. Its people and systems are
// described at home, never here.
type Recipient struct {
	ID               RecipientID `json:"id"`
	Region           RegionID    `json:"region"`
	Purpose          string      `json:"purpose"`           // ^[a-z][a-z0-9_]{1,31}$
	Transforms       string      `json:"transforms"`        // name of a transform set; "standard"
	Threshold        int         `json:"threshold"`         // k: distinct subjects per released class, ≥ 10
	Colluding        int         `json:"colluding"`         // m: subjects the recipient may control, default 3
	AssessmentHash   string      `json:"assessment_hash"`   // hex SHA-256 of the transfer assessment
	AssessmentExpiry time.Time   `json:"assessment_expiry"` // UTC
}

// AccessRule governs staff access; enforced from the access issue on.
type AccessRule struct {
	Approval         string   `json:"approval"` // "required"
	AllowedReasons   []string `json:"allowed_reasons"`
	ApproverBoundary Boundary `json:"approver_boundary"`
	MaxDuration      Seconds  `json:"max_duration"`
	ScopeWidth       string   `json:"scope_width"` // record, call, day
}

// Signature is one end signature over Canonical.
type Signature struct {
	KeyID string `json:"key_id"` // hex, first 16 bytes of SHA-256 of the public key
	Value string `json:"value"`  // base64, Ed25519
}

// Canonical is the byte string that signatures cover: the JSON form without
// signatures and revision, keys sorted, prefixed with its purpose.
func (p ResidencyPolicy) Canonical() ([]byte, error) {
	p.Signatures, p.Revision = nil, 0
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("canonical form of a policy: %w", err)
	}
	return append([]byte("domicile policy v1\n"), b...), nil
}

// DefaultPolicy is what a new tenant gets when none is given: every class
// sealed, nothing leaves, all within home.
func DefaultPolicy(tenant TenantID, home Region, entity string) ResidencyPolicy {
	p := ResidencyPolicy{
		Tenant: tenant, HomeRegion: home.ID, Boundary: home.Boundary, HomeEpoch: 1,
		ContractingEntity: entity,
		Classes:           make(map[DataClass]ClassRule, numDataClasses-1),
		OnUnavailable:     FailClosed,
		Egress:            make(map[EgressClass]EgressRule, numEgressClasses-1),
		Recipients:        Recipients{DenyAll: true},
		Access: AccessRule{Approval: "required", ApproverBoundary: home.Boundary,
			MaxDuration: 3600, ScopeWidth: "record"},
		MaxStaleness:   60,
		MinAttestation: Declared,
	}
	for _, c := range DataClasses() {
		p.Classes[c] = ClassRule{Mode: Sealed}
	}
	for _, e := range EgressClasses() {
		p.Egress[e] = EgressRule{Effect: Deny}
	}
	for _, e := range []EgressClass{ControlStream, LocalStore, LocalKey, Telemetry, CustomerAPI, TreeHead} {
		p.Egress[e] = EgressRule{Effect: Allow, Basis: "NONE"}
	}
	return p
}
