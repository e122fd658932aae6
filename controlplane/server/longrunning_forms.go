package server

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// cancelling is the state that is shown of what was asked to stop and has not yet.
const cancelling = "cancelling"

// endOf shows the end of a tenant as an operation.
func endOf(t store.Tenant) *controlv1.Operation {
	p := t.Purge
	if p == nil {
		return &controlv1.Operation{Tenant: string(t.ID), Phase: string(t.State)}
	}
	out := &controlv1.Operation{Id: p.ID, Name: "operations/" + p.ID, Kind: "tenant.purge", Tenant: string(t.ID), Done: t.State != policy.TenantPurging,
		State: string(store.OperationRunning), Phase: string(t.State), CreateTime: timestamppb.New(p.StartedAt), EndTime: timeOf(p.EndedAt),
		Answered: int32(len(p.Nodes) - len(p.Missing))}
	out.Progress = &controlv1.OperationProgress{Completed: uint64(out.Answered), Total: uint64(len(p.Nodes)), Unit: "nodes"}
	if p.Delete {
		out.Kind = "tenant.delete"
	}
	if out.Done {
		out.State, out.Response = string(store.OperationSucceeded), &controlv1.OperationResponse{}
	}
	for _, n := range p.Missing {
		out.Missing = append(out.Missing, &controlv1.OperationNode{Region: string(n.Region), Node: string(n.Node)})
	}
	for _, n := range p.Excused {
		out.Excused = append(out.Excused, &controlv1.OperationNode{Region: string(n.Region), Node: string(n.Node)})
	}
	return out
}

// operationOf shows every other one.
func operationOf(o store.Operation) *controlv1.Operation {
	out := &controlv1.Operation{Id: o.ID, Name: "operations/" + o.ID, Kind: string(o.Kind), State: string(o.State), Done: o.State.Ended(),
		Member: string(o.Member), Voter: string(o.Voter), Principal: o.Actor, CreateTime: timestamppb.New(o.CreatedAt), EndTime: timeOf(o.EndedAt),
		Cancellable: !o.State.Ended() && !o.Kind.OfMember() && !o.Cancel}
	if o.Cancel && !out.Done {
		out.State = cancelling
	}
	if unit := unitOf(o.Kind); unit != "" && (o.Completed > 0 || o.Total > 0) {
		out.Progress = &controlv1.OperationProgress{Completed: o.Completed, Total: o.Total, Unit: unit}
	}
	counts := &controlv1.OperationResponse{File: o.Outcome.File, Sha256: o.Outcome.SHA256, Bytes: o.Outcome.Bytes, Revision: o.Outcome.Revision,
		Good: o.Outcome.Good, Refused: o.Outcome.Refused}
	switch o.State {
	case store.OperationSucceeded:
		out.Response = counts
	case store.OperationFailed, store.OperationCancelled:
		known := causes[o.Cause]
		out.Error = &controlv1.OperationError{Reason: string(known.reason), Cause: string(o.Cause), Message: known.message}
		if o.Kind == store.OperationImport { // what is placed stays
			out.Response = counts
		}
	}
	return out
}

func unitOf(k store.OperationKind) string {
	switch k {
	case store.OperationBackup:
		return "bytes"
	case store.OperationVerify:
		return "files"
	case store.OperationImport:
		return "tenants"
	}
	return ""
}

// ending is what people are told of a cause.
type ending struct {
	reason  policy.Reason
	message string
}

// causes has every cause; the state holds the code alone.
var causes = map[store.OperationCause]ending{
	store.CauseInterrupted: {policy.NotReady, "whoever carried it out stopped before it had ended; what it had done stays; begin it again"},
	store.CauseVoterLost:   {policy.NotReady, "the voter that carried it out has not been heard of, or is no member any more; begin it again at another"},
	store.CauseNoFolder:    {policy.InvalidArgument, "the voter's configuration has no backup.folder to keep backups in; give it one, or name another voter"},
	store.CauseDamaged:     {policy.Internal, "a backup in the voter's folder is damaged; its log names the file: copy a good one in its place, and look at that disk"},
	store.CauseDisk:        {policy.StorageFull, "the voter could not read or write; its log says what: mostly a full or failing disk"},
	store.CauseBusy:        {policy.Overloaded, "the voter is taking another backup already; begin it again after that"},
	store.CauseNoLeader:    {policy.NotReady, "the leader changed: a backup could have missed changes, an import stopped after what it had placed; begin it again"},
	store.CauseExpired:     {policy.NotFound, "the invitation was not used in its time, or is gone; invite again"},
	store.CauseReplaced:    {policy.AlreadyExists, "a later request about the same member took its place"},
	store.CauseRemoved:     {policy.NotFound, "the member was removed meanwhile"},
	store.CauseAsked:       {policy.AlreadyExists, "somebody cancelled it"},
}
