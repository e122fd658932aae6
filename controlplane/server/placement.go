package server

import (
	"context"
	"slices"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// CheckPlacement implements controlv1.TenantServiceServer. It says what would
// block or differ, from the same data that a move would be judged by.
func (s tenantService) CheckPlacement(ctx context.Context, req *controlv1.CheckPlacementRequest) (*controlv1.CheckPlacementResponse, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	target, err := s.region(ctx, req.GetRegion())
	if err != nil {
		return nil, err
	}
	out := findings{}
	if target.ID == t.Home {
		out.differs("ALREADY_HOME", string(target.ID))
	}
	if target.Lifecycle != policy.Active {
		out.blocks("REGION_NOT_ACTIVE", string(target.ID))
	}
	if target.Boundary != t.Boundary {
		out.differs("BOUNDARY_CHANGES", string(target.Boundary))
	}
	if target.BackupRegion == "none" {
		out.differs("NO_BACKUP_REGION", string(target.ID))
	}
	if err := s.compareAttestation(&out, t.ID, target.ID); err != nil {
		return nil, err
	}
	if err := s.compareFeatures(&out, t.Home, target.ID, req.GetFeatures()); err != nil {
		return nil, err
	}
	entity, err := s.store.EntityFor(t.BillingCountry)
	if err == nil && entity.SuggestedRegion != "" && entity.SuggestedRegion != target.ID {
		out.differs("NOT_SUGGESTED_REGION", string(entity.SuggestedRegion))
	}
	if err != nil && !isReason(err, policy.NotFound) {
		return nil, err
	}
	return out.answer(), nil
}

// compareAttestation: a policy that demands a level needs a node that has it.
func (s tenantService) compareAttestation(out *findings, tenant policy.TenantID, target policy.RegionID) error {
	p, err := s.store.Policy(tenant)
	if err != nil || p.MinAttestation <= policy.Declared {
		return err
	}
	nodes, err := s.store.Nodes()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(nodes, func(n store.Node) bool {
		return n.Region == target && n.Admits() && levelNow(n) >= p.MinAttestation
	}) {
		out.blocks("ATTESTATION", p.MinAttestation.String())
	}
	return nil
}

// compareFeatures: what was asked for must be there; what the tenant has today
// and would lose, or get at an earlier stage, is said too.
func (s tenantService) compareFeatures(out *findings, home, target policy.RegionID, wanted []string) error {
	now, err := s.stages(home)
	if err != nil {
		return err
	}
	then, err := s.stages(target)
	if err != nil {
		return err
	}
	for _, name := range wanted {
		if absent(then[name]) {
			out.blocks("FEATURE_NOT_IN_REGION", name)
		}
	}
	for _, name := range sorted(now) {
		switch {
		case slices.Contains(wanted, name) && absent(then[name]), absent(now[name]):
		case absent(then[name]):
			out.differs("FEATURE_NOT_IN_REGION", name)
		case now[name] != then[name]:
			out.differs("FEATURE_STAGE_CHANGES", name)
		}
	}
	return nil
}

func (c *core) stages(region policy.RegionID) (map[string]string, error) {
	list, err := c.store.Features(region)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(list))
	for _, f := range list {
		out[f.Name] = f.Stage
	}
	return out, nil
}

func absent(stage string) bool { return stage == "" || stage == "none" }

func sorted(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// findings collects what a placement would meet.
type findings struct{ list []*controlv1.PlacementFinding }

func (f *findings) blocks(code, subject string)  { f.add("blocks", code, subject) }
func (f *findings) differs(code, subject string) { f.add("differs", code, subject) }

func (f *findings) add(severity, code, subject string) {
	f.list = append(f.list, &controlv1.PlacementFinding{Severity: severity, Code: code, Subject: subject})
}

func (f *findings) answer() *controlv1.CheckPlacementResponse {
	possible := !slices.ContainsFunc(f.list, func(x *controlv1.PlacementFinding) bool { return x.GetSeverity() == "blocks" })
	return &controlv1.CheckPlacementResponse{Findings: f.list, Possible: possible}
}
