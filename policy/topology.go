package policy

import (
	"fmt"
	"sort"
)

// Lifecycle is a region's stage of life.
type Lifecycle uint8

// The lifecycle: planned → active → draining → read_only → retired.
const (
	Planned Lifecycle = iota + 1
	Active
	Draining
	ReadOnly
	Retired
	numLifecycles = iota + 1
)

var lifecycleNames = [numLifecycles]string{Planned: "planned", Active: "active", Draining: "draining", ReadOnly: "read_only", Retired: "retired"}

func (l Lifecycle) String() string                { return nameOf(lifecycleNames[:], uint8(l)) }
func (l Lifecycle) MarshalText() ([]byte, error)  { return marshalName(lifecycleNames[:], uint8(l)) }
func (l *Lifecycle) UnmarshalText(b []byte) error { return parseInto(l, lifecycleNames[:], b) }

// Accepts reports whether a region at this stage takes new records.
func (l Lifecycle) Accepts() bool { return l == Active || l == Draining }

// Serves reports whether a region at this stage answers reads and does work.
func (l Lifecycle) Serves() bool { return l == Active || l == Draining || l == ReadOnly }

// Region is one isolated deployment. It belongs to exactly one boundary.
type Region struct {
	ID           RegionID  `json:"id"`
	Boundary     Boundary  `json:"boundary"`
	Country      string    `json:"country"`       // ISO 3166-1 alpha-2
	Cloud        string    `json:"cloud"`         // e.g. "aws-eu-west-1"
	BackupRegion string    `json:"backup_region"` // a region of the same boundary, or "none"
	Lifecycle    Lifecycle `json:"lifecycle"`
	BaseURL      string    `json:"base_url,omitempty"` // where tenants reach it; "" while unknown
}

// Topology is an immutable set of regions, with the transfer bases between them.
type Topology struct {
	regions map[RegionID]Region
	bases   map[string]TransferBasis
}

// NewTopology checks that every backup region exists in the same boundary and
// that no region stands twice.
func NewTopology(regions []Region) (*Topology, error) {
	t := &Topology{regions: make(map[RegionID]Region, len(regions))}
	for _, r := range regions {
		if _, twice := t.regions[r.ID]; twice {
			return nil, fmt.Errorf("region %s stands twice", r.ID)
		}
		t.regions[r.ID] = r
	}
	for _, r := range regions {
		if r.BackupRegion == "none" {
			continue
		}
		b, ok := t.regions[RegionID(r.BackupRegion)]
		if !ok || b.Boundary != r.Boundary || b.ID == r.ID {
			return nil, fmt.Errorf("region %s: backup_region must be another region of boundary %s, or none", r.ID, r.Boundary)
		}
	}
	return t, nil
}

// Region finds a region.
func (t *Topology) Region(id RegionID) (Region, bool) {
	if t == nil {
		return Region{}, false
	}
	r, ok := t.regions[id]
	return r, ok
}

// Boundary says which boundary a region belongs to; "" when it is unknown.
func (t *Topology) Boundary(id RegionID) Boundary {
	r, _ := t.Region(id)
	return r.Boundary
}

// Regions lists all regions, ordered by id.
func (t *Topology) Regions() []Region {
	if t == nil {
		return nil
	}
	out := make([]Region, 0, len(t.regions))
	for _, r := range t.regions {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}
