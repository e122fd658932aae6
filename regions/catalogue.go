package regions

import (
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Catalogue is everything that a new cluster starts with. Lists are ordered:
// regions by id, entities by billing country, bases by id.
type Catalogue struct {
	Regions  []policy.Region                       `json:"regions"`
	Features map[policy.RegionID]map[string]string `json:"features"` // region → feature → stage; every region names every feature
	Entities []Entity                              `json:"entities"`
	Bases    []Basis                               `json:"bases"`
}

// Entity says who contracts with customers of one billing country, and which
// home region is suggested to them. The suggestion is never applied by itself:
// a tenant's region is always given explicitly.
type Entity struct {
	BillingCountry  string          `json:"billing_country"` // ISO 3166-1 alpha-2
	Code            string          `json:"code"`            // closed code, e.g. DOM-IE
	SuggestedRegion policy.RegionID `json:"suggested_region"`
}

// The states of a transfer basis.
const (
	BasisActive  = "active"
	BasisRevoked = "revoked"
	BasisExpired = "expired"
)

// Basis is a legal basis under which pseudonymised data may cross a border.
type Basis struct {
	ID        string     `json:"id"` // e.g. ADEQUACY-DPF
	State     string     `json:"state"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // UTC; nil: no expiry
}

// The stages of a feature in a region, in order.
const (
	StageNone  = "none"
	StagePilot = "pilot"
	StageBeta  = "beta"
	StageGA    = "ga"
)

// Stages lists the closed list of stages, in order.
func Stages() []string { return []string{StageNone, StagePilot, StageBeta, StageGA} }

// FeatureNames is the closed list of features, in order. A region that does
// not name a feature does not load: absence must be written as none.
func FeatureNames() []string {
	return []string{"messaging", "presence", "recording", "sensitive_collection", "sip_trunking", "stir_shaken", "transcript", "voice"}
}

// EntityFor finds the entity for a billing country.
func (c *Catalogue) EntityFor(billingCountry string) (Entity, bool) {
	for _, e := range c.Entities {
		if e.BillingCountry == billingCountry {
			return e, true
		}
	}
	return Entity{}, false
}

// Topology of the catalogue's regions.
func (c *Catalogue) Topology() (*policy.Topology, error) { return policy.NewTopology(c.Regions) }
