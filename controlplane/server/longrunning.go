package server

import (
	"context"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Limits of waiting for operations.
const (
	waitPatience = 20 * time.Second // the longest that one call waits
	waitCall     = waitPatience + 5*time.Second
	maxWaits     = 64                    // calls that wait at once; more are answered at once
	waitApart    = 50 * time.Millisecond // between two looks of one call, however busy the cluster is
	waitLive     = time.Second           // between two looks at what moves without a change of the state
)

type longRunningService struct {
	controlv1.UnimplementedLongRunningServiceServer
	*work
}

// ListOperations implements controlv1.LongRunningServiceServer.
func (s longRunningService) ListOperations(ctx context.Context, req *controlv1.ListOperationsRequest) (*controlv1.ListOperationsResponse, error) {
	after, limit, err := page(req.GetPageToken(), req.GetPageSize(), policy.KindOperation)
	if err != nil {
		return nil, err
	}
	who := callOf(ctx)
	list, err := s.store.Operations(after, limit+1, func(o store.AnyOperation) bool { return visible(who.caller, o) })
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListOperationsResponse{}
	if len(list) > limit {
		list = list[:limit]
		out.NextPageToken = pageToken(list[limit-1].ID)
	}
	v := s.steward.View()
	for _, o := range list {
		out.Operations = append(out.Operations, s.show(v, o))
	}
	return out, nil
}

// visible: the end of a tenant exists for whom the tenant exists, everything else
// for whom nothing is hidden.
func visible(who caller, o store.AnyOperation) bool {
	if o.Tenant != nil {
		return who.sees(o.Tenant.ID, o.Tenant.Home)
	}
	return who.tenant == "" && who.region == ""
}

// find finds an operation of either form that exists for the caller.
func (w *work) find(ctx context.Context, id string) (store.AnyOperation, error) {
	found := store.AnyOperation{ID: id}
	o, err := w.store.Operation(id)
	if err == nil {
		found.Operation = &o
	} else if isReason(err, policy.NotFound) {
		var t store.Tenant
		if t, err = w.store.TenantOf(id); err == nil {
			found.Tenant = &t
		}
	}
	if isReason(err, policy.NotFound) || err == nil && !visible(callOf(ctx).caller, found) {
		return found, notFound("operation")
	}
	return found, err
}

// show gives an operation's form, with what the leader hears of members.
func (w *work) show(v members.View, o store.AnyOperation) *controlv1.Operation {
	if o.Tenant != nil {
		return w.hub.waits(endOf(*o.Tenant))
	}
	out := operationOf(*o.Operation)
	if o.Operation.Kind.OfMember() && !o.Operation.State.Ended() {
		now := w.stage(v, *o.Operation)
		out.Phase = now.phase
		if now.total > 0 {
			out.Progress = &controlv1.OperationProgress{Completed: min(now.completed, now.total), Total: now.total, Unit: "entries"}
		}
		out.Cancellable = now.phase == phaseInvited
	}
	return out
}

// GetOperation implements controlv1.LongRunningServiceServer.
func (s longRunningService) GetOperation(ctx context.Context, req *controlv1.GetOperationRequest) (*controlv1.Operation, error) {
	o, err := s.find(ctx, req.GetOperation())
	if err != nil {
		return nil, err
	}
	return s.show(s.steward.View(), o), nil
}

// WaitOperation implements controlv1.LongRunningServiceServer.
func (s longRunningService) WaitOperation(ctx context.Context, req *controlv1.WaitOperationRequest) (*controlv1.Operation, error) {
	o, err := s.find(ctx, req.GetOperation())
	if err != nil {
		return nil, err
	}
	patience := waitPatience
	if n := req.GetTimeout(); n > 0 {
		patience = time.Duration(n) * time.Second
	}
	select {
	case s.waits <- struct{}{}:
		defer func() { <-s.waits }()
	default: // as many wait as may
		return s.show(s.steward.View(), o), nil
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	live := time.NewTicker(waitLive)
	defer live.Stop()
	for {
		changed := s.replica.Changed()
		if o, err = s.find(ctx, req.GetOperation()); err != nil {
			return nil, err
		}
		now := s.show(s.steward.View(), o)
		if now.GetDone() || !s.replica.IsLeader() {
			return now, nil // who does not lead may not hear of its end: the caller asks again, and is sent on
		}
		select {
		case <-changed:
			time.Sleep(waitApart)
		case <-live.C:
		case <-over.C:
			return now, nil
		case <-s.closing:
			return now, nil
		case <-ctx.Done():
			return now, nil
		}
	}
}

// CancelOperation implements controlv1.LongRunningServiceServer.
func (s longRunningService) CancelOperation(ctx context.Context, req *controlv1.CancelOperationRequest) (*controlv1.Operation, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		o, err := s.find(ctx, req.GetOperation())
		switch {
		case err != nil:
			return nil, err
		case o.Tenant != nil:
			return nil, policy.Errorf(policy.AlreadyExists, "the end of a tenant cannot be cancelled: its nodes destroy from the moment of the order; a node that is gone with its disk is evicted, and excused with `domicile tenants excuse`").
				With("state", string(o.Tenant.State))
		case callOf(ctx).role == terraform && o.Operation.Kind != store.OperationImport:
			return nil, denied()
		}
		return store.CancelOperation{ID: o.ID}, nil
	})
	if err != nil {
		return nil, err
	}
	return s.begun(res)
}

// begun reads the result of a command about an operation.
func (s longRunningService) begun(res store.Result) (*controlv1.Operation, error) {
	var o store.Operation
	if err := res.Decode(&o); err != nil {
		return nil, err
	}
	return s.show(s.steward.View(), store.AnyOperation{ID: o.ID, Operation: &o}), nil
}

// TakeBackup implements controlv1.LongRunningServiceServer.
func (s longRunningService) TakeBackup(ctx context.Context, req *controlv1.TakeBackupRequest) (*controlv1.Operation, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) { return s.planAt(req.GetVoter(), store.OperationBackup) })
	if err != nil {
		return nil, err
	}
	return s.begun(res)
}

// VerifyBackups implements controlv1.LongRunningServiceServer.
func (s longRunningService) VerifyBackups(ctx context.Context, req *controlv1.VerifyBackupsRequest) (*controlv1.Operation, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) { return s.planAt(req.GetVoter(), store.OperationVerify) })
	if err != nil {
		return nil, err
	}
	return s.begun(res)
}

// planAt begins work at a voter; "" is ourselves, who lead.
func (s longRunningService) planAt(voter string, kind store.OperationKind) (store.Payload, error) {
	if voter == "" {
		voter = s.name
	}
	if _, in := s.replica.Configuration().Has(voter); !in {
		return nil, fieldError("voter", "is not a member of this cluster: GET /v1/members lists them")
	}
	id, err := draw(policy.KindOperation)
	return store.BeginOperation{ID: id, Kind: kind, Voter: store.MemberName(voter)}, err
}

// ImportTenants implements controlv1.LongRunningServiceServer.
func (s longRunningService) ImportTenants(ctx context.Context, req *controlv1.ImportTenantsRequest) (*controlv1.Operation, error) {
	for _, one := range req.GetRequests() {
		if err := rule(one); err != nil {
			return nil, err
		}
	}
	id, err := draw(policy.KindOperation)
	if err != nil {
		return nil, err
	}
	going := s.register(id, store.OperationImport) // before it is known, so that nobody takes it for one of an earlier start
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		if s.importing() > maxImports {
			return nil, policy.Errorf(policy.Overloaded, "%d imports are under way: wait for one of them (`domicile operations list`)", maxImports)
		}
		return store.BeginOperation{ID: id, Kind: store.OperationImport, Voter: store.MemberName(s.name), Total: uint64(len(req.GetRequests()))}, nil
	})
	if err != nil {
		s.forget(id)
		return nil, err
	}
	if res.Replayed {
		s.forget(id)
	} else {
		s.goOn(id, going, func(ctx context.Context, r *reporter) (store.OperationOutcome, error) {
			return s.importAll(ctx, r, callOf(ctx).principal, req.GetRequests())
		}, callOf(ctx))
	}
	return s.begun(res)
}

// ReportOperation implements controlv1.LongRunningServiceServer. The voter is
// that of the certificate.
func (s longRunningService) ReportOperation(ctx context.Context, req *controlv1.ReportOperationRequest) (*controlv1.ReportOperationResponse, error) {
	who := callOf(ctx).node
	m, ok := s.store.Members().Holder(who.Node)
	if !ok || m.RemovedAt != nil {
		return &controlv1.ReportOperationResponse{}, nil
	}
	r := req.GetResponse()
	err := s.propose(ctx, who.Node, store.ReportOperation{ID: req.GetOperation(), Voter: m.Name, State: store.OperationState(req.GetState()),
		Completed: req.GetCompleted(), Total: req.GetTotal(), Cause: store.OperationCause(req.GetCause()),
		Outcome: store.OperationOutcome{File: r.GetFile(), SHA256: r.GetSha256(), Bytes: r.GetBytes(), Revision: r.GetRevision(), Good: r.GetGood(), Refused: r.GetRefused()}})
	if isReason(err, policy.NotFound) {
		return &controlv1.ReportOperationResponse{}, nil
	}
	return &controlv1.ReportOperationResponse{Taken: true}, err
}
