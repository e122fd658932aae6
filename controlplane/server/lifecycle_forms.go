package server

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

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
