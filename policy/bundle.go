package policy

import "time"

// The rows of a bundle: what one region's nodes need to decide and nothing
// more. Each row is shipped as its JSON form; a bundle's state hash covers the
// rows in order of [RowKey].

// KeyRole is what an API key may do.
type KeyRole string

// The roles of API keys.
const (
	RoleIngest    KeyRole = "ingest"
	RoleReader    KeyRole = "reader"
	RoleAdmin     KeyRole = "admin"
	RoleRecipient KeyRole = "recipient"
)

// Valid reports whether r is one of the closed list.
func (r KeyRole) Valid() bool {
	return r == RoleIngest || r == RoleReader || r == RoleAdmin || r == RoleRecipient
}

// APIKey is what is known of a key: never its secret, only SHA-256 of it.
type APIKey struct {
	ID           KeyID       `json:"id"`
	Tenant       TenantID    `json:"tenant"`
	Region       RegionID    `json:"region"`
	Role         KeyRole     `json:"role"`
	SecretSHA256 string      `json:"secret_sha256"` // hex
	HomeEpoch    uint64      `json:"home_epoch"`
	Recipient    RecipientID `json:"recipient,omitempty"`
	ExpiresAt    *time.Time  `json:"expires_at,omitempty"`
	Epoch        uint64      `json:"epoch,omitempty"`     // cluster epoch in which it was issued; 0 is the first
	Number       uint64      `json:"number,omitempty"`    // given by its tenant as it signed it; later ones are higher
	Signature    string      `json:"signature,omitempty"` // base64, of the tenant's signing key over KeyStatement; "" unsigned
}

// TenantState is a tenant's stage of life.
type TenantState string

// The states of a tenant.
const (
	TenantActive    TenantState = "active"
	TenantSuspended TenantState = "suspended"
	TenantPurging   TenantState = "purging" // its data is being destroyed
	TenantPurged    TenantState = "purged"  // every node has said that it is
	TenantDeleted   TenantState = "deleted" // for good; its slug is never given again
)

// Ends reports whether the tenant's data is to be destroyed, or is.
func (s TenantState) Ends() bool {
	return s == TenantPurging || s == TenantPurged || s == TenantDeleted
}

// TenantRow is a tenant homed in the bundle's region, or one that moved away
// (Home is then elsewhere, Policy nil and HomeURL its new place).
type TenantRow struct {
	ID        TenantID         `json:"id"`
	Slug      Slug             `json:"slug"`
	State     TenantState      `json:"state"`
	Home      RegionID         `json:"home"`
	HomeEpoch uint64           `json:"home_epoch"`
	HomeURL   string           `json:"home_url,omitempty"`
	Policy    *ResidencyPolicy `json:"policy,omitempty"`
	Keys      []APIKey         `json:"keys,omitempty"`
	Signers   *Signers         `json:"signers,omitempty"` // nil: the tenant trusts the control plane
	Demands   Attestation      `json:"demands,omitempty"` // the policy is left out because it demands this level, which the node has not
	Purge     *PurgeOrder      `json:"purge,omitempty"`   // set: destroy all its data; the row then stays for good
}

// InboundPair lets a region receive one tenant's exports for one recipient.
// Tenant is the sender's; its home is From.
type InboundPair struct {
	Tenant        TenantID    `json:"tenant"`
	Recipient     RecipientID `json:"recipient"`
	From          RegionID    `json:"from"`
	Purpose       string      `json:"purpose"`
	Transforms    string      `json:"transforms"`
	AllowListHash string      `json:"allow_list_hash"` // hex SHA-256 of the export schema
	Basis         string      `json:"basis"`
	Revision      uint64      `json:"revision"`
	Keys          []APIKey    `json:"keys,omitempty"`    // role recipient
	State         TenantState `json:"state,omitempty"`   // the sender's; "" is active
	Purge         *PurgeOrder `json:"purge,omitempty"`   // set: destroy what was received
	Signers       *Signers    `json:"signers,omitempty"` // of the sender, by which the order is verified; nil: it does not sign

	MinAttestation Attestation `json:"min_attestation,omitempty"` // that the sender's policy demands of every node; 0: declared
	Demands        Attestation `json:"demands,omitempty"`         // the terms are left out because it demands this level, which the node has not
}

// Row is one row of a bundle: exactly one field is set.
type Row struct {
	Format   int             `json:"format"`
	Region   *Region         `json:"region,omitempty"`
	Tenant   *TenantRow      `json:"tenant,omitempty"`
	Pair     *InboundPair    `json:"pair,omitempty"`
	Basis    *TransferBasis  `json:"basis,omitempty"`
	Features *RegionFeatures `json:"features,omitempty"`
	Node     *NodeRow        `json:"node,omitempty"`
}

// RowKey orders rows and names the row that a delta replaces or removes:
// "b/SCC", "f/ie1", "n/ND…", "r/ie1", "t/TN…", "p/TN…/RP…".
func (r Row) RowKey() string {
	switch {
	case r.Region != nil:
		return "r/" + string(r.Region.ID)
	case r.Tenant != nil:
		return "t/" + string(r.Tenant.ID)
	case r.Pair != nil:
		return "p/" + string(r.Pair.Tenant) + "/" + string(r.Pair.Recipient)
	case r.Basis != nil:
		return "b/" + r.Basis.ID
	case r.Features != nil:
		return "f/" + string(r.Features.Region)
	case r.Node != nil:
		return "n/" + string(r.Node.ID)
	}
	return ""
}
