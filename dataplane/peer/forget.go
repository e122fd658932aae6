package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/data"
	peerv1 "github.com/domicile-io/domicile/api/peer/v1"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// MaxTombstones is how many rows one request names.
const MaxTombstones = 10_000

var rowForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Forget tells a region to delete rows that it received of a tenant, and says
// how many it had. It brings nothing new: the pseudonyms are those of the rows
// themselves. So it needs no export permit, which a recipient may have lost, but
// one to erase. Any error means that it must be asked again.
func (s *Sender) Forget(ctx context.Context, permit policy.Permit, to policy.RegionID, basis string, r policy.RecipientID, rows []string) (deleted uint64, err error) {
	if !permit.Allows(permit.Tenant(), policy.Erase, policy.CallRecord) {
		return 0, policy.Errorf(policy.PermissionDenied, "nobody is told to delete without a permit to erase")
	}
	if len(rows) > MaxTombstones {
		return 0, policy.Errorf(policy.InvalidArgument, "at most %d rows at once", MaxTombstones)
	}
	conn, err := s.Reach(permit.Tenant(), to, basis)
	if err != nil {
		return 0, fmt.Errorf("reach region %s: %w", to, err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	answer, err := peerv1.NewPeerServiceClient(conn).Forget(ctx, &peerv1.ForgetRequest{
		Format: formatVersion, Tenant: string(permit.Tenant()), Recipient: string(r), Rows: rows})
	if err != nil {
		return 0, fmt.Errorf("tell region %s to delete: %w", to, api.FromGRPC(err))
	}
	return answer.GetDeleted(), nil
}

// Forget deletes rows of one stream. See the proto for the contract.
func (r *Receiver) Forget(ctx context.Context, q *peerv1.ForgetRequest) (*peerv1.ForgetResponse, error) {
	from, err := senderOf(ctx)
	if err != nil {
		return nil, api.GRPCStatus(err).Err()
	}
	n, err := r.forget(from, q)
	if err != nil {
		e := api.AsError(err)
		r.o.Logger.Warn("deletion refused", "from_region", string(from), "reason", string(e.Reason), "cause", e.Cause)
		return nil, api.GRPCStatus(err).Err()
	}
	return &peerv1.ForgetResponse{Deleted: n}, nil
}

func (r *Receiver) forget(from policy.RegionID, q *peerv1.ForgetRequest) (uint64, error) {
	tenant, recipient := policy.TenantID(q.Tenant), policy.RecipientID(q.Recipient)
	switch {
	case q.Format != formatVersion:
		return 0, policy.Errorf(policy.InvalidArgument, "format %d is not known here", q.Format)
	case !policy.ValidID(policy.KindTenant, q.Tenant) || !policy.ValidID(policy.KindRecipient, q.Recipient) || len(q.Rows) > MaxTombstones:
		return 0, policy.Errorf(policy.InvalidArgument, "tenant, recipient or number of rows is malformed")
	}
	rows := make(map[string]bool, len(q.Rows))
	for _, row := range q.Rows {
		if !rowForm.MatchString(row) {
			return 0, policy.Errorf(policy.InvalidArgument, "a row is not 32 hex digits")
		}
		rows[row] = true
	}
	stream := streamKey(tenant, recipient)
	source, held, err := r.inbox.source(stream)
	if err != nil {
		return 0, err
	}
	pair, paired := r.o.Pair(tenant, recipient)
	if source == "" && paired { // nothing came yet, or from before sources were noted
		source = pair.From
	}
	if source != from {
		if !held {
			return 0, nil // nothing is here, so nothing has to go
		}
		return 0, denied("the rows did not come from the sender's region")
	}
	if !held && (r.inbox.alive(stream) != nil || paired && pair.Purge != nil) {
		return 0, nil // the tenant ends, and all of it is gone: no note of it may come again
	}
	if r.o.Note != nil && len(q.Rows) > 0 {
		list, err := json.Marshal(q.Rows)
		if err != nil {
			return 0, err
		}
		if err := r.o.Note(tenant, Deletion{Stream: stream, Rows: list}); err != nil {
			return 0, &policy.Error{Reason: policy.NotReady, Cause: err, Message: "what is to be deleted could not be noted for the backups; ask again"}
		}
	}
	return r.inbox.forget(stream, rows)
}

// source is the region that a stream's rows came from, "" when that was not
// noted; held reports whether there is anything of the stream.
func (in *Inbox) source(stream []byte) (from policy.RegionID, held bool, err error) {
	prefix := append(append([]byte{}, stream...), '/')
	err = in.shelf.View(func(tx shelf.Tx) error {
		held = false
		err := tx.Ascend(bucketRows, prefix, nil, func(_, _ []byte) error {
			held = true
			return shelf.ErrStop
		})
		if err != nil {
			return err
		}
		noted, err := tx.Get(bucketSources, stream)
		from = policy.RegionID(noted)
		return err
	})
	return from, held, err
}

// burials says which of a transfer's rows must not come any more.
func burials(tx shelf.Tx, stream []byte, rows []json.RawMessage) (map[int]bool, error) {
	some := false
	err := tx.Ascend(bucketGraves, graveKey(stream, ""), nil, func(_, _ []byte) error {
		some = true
		return shelf.ErrStop
	})
	if err != nil || !some {
		return nil, err
	}
	out := map[int]bool{}
	for i, raw := range rows {
		var row data.PseudonymRow
		if err := json.Unmarshal(raw, &row); err != nil {
			return nil, fmt.Errorf("a row that came does not parse: %w", err)
		}
		grave, err := tx.Get(bucketGraves, graveKey(stream, row.Row))
		if err != nil {
			return nil, err
		}
		if grave != nil {
			out[i] = true
		}
	}
	return out, nil
}
