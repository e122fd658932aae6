package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

type lifecycleService struct {
	controlv1.UnimplementedLifecycleServiceServer
	*core
}

// SuspendTenant implements controlv1.LifecycleServiceServer. Without If-Match it
// wins any race: whoever stops a tenant must not lose one.
func (s lifecycleService) SuspendTenant(ctx context.Context, req *controlv1.SuspendTenantRequest) (*controlv1.Tenant, error) {
	return s.setState(ctx, req, req.GetTenant(), policy.TenantSuspended)
}

// ResumeTenant implements controlv1.LifecycleServiceServer.
func (s lifecycleService) ResumeTenant(ctx context.Context, req *controlv1.ResumeTenantRequest) (*controlv1.Tenant, error) {
	return s.setState(ctx, req, req.GetTenant(), policy.TenantActive)
}

func (s lifecycleService) setState(ctx context.Context, req proto.Message, ref string, state policy.TenantState) (*controlv1.Tenant, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.tenant(ctx, ref)
		if err != nil {
			return nil, err
		}
		tag, err := optionalIfMatch(ctx)
		return store.SetTenantState{ID: t.ID, State: state, IfMatch: tag}, err
	})
	if err != nil {
		return nil, err
	}
	var t store.Tenant
	if err := res.Decode(&t); err != nil {
		return nil, err
	}
	return tenantOf(t), tagged(ctx, t.ETag)
}

// PurgeTenant implements controlv1.LifecycleServiceServer.
func (s lifecycleService) PurgeTenant(ctx context.Context, req *controlv1.PurgeTenantRequest) (*controlv1.Operation, error) {
	var signatures []policy.Signature
	for _, sig := range req.GetSignatures() {
		signatures = append(signatures, control.SignatureFrom(sig))
	}
	return s.ending(ctx, req, func() (store.Payload, error) {
		return s.planPurge(ctx, req.GetTenant(), req.GetDelete(), signatures)
	})
}

// DeleteTenant implements controlv1.TenantServiceServer.
func (s tenantService) DeleteTenant(ctx context.Context, req *controlv1.DeleteTenantRequest) (*controlv1.Operation, error) {
	return s.ending(ctx, req, func() (store.Payload, error) {
		if req.GetPurge() {
			return s.planPurge(ctx, req.GetTenant(), true, nil)
		}
		t, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return nil, err
		}
		tag, err := ifMatch(ctx)
		return store.DeleteTenant{ID: t.ID, IfMatch: tag}, err
	})
}

// ExcuseNode implements controlv1.LifecycleServiceServer.
func (s lifecycleService) ExcuseNode(ctx context.Context, req *controlv1.ExcuseNodeRequest) (*controlv1.Operation, error) {
	return s.ending(ctx, req, func() (store.Payload, error) {
		t, err := s.tenant(ctx, req.GetTenant())
		if err == nil {
			err = s.hub.mayExcuse(endOf(t), req.GetNode())
		}
		return store.ExcuseNode{Tenant: t.ID, Node: policy.NodeID(req.GetNode())}, err
	})
}

func (c *core) ending(ctx context.Context, req proto.Message, plan func() (store.Payload, error)) (*controlv1.Operation, error) {
	res, err := c.write(ctx, req, plan)
	if err != nil {
		return nil, err
	}
	var t store.Tenant
	if err := res.Decode(&t); err != nil {
		return nil, err
	}
	return c.hub.waits(endOf(t)), tagged(ctx, t.ETag)
}

// planPurge names whose receipts are waited for: every admitted node of the
// regions that hold something of the tenant, heard or not.
func (c *core) planPurge(ctx context.Context, ref string, deletes bool, signatures []policy.Signature) (store.Payload, error) {
	t, err := c.tenant(ctx, ref)
	if err != nil {
		return nil, err
	}
	tag, err := ifMatch(ctx)
	if err != nil {
		return nil, err
	}
	id, err := draw(policy.KindOperation)
	if err != nil {
		return nil, err
	}
	p := store.PurgeTenant{ID: t.ID, IfMatch: tag, Operation: id, Delete: deletes, Signatures: signatures}
	if t.State.Ends() {
		return p, nil
	}
	holds := map[policy.RegionID]bool{t.Home: true}
	doc, err := c.store.Policy(t.ID)
	if err != nil {
		return nil, err
	}
	for _, r := range doc.Recipients.List {
		holds[r.Region] = true
	}
	home := false
	nodes, err := c.store.Nodes()
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if holds[n.Region] && n.Admits() {
			p.Nodes = append(p.Nodes, store.PurgeNode{Region: n.Region, Node: n.ID})
			home = home || n.Region == t.Home
		}
	}
	if !home {
		return nil, policy.Errorf(policy.NotReady, "no node of region %s is admitted, so nobody would destroy the tenant's data; see `domicile nodes`, and retry", t.Home).With("region", string(t.Home))
	}
	return p, nil
}

// ListReceipts implements controlv1.LifecycleServiceServer.
func (s lifecycleService) ListReceipts(ctx context.Context, req *controlv1.ListReceiptsRequest) (*controlv1.ListReceiptsResponse, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	list, err := s.store.PurgeReceipts(t.ID)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListReceiptsResponse{}
	for _, r := range list {
		out.Receipts = append(out.Receipts, receiptOf(r))
	}
	out.Receipts, out.NextPageToken, err = cut(out.Receipts, (*controlv1.PurgeReceipt).GetSha256, req)
	return out, err
}

// ReportPurge implements controlv1.LifecycleServiceServer. Region and node are
// the certificate's, and so is the key that must have signed.
func (s lifecycleService) ReportPurge(ctx context.Context, req *controlv1.ReportPurgeRequest) (*controlv1.ReportPurgeResponse, error) {
	node := callOf(ctx).node
	r := receiptFrom(req.GetReceipt())
	if r.Region != node.Region || r.Node != node.Node {
		return nil, policy.Errorf(policy.ResourceRegionMismatch, "a receipt is of the node whose certificate brings it")
	}
	statement, err := r.Statement()
	if err != nil {
		return nil, err
	}
	given := req.GetReceipt().GetSignatureValue()
	signature, err := base64.StdEncoding.DecodeString(given)
	if err == nil {
		err = signedByPeer(ctx, statement, signature)
	}
	if err != nil {
		return nil, fieldError("receipt.signature_value", "is not by the key of the certificate over this receipt")
	}
	sum := sha256.Sum256(statement)
	p := store.RecordPurge{Receipt: r, SHA256: hex.EncodeToString(sum[:]), Signature: given}
	if len(given) > maxSignature {
		p.Signature = ""
	}
	_, err = s.write(ctx, req, func() (store.Payload, error) { return p, nil })
	return &controlv1.ReportPurgeResponse{}, err
}

// maxSignature is what the replicated state keeps of one, in characters.
const maxSignature = 128

// signedByPeer verifies a signature by the certificate of the connection.
func signedByPeer(ctx context.Context, statement, signature []byte) error {
	p, _ := peer.FromContext(ctx) // connection has seen that there is one
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return policy.Errorf(policy.Unauthenticated, "no certificate")
	}
	return mtls.VerifySigned(info.State.PeerCertificates[0], statement, signature)
}
