package server

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type violationService struct {
	controlv1.UnimplementedViolationServiceServer
	*core
}

// ListViolations implements controlv1.ViolationServiceServer: what holds, and
// what was resolved and is still kept.
func (s violationService) ListViolations(_ context.Context, req *controlv1.ListViolationsRequest) (*controlv1.ListViolationsResponse, error) {
	all, err := s.store.Violations()
	if err != nil {
		return nil, err
	}
	var list []*controlv1.Violation
	for _, v := range all {
		if req.GetState() == "" || req.GetState() == string(v.State) {
			list = append(list, s.violationOf(v))
		}
	}
	list, next, err := cut(list, (*controlv1.Violation).GetId, req)
	return &controlv1.ListViolationsResponse{Violations: list, NextPageToken: next}, err
}

// GetViolation implements controlv1.ViolationServiceServer.
func (s violationService) GetViolation(ctx context.Context, req *controlv1.GetViolationRequest) (*controlv1.Violation, error) {
	v, err := s.store.Violation(req.GetViolation())
	if isReason(err, policy.NotFound) {
		return nil, notFound("violation")
	}
	if err != nil {
		return nil, err
	}
	return s.violationOf(v), tagged(ctx, v.ETag)
}

// AcknowledgeViolation implements controlv1.ViolationServiceServer.
func (s violationService) AcknowledgeViolation(ctx context.Context, req *controlv1.AcknowledgeViolationRequest) (*controlv1.Violation, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		tag, err := optionalIfMatch(ctx)
		return store.SettleViolation{To: store.ViolationAcknowledged, ID: req.GetViolation(), ReasonCode: req.GetReasonCode(), IfMatch: tag}, err
	})
	if err != nil {
		return nil, err
	}
	var v store.Violation
	if err := res.Decode(&v); err != nil {
		return nil, err
	}
	return s.violationOf(v), tagged(ctx, v.ETag)
}

func (s violationService) violationOf(v store.Violation) *controlv1.Violation {
	out := &controlv1.Violation{Id: v.ID, State: string(v.State), Category: v.Category, Cause: v.Cause, Resource: v.Resource, Revision: v.Revision,
		FirstSeen: timestamppb.New(v.FirstSeen), LastSeen: timestamppb.New(v.LastSeen), Count: v.Count,
		AcknowledgedBy: v.AcknowledgedBy, ReasonCode: v.ReasonCode, Etag: v.ETag}
	if v.AcknowledgedAt != nil {
		out.AcknowledgeTime = timestamppb.New(*v.AcknowledgedAt)
	}
	if v.ResolvedAt != nil {
		out.ResolveTime = timestamppb.New(*v.ResolvedAt)
	}
	if v.State != store.ViolationResolved {
		out.Commands = append(s.restoredRemedies(v), Remediation(s.cluster, v)...)
	}
	return out
}

// Remediation is what a person types about a violation, most useful first. Each
// is a command of the command line, with the ids filled in.
func Remediation(cluster string, v store.Violation) []string {
	resource := v.Resource
	show := "domicile nodes show " + resource
	evict := "domicile nodes evict " + resource + " --reason COMPROMISED"
	var do []string
	switch {
	case v.Cause == causeWaiting:
		do = []string{show, "domicile nodes admit " + resource, "domicile nodes evict " + resource + " --reason LOST"}
	case v.Cause == causeEvicted:
		do = []string{show, "domicile nodes list --state evicted"}
	case v.Cause == causeAdmitted:
		do = []string{show, "domicile trust admit-node --root root.key --cluster " + cluster + " --cert cert.pem --out admission.json",
			"domicile nodes admit " + resource + " --admission admission.json"}
	case v.Category == "ATTESTATION":
		do = []string{show, evict}
	case v.Cause == causeBucketLocation, v.Cause == causeBucketReplication, v.Cause == causeBucketKey:
		do = []string{show, "domicile regions list", evict} // the bucket is mended with its cloud's own tools
	case v.Cause == causeCanary:
		do = []string{show, evict} // its region's other nodes go on; what it took in is looked at before it comes back
	case v.Cause == causeCorrupt:
		do = []string{show, "domicile nodes evict " + resource + " --reason REPLACED"}
	case v.Category == "ENCRYPTION":
		do = []string{show, "domicile status", evict}
	case v.Category == "STALENESS":
		do = []string{show, "domicile status"}
	default:
		do = []string{"domicile status"}
	}
	return append(slices.Clip(do), "domicile violations acknowledge "+v.ID+" --reason INVESTIGATING")
}
