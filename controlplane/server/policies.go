package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type policyService struct {
	controlv1.UnimplementedPolicyServiceServer
	*core
}

// GetPolicy implements controlv1.PolicyServiceServer.
func (s policyService) GetPolicy(ctx context.Context, req *controlv1.GetPolicyRequest) (*controlv1.Policy, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	p, err := s.store.Policy(t.ID)
	if err != nil {
		return nil, err
	}
	return control.PolicyOf(&p.ResidencyPolicy, p.ETag), tagged(ctx, p.ETag)
}

// PutPolicy implements controlv1.PolicyServiceServer.
func (s policyService) PutPolicy(ctx context.Context, req *controlv1.PutPolicyRequest) (*controlv1.Policy, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return nil, err
		}
		tag, err := ifMatch(ctx)
		if err != nil {
			return nil, err
		}
		return s.planPolicy(t.ID, tag, func(now policy.ResidencyPolicy) (policy.ResidencyPolicy, error) {
			return s.ruled(now, req.GetRules(), "rules")
		})
	})
	if err != nil {
		return nil, err
	}
	p, err := applied(res)
	if err != nil {
		return nil, err
	}
	return control.PolicyOf(&p.ResidencyPolicy, p.ETag), tagged(ctx, p.ETag)
}

// planPolicy makes the command for a changed policy: what tightens is put,
// what loosens becomes a pending change (contract §3). Apply judges again by
// the same etag, so what was classified here is what is replaced.
func (c *core) planPolicy(tenant policy.TenantID, tag string, change func(policy.ResidencyPolicy) (policy.ResidencyPolicy, error)) (store.Payload, error) {
	now, err := c.store.Policy(tenant)
	if err != nil {
		return nil, err
	}
	if tag != now.ETag {
		return nil, policy.Errorf(policy.ETagMismatch, "the policy has changed since it was read; read it again and repeat the change")
	}
	next, err := change(now.ResidencyPolicy)
	if err != nil {
		return nil, err
	}
	kind, fields := policy.Classify(&now.ResidencyPolicy, &next)
	if kind != policy.Loosen && (now.Signers == nil || len(fields) == 0) {
		return store.PutPolicy{Tenant: tenant, IfMatch: tag, Policy: next}, nil
	}
	id, err := draw(policy.KindChange)
	if err != nil {
		return nil, err
	}
	canonical, err := next.Canonical()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(canonical)
	return store.AddChange{ID: id, Tenant: tenant, IfMatch: tag, Hash: hex.EncodeToString(sum[:]), Fields: fields, Proposed: next}, nil
}

// applied reads the result of planPolicy's command: the policy in force, or the
// refusal that names the pending change.
func applied(res store.Result) (store.Policy, error) {
	if res.Kind == store.KindAddChange {
		var ch store.Change
		if err := res.Decode(&ch); err != nil {
			return store.Policy{}, err
		}
		if !ch.Loosens() {
			return store.Policy{}, policy.Errorf(policy.ApprovalRequired,
				"the tenant signs its policies, so this change waits for its signature as %s; sign it with domicile changes approve %s", ch.ID, ch.ID).With("change", ch.ID)
		}
		return store.Policy{}, policy.Errorf(policy.LooseningNeedsApproval,
			"this change loosens the policy, so it was not applied and waits for approval as %s; see GET /v1/changes/%s", ch.ID, ch.ID).With("change", ch.ID)
	}
	var p store.Policy
	return p, res.Decode(&p)
}

// ExplainDecision implements controlv1.PolicyServiceServer. It only explains:
// the permit of the decision is dropped, and data is moved by data planes, which
// decide again with their own bundle.
func (s policyService) ExplainDecision(ctx context.Context, req *controlv1.ExplainDecisionRequest) (*controlv1.ExplainDecisionResponse, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	q, err := question(req)
	if err != nil {
		return nil, err
	}
	stored, err := s.store.Policy(t.ID)
	if err != nil {
		return nil, err
	}
	var none policy.Set
	q.Tenant = t.ID
	set := none.With(s.store.Revision(), []*policy.Rules{policy.Compile(&stored.ResidencyPolicy, t.State)}, nil)
	d := policy.Decide(set, s.store.Topology(), q)
	out := &controlv1.ExplainDecisionResponse{Effect: d.Effect.String(), Revision: d.Revision, HomeRegion: string(d.Home)}
	for _, r := range d.Reasons() {
		out.Reasons = append(out.Reasons, &controlv1.DecisionReason{Rule: r.String(), Denies: r.Denies(), Explanation: r.Explanation()})
	}
	if d.Effect == policy.Allow {
		out.Transform = "as_is"
		if q.Op == policy.Export {
			out.Transform = "pseudonymise"
		}
	}
	return out, nil
}

func question(req *controlv1.ExplainDecisionRequest) (policy.Request, error) {
	op, err := policy.ParseOperation(req.GetOperation())
	if err != nil {
		return policy.Request{}, fieldError("operation", "must be ingest, store, process, view, export or erase")
	}
	class, err := policy.ParseDataClass(req.GetDataClass())
	if err != nil {
		return policy.Request{}, fieldError("data_class", "must be one of the data classes, e.g. call_record")
	}
	q := policy.Request{Op: op, Class: class, Region: policy.RegionID(req.GetRegion()), Recipient: policy.RecipientID(req.GetRecipient()),
		Purpose: req.GetPurpose(), Now: time.Now().UTC(), BundleAge: time.Duration(req.GetBundleAge()) * time.Second, Attestation: policy.Declared}
	if req.GetEgressClass() != "" {
		if q.Egress, err = policy.ParseEgressClass(req.GetEgressClass()); err != nil {
			return q, fieldError("egress_class", "must be one of the egress classes, e.g. PSEUDONYMISED_EXPORT")
		}
	}
	if req.GetAttestation() != "" {
		if err := q.Attestation.UnmarshalText([]byte(req.GetAttestation())); err != nil {
			return q, fieldError("attestation", "must be declared, operator_signed or cloud_signed")
		}
	}
	return q, nil
}
