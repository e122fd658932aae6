package log

import (
	"context"
	"encoding/hex"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// MaxLeaves is how many leaves are listed at once.
const MaxLeaves = 1000

// Leaves lists a tenant's leaves from an index on; "" lists all, for the
// region's own operator. What was done before is in the list, unless the log does
// not grow.
func (l *Log) Leaves(ctx context.Context, tenant policy.TenantID, start uint64, limit int) (data.LogLeaves, error) {
	if err := l.Round(ctx); err != nil {
		l.log.Warn("the region's log is listed without what waits for it", "cause", err)
	}
	head, err := l.o.Store.LogHead(ctx)
	if err != nil {
		return data.LogLeaves{}, err
	}
	list, err := l.o.Store.LogLeaves(ctx, tenant, start, min(limit, MaxLeaves)+1)
	if err != nil {
		return data.LogLeaves{}, err
	}
	out := data.LogLeaves{Size: head.Size, Leaves: make([]data.LogLeaf, 0, len(list))}
	for i, leaf := range list {
		if i == min(limit, MaxLeaves) {
			out.NextStart = leaf.Index
			break
		}
		form, err := leafForm(&leaf)
		if err != nil {
			return out, err
		}
		out.Leaves = append(out.Leaves, form)
	}
	return out, nil
}

func leafForm(leaf *store.LogLeaf) (data.LogLeaf, error) {
	record, err := audit.Unpack(leaf.Index, leaf.Record)
	return data.LogLeaf{Index: leaf.Index, Leaf: string(record), Detail: string(leaf.Detail)}, err
}

var errAbsent = policy.Errorf(policy.NotFound, "there is no such record in the region's log")

// Prove proves that a leaf of a tenant is in the log. A foreign tenant's is as
// absent as one that is not there.
func (l *Log) Prove(ctx context.Context, tenant policy.TenantID, index uint64) (data.LogProof, error) {
	leaf, err := l.o.Store.LogLeaf(ctx, index)
	if err != nil || leaf.Tenant != tenant {
		if err == nil || isReason(err, policy.NotFound) {
			err = errAbsent
		}
		return data.LogProof{}, err
	}
	return l.prove(ctx, &leaf)
}

func (l *Log) prove(ctx context.Context, leaf *store.LogLeaf) (out data.LogProof, err error) {
	point, head, err := l.Checkpoint(ctx, leaf.Index+1)
	if err != nil {
		return out, err
	}
	path, err := audit.Inclusion(leaf.Index, head.Size, l.sparse(ctx, nil, nil))
	if err != nil {
		return out, err
	}
	out.Checkpoint, out.Hashes = point, hexes(path)
	out.LogLeaf, err = leafForm(leaf)
	return out, err
}

// Consistency proves that the first from leaves are the beginning of to; to 0 is
// the newest checkpoint's size.
func (l *Log) Consistency(ctx context.Context, from, to uint64) (data.LogConsistency, error) {
	head, err := l.o.Store.LogHead(ctx)
	if err != nil {
		return data.LogConsistency{}, err
	}
	if to == 0 {
		to = head.Size
	}
	if from == 0 || from > to || to > head.Size {
		return data.LogConsistency{}, policy.Errorf(policy.InvalidArgument, "from must be 1 to the second size, and that at most %d", head.Size)
	}
	path, err := audit.Consistency(from, to, l.sparse(ctx, nil, nil))
	return data.LogConsistency{From: from, To: to, Hashes: hexes(path)}, err
}

func hexes(path []audit.Hash) []string {
	out := make([]string, 0, len(path))
	for _, h := range path {
		out = append(out, hex.EncodeToString(h[:]))
	}
	return out
}
