package client

import (
	"context"
	"net/url"
	"strconv"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// AuditLeaves reads one page of the audit log: at most size records (at most
// 1000; 0: 100) from number start on, and the log's size. The next page has the
// same start and filters, and this one's NextPageToken.
func (c *Control) AuditLeaves(ctx context.Context, start uint64, size int, token string, filters ...string) (*controlv1.ListLeavesResponse, error) {
	out, query := &controlv1.ListLeavesResponse{}, narrowed(nil, filters)
	query.Set("start", decimal(start))
	query.Set("page_size", strconv.Itoa(size))
	if token != "" {
		query.Set("page_token", token)
	}
	return out, c.get(ctx, "/v1/audit/leaves", query, out)
}

// AuditCheckpoint reads the signed size and root of the audit log. It needs no
// Token. What it says is not checked here: see package audit/verify.
func (c *Control) AuditCheckpoint(ctx context.Context) (*controlv1.Checkpoint, error) {
	out := &controlv1.Checkpoint{}
	return out, c.get(ctx, "/v1/audit/checkpoint", nil, out)
}

// AuditProof asks for the proof that a record is in the log of a size; 0 is the
// newest.
func (c *Control) AuditProof(ctx context.Context, index, size uint64) (*controlv1.LeafProof, error) {
	out := &controlv1.LeafProof{}
	return out, c.get(ctx, "/v1/audit/proof", url.Values{"index": {decimal(index)}, "size": {decimal(size)}}, out)
}

// AuditConsistency asks for the proof that the log of size old, at least 1,
// begins the log of a size; 0 is the newest.
func (c *Control) AuditConsistency(ctx context.Context, old, size uint64) (*controlv1.ConsistencyProof, error) {
	out := &controlv1.ConsistencyProof{}
	return out, c.get(ctx, "/v1/audit/consistency", url.Values{"old_size": {decimal(old)}, "size": {decimal(size)}}, out)
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
