package client

import (
	"context"
	"net/url"
	"strconv"

	"github.com/domicile-io/domicile/api/data"
)

// LogCheckpoint reads the signed size and root of the region's log. It needs no
// Key. What it says is not checked here: see package audit/verify.
func (r *Region) LogCheckpoint(ctx context.Context) (data.Checkpoint, error) {
	var out data.Checkpoint
	return out, r.get(ctx, "/v1/audit/checkpoint", nil, &out)
}

// LogLeaves reads one page of what the region's log says of the key's tenant, at
// most size (1 to 1000) records from index start on.
func (r *Region) LogLeaves(ctx context.Context, start uint64, size int) (data.LogLeaves, error) {
	var out data.LogLeaves
	return out, r.get(ctx, "/v1/audit/leaves", url.Values{"start": {decimal(start)}, "page_size": {strconv.Itoa(size)}}, &out)
}

// LogProof asks for the proof that a record of the tenant is in the region's log.
func (r *Region) LogProof(ctx context.Context, index uint64) (data.LogProof, error) {
	var out data.LogProof
	return out, r.get(ctx, "/v1/audit/leaves/"+decimal(index)+"/proof", nil, &out)
}

// LogConsistency asks for the proof that the log of size from, at least 1, begins
// the log of size to; 0 is the newest.
func (r *Region) LogConsistency(ctx context.Context, from, to uint64) (data.LogConsistency, error) {
	var out data.LogConsistency
	return out, r.get(ctx, "/v1/audit/consistency", url.Values{"from": {decimal(from)}, "to": {decimal(to)}}, &out)
}

// Receipt reads a receipt with its proof.
func (r *Region) Receipt(ctx context.Context, id string) (data.Receipt, error) {
	var out data.Receipt
	return out, r.get(ctx, "/v1/receipts/"+url.PathEscape(id), nil, &out)
}
