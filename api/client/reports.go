package client

import (
	"context"
	"net/url"

	"github.com/domicile-io/domicile/api/data"
)

// Rollups reads the counters of one UTC day (2006-01-02), or of all with "".
func (r *Region) Rollups(ctx context.Context, day string) (data.Rollups, error) {
	q := url.Values{}
	if day != "" {
		q.Set("day", day)
	}
	var out data.Rollups
	return out, r.get(ctx, "/v1/rollups", q, &out)
}

// Egress reads the region's ledger of what left.
func (r *Region) Egress(ctx context.Context) (data.EgressLedger, error) {
	var out data.EgressLedger
	return out, r.get(ctx, "/v1/egress", nil, &out)
}

// Transfers reads one page of transfer records.
func (r *Region) Transfers(ctx context.Context, pageToken string) (data.Transfers, error) {
	q := url.Values{}
	if pageToken != "" {
		q.Set("page_token", pageToken)
	}
	var out data.Transfers
	return out, r.get(ctx, "/v1/transfers", q, &out)
}

// Transfer reads one transfer record.
func (r *Region) Transfer(ctx context.Context, id string) (data.Transfer, error) {
	var out data.Transfer
	return out, r.get(ctx, "/v1/transfers/"+url.PathEscape(id), nil, &out)
}

// Simulate asks what a proposed policy would have let leave of what left.
func (r *Region) Simulate(ctx context.Context, in data.SimulateRequest) (data.Simulation, error) {
	var out data.Simulation
	return out, r.post(ctx, "/v1/policies:simulate", in, &out)
}

// RunExports judges every closed window now instead of at the interval.
func (r *Region) RunExports(ctx context.Context) (data.ExportRun, error) {
	var out data.ExportRun
	return out, r.post(ctx, "/v1/exports:run", struct{}{}, &out)
}

// Received reads, with a recipient's key, what reached its region after cursor.
func (r *Region) Received(ctx context.Context, recipient, cursor string) (data.Received, error) {
	q := url.Values{}
	if recipient != "" { // the key knows it
		q.Set("recipient", recipient)
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	var out data.Received
	return out, r.get(ctx, "/v1/received", q, &out)
}
