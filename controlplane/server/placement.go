package server

import (
	"context"
	"slices"
	"time"

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
	doc, err := s.store.Policy(t.ID)
	if err != nil && !isReason(err, policy.NotFound) { // of a tenant that has ended there is none
		return nil, err
	}
	out := findings{}
	s.comparePlaces(&out, t, target.Region)
	if err := s.compareAttestation(&out, t.ID, target.ID); err != nil && !isReason(err, policy.NotFound) {
		return nil, err
	}
	if err := s.compareFeatures(&out, t.Home, target.ID, req); err != nil {
		return nil, err
	}
	s.comparePolicy(&out, &doc.ResidencyPolicy, target.Region)
	entity, err := s.store.EntityFor(t.BillingCountry)
	if err == nil && entity.SuggestedRegion != "" && entity.SuggestedRegion != target.ID {
		out.differs("NOT_SUGGESTED_REGION", string(entity.SuggestedRegion))
	}
	if err == nil && entity.Code != t.Entity {
		out.differs("ENTITY_CHANGES", entity.Code)
	}
	if err != nil && !isReason(err, policy.NotFound) {
		return nil, err
	}
	return out.answer(), nil
}

// comparePlaces: stages of life, boundaries and backups.
func (s tenantService) comparePlaces(out *findings, t store.Tenant, target policy.Region) {
	if target.ID == t.Home {
		out.differs("ALREADY_HOME", string(target.ID))
	}
	if t.State != policy.TenantActive {
		out.blocks("TENANT_NOT_ACTIVE", string(t.State))
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
}

// comparePolicy: what the tenant's own rules would meet in another home.
func (s tenantService) comparePolicy(out *findings, p *policy.ResidencyPolicy, target policy.Region) {
	top := s.store.Topology()
	if target.Boundary != p.Boundary && p.Boundary != "" && !p.AllowRegionChange {
		out.differs("REGION_CHANGE_NOT_ALLOWED", "allow_region_change")
	}
	if p.Access.ApproverBoundary != "" && p.Access.ApproverBoundary != target.Boundary {
		out.differs("APPROVER_BOUNDARY", string(p.Access.ApproverBoundary))
	}
	for _, c := range policy.DataClasses() {
		if p.Classes[c].Mode == policy.Replicated {
			out.blocks("MODE_NOT_YET", c.String())
		}
	}
	if p.OnUnavailable == policy.FailoverInBoundary {
		out.blocks("FAILOVER_NOT_YET", "on_region_unavailable")
	}
	for _, f := range p.Opens() {
		if stage, _ := s.store.Feature(target.ID, string(f)); policy.Stage(stage.Stage).Absent() {
			out.blocks("FEATURE_NOT_IN_REGION", string(f))
		}
	}
	s.compareRecipients(out, p, target, top)
}

// compareRecipients: under which basis each would be served from there. One
// that has fallen stops the export already; it does not stop the move.
func (s tenantService) compareRecipients(out *findings, p *policy.ResidencyPolicy, target policy.Region, top *policy.Topology) {
	rule := p.Egress[policy.PseudonymisedExport]
	if rule.Effect != policy.Allow && rule.Effect != policy.Cap {
		return
	}
	if refusal := top.BasisRefusal(rule.Basis, time.Now()); refusal != 0 && len(p.Recipients.List) > 0 {
		out.differs(refusal.String(), rule.Basis)
	}
	for _, r := range p.Recipients.List {
		there, ok := top.Region(r.Region)
		switch {
		case !ok || !there.Lifecycle.Serves():
			out.differs("RECIPIENT_REGION", string(r.ID))
		case there.Boundary != target.Boundary && rule.Basis == policy.NoTransfer:
			out.blocks("BASIS_REQUIRED", string(r.ID))
		case there.Boundary != target.Boundary && there.Boundary == p.Boundary:
			out.differs("RECIPIENT_BECOMES_FOREIGN", string(r.ID))
		}
		if !time.Now().Before(r.AssessmentExpiry) {
			out.differs("ASSESSMENT_EXPIRED", string(r.ID))
		}
	}
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
// and would lose, or get at an earlier stage, within tighter limits or without a
// certification, is said too.
func (s tenantService) compareFeatures(out *findings, home, target policy.RegionID, req *controlv1.CheckPlacementRequest) error {
	now, err := s.features(home)
	if err != nil {
		return err
	}
	then, err := s.features(target)
	if err != nil {
		return err
	}
	wanted := req.GetFeatures()
	for _, name := range wanted {
		f := then[name]
		if absent(f.Stage) {
			out.blocks("FEATURE_NOT_IN_REGION", name)
			continue
		}
		for _, c := range req.GetCertifications() {
			if !slices.Contains(f.Certifications, c) {
				out.blocks("CERTIFICATION_MISSING", name+"/"+c)
			}
		}
	}
	for _, name := range sorted(now) {
		switch {
		case slices.Contains(wanted, name) && absent(then[name].Stage), absent(now[name].Stage):
		case absent(then[name].Stage):
			out.differs("FEATURE_NOT_IN_REGION", name)
		default:
			compareFeature(out, name, now[name], then[name])
		}
	}
	return nil
}

// compareFeature: one that both regions have.
func compareFeature(out *findings, name string, now, then store.Feature) {
	if now.Stage != then.Stage {
		out.differs("FEATURE_STAGE_CHANGES", name)
	}
	for _, c := range now.Certifications {
		if !slices.Contains(then.Certifications, c) {
			out.differs("CERTIFICATION_LOST", name+"/"+c)
		}
	}
	limits := map[string]uint64{}
	for _, l := range now.Limits {
		limits[l.Code] = l.Value
	}
	for _, l := range then.Limits {
		if before, had := limits[l.Code]; !had || l.Value < before {
			out.differs("LIMIT_TIGHTER", name+"/"+l.Code)
		}
	}
}

func (c *core) features(region policy.RegionID) (map[string]store.Feature, error) {
	list, err := c.store.Features(region)
	if err != nil {
		return nil, err
	}
	out := make(map[string]store.Feature, len(list))
	for _, f := range list {
		out[f.Name] = f
	}
	return out, nil
}

func absent(stage string) bool { return policy.Stage(stage).Absent() }

func sorted(m map[string]store.Feature) []string {
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
