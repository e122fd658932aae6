package dataplane

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/policy"
)

// windowsShown is how many judged windows of each recipient a run reports.
const windowsShown = 10

// exports answers the routes that report on what left and what arrived.
type exports struct {
	exporter *export.Exporter
	inbox    *peer.Inbox
}

// Transfers lists the caller's transfer records.
func (e *exports) Transfers(_ context.Context, who gate.Principal, pageSize int, pageToken string) (data.Transfers, error) {
	if pageToken != "" && !policy.ValidID(policy.KindTransfer, pageToken) {
		return data.Transfers{}, &policy.Error{Reason: policy.InvalidArgument, Message: "page_token is malformed; use next_page_token of an earlier page",
			Fields: []policy.FieldError{{Field: "page_token", Message: "malformed"}}}
	}
	found, next, err := e.exporter.Outbox().Transfers(who.Tenant, pageSize, pageToken)
	out := data.Transfers{Transfers: []data.Transfer{}, NextPageToken: next}
	for _, x := range found {
		out.Transfers = append(out.Transfers, transferOf(x))
	}
	return out, err
}

// Transfer finds one of the caller's transfer records.
func (e *exports) Transfer(_ context.Context, who gate.Principal, id string) (data.Transfer, error) {
	x, err := e.exporter.Outbox().Transfer(who.Tenant, id)
	if err != nil {
		return data.Transfer{}, err
	}
	return transferOf(x), nil
}

// Run judges the caller's closed windows and sends what is queued, now.
func (e *exports) Run(ctx context.Context, who gate.Principal) (data.ExportRun, error) {
	if err := e.exporter.RoundFor(ctx, who.Tenant); err != nil {
		return data.ExportRun{}, err
	}
	transfers, err := e.exporter.Outbox().Recent(who.Tenant, windowsShown)
	if err != nil {
		return data.ExportRun{}, err
	}
	out := data.ExportRun{Transfers: []data.Transfer{}, Suppressed: []data.Suppressed{}}
	for _, x := range transfers {
		out.Transfers = append(out.Transfers, transferOf(x))
	}
	notes, err := e.exporter.Outbox().Windows(who.Tenant, windowsShown)
	for _, n := range notes {
		for _, s := range n.Suppressed {
			out.Suppressed = append(out.Suppressed, data.Suppressed{Recipient: string(n.Recipient), Class: s.Class, Rows: s.Rows, Subjects: s.Subjects, Needed: s.Needed})
		}
	}
	return out, err
}

// Received lists what has arrived for the calling recipient.
func (e *exports) Received(_ context.Context, who gate.Principal, cursor string, pageSize int) (data.Received, error) {
	rows, next, err := e.inbox.Page(who.Tenant, who.Recipient, cursor, pageSize)
	out := data.Received{Rows: []data.PseudonymRow{}, NextCursor: next}
	if err != nil {
		return data.Received{}, err
	}
	for _, r := range rows {
		var row data.PseudonymRow
		if err := json.Unmarshal(r.JSON, &row); err != nil {
			return data.Received{}, fmt.Errorf("a received row does not parse: %w", err)
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

func transferOf(x export.Transfer) data.Transfer {
	return data.Transfer{ID: x.ID, Tenant: string(x.Tenant), Recipient: string(x.Recipient), ToRegion: string(x.To), Purpose: x.Purpose,
		Basis: x.Basis, Sequence: x.Sequence, Revision: x.Revision, State: string(x.State), Rows: x.Rows, Suppressed: x.Suppressed,
		Bytes: x.Bytes, SHA256: x.SHA256, WindowFrom: x.From.UTC(), WindowTo: x.Until.UTC(), CreateTime: x.CreatedAt, AckTime: x.AckedAt,
		Fields: x.Fields, Why: x.Why}
}

// Simulate replays transfers of the trial's tenant. It changes nothing.
func (e *exports) Simulate(ctx context.Context, trial *gate.Trial, days int) (data.Simulation, error) {
	s, err := e.exporter.Simulate(ctx, trial, days)
	if err != nil {
		return data.Simulation{}, err
	}
	out := data.Simulation{From: s.From, Until: s.Until, Replayed: s.Replayed, Cut: s.Cut, Flows: []data.SimulatedFlow{}}
	for _, f := range s.Flows {
		flow := data.SimulatedFlow{Recipient: string(f.Recipient), ToRegion: string(f.To), Purpose: f.Purpose, EgressClass: f.Egress.String(),
			Basis: f.Basis, NewBasis: f.NewBasis, Acknowledged: data.Tally(f.Happened[export.Acknowledged]), Queued: data.Tally(f.Happened[export.Queued]),
			Refused: data.Tally(f.Happened[export.Refused]), Allowed: data.Tally(f.Allowed), Denied: data.Tally(f.Denied)}
		for _, rule := range slices.Sorted(maps.Keys(f.Reasons)) {
			flow.Reasons = append(flow.Reasons, data.SimulatedReason{Rule: rule, Tally: data.Tally(f.Reasons[rule])})
		}
		out.Flows = append(out.Flows, flow)
	}
	return out, nil
}
