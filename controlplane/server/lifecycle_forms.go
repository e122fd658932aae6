package server

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// operationOf shows the end of a tenant as an operation.
func operationOf(t store.Tenant) *controlv1.Operation {
	p := t.Purge
	if p == nil {
		return &controlv1.Operation{Tenant: string(t.ID), State: string(t.State)}
	}
	out := &controlv1.Operation{Id: p.ID, Kind: "tenant.purge", Tenant: string(t.ID), Done: t.State != policy.TenantPurging, State: string(t.State),
		CreateTime: timestamppb.New(p.StartedAt), EndTime: timeOf(p.EndedAt), Answered: int32(len(p.Nodes) - len(p.Missing))}
	if p.Delete {
		out.Kind = "tenant.delete"
	}
	for _, n := range p.Missing {
		out.Missing = append(out.Missing, &controlv1.OperationNode{Region: string(n.Region), Node: string(n.Node)})
	}
	for _, n := range p.Excused {
		out.Excused = append(out.Excused, &controlv1.OperationNode{Region: string(n.Region), Node: string(n.Node)})
	}
	return out
}

func receiptOf(r store.PurgeReceipt) *controlv1.PurgeReceipt {
	return &controlv1.PurgeReceipt{Order: r.Order, Tenant: string(r.Tenant), Region: string(r.Region), Node: string(r.Node), Calls: r.Calls,
		Quarantined: r.Quarantined, Transfers: r.Transfers, ReceivedRows: r.Received, DestroyedKeys: r.Keys, Time: timestamppb.New(r.Time),
		Sha256: r.SHA256, SignatureValue: r.Signature}
}

func receiptFrom(r *controlv1.PurgeReceipt) policy.PurgeReceipt {
	return policy.PurgeReceipt{Order: r.GetOrder(), Tenant: policy.TenantID(r.GetTenant()), Region: policy.RegionID(r.GetRegion()), Node: policy.NodeID(r.GetNode()),
		Calls: r.GetCalls(), Quarantined: r.GetQuarantined(), Transfers: r.GetTransfers(), Received: r.GetReceivedRows(), Keys: r.GetDestroyedKeys(),
		Time: r.GetTime().AsTime().UTC().Truncate(time.Second)}
}
