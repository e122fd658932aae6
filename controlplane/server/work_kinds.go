package server

import (
	"context"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/backup"
	"github.com/domicile-io/domicile/controlplane/store"
)

// take takes a backup into the voter's folder.
func (w *work) take(ctx context.Context, r *reporter, stored *backup.Schedule) (store.OperationOutcome, error) {
	if stored == nil {
		return store.OperationOutcome{}, errNoFolder
	}
	b, err := stored.Now(ctx, func(n uint64) { r.tell(n, 0) })
	if err != nil {
		return store.OperationOutcome{}, err
	}
	r.count.completed, r.count.total = uint64(b.Size), uint64(b.Size)
	return store.OperationOutcome{File: b.File, SHA256: b.SHA256, Bytes: uint64(b.Size), Revision: b.Revision}, nil
}

// verify reads every backup in the voter's folder.
func (w *work) verify(ctx context.Context, r *reporter, stored *backup.Schedule) (store.OperationOutcome, error) {
	if stored == nil {
		return store.OperationOutcome{}, errNoFolder
	}
	good, err := stored.Verify(ctx, r.tell)
	return store.OperationOutcome{Good: good}, err
}

// importBatch is how many tenants are placed by one entry of the Raft log.
const importBatch = 250

// importAll places tenants, batch by batch. It stops where it is no leader any
// more: what is placed stays, and the same list may be sent again.
func (w *work) importAll(ctx context.Context, r *reporter, actor string, all []*controlv1.CreateTenantRequest) (out store.OperationOutcome, err error) {
	s := batchService{core: w.core}
	for from := 0; from < len(all); from += importBatch {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		part := all[from:min(from+importBatch, len(all))]
		stamp := store.Stamp{Now: time.Now().UTC(), Actor: actor}
		var b store.Batch
		for i := range part {
			item, err := s.item(ctx, stamp, i, func(_ context.Context, i int) (store.Payload, string, error) {
				p, err := tenantService{core: w.core}.planTenant(part[i])
				return p, "", err
			})
			if err != nil {
				return out, err
			}
			b.Items = append(b.Items, item)
		}
		call, cancel := context.WithTimeout(ctx, callTimeout)
		res, err := w.replica.Propose(call, store.Command{Stamp: stamp, Payload: b})
		cancel()
		if err == nil && res.Err != nil {
			err = res.Err
		}
		if err != nil {
			return out, err
		}
		var outcomes []store.BatchOutcome
		if err := res.Decode(&outcomes); err != nil {
			return out, err
		}
		for _, o := range outcomes {
			if o.Reason == "" {
				out.Good++
			} else {
				out.Refused++
			}
		}
		r.tell(uint64(from+len(part)), uint64(len(all)))
	}
	return out, nil
}

// importing counts the imports that this process carries out, the one that asks
// included.
func (w *work) importing() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.going {
		if g.imports {
			n++
		}
	}
	return n
}

// The phases of operations about members.
const (
	phaseInvited    = "invited"     // the invitation waits
	phaseJoining    = "joining"     // it has come, and Raft does not have it yet
	phaseCatchingUp = "catching_up" // it is sent the state
	phaseWaiting    = "waiting"     // for Raft to follow, or for it to be caught up long enough
	phaseLeaving    = "leaving"
)

// stage is where an operation about a member is.
type stage struct {
	phase            string
	completed, total uint64 // entries
	state            store.OperationState
	cause            store.OperationCause
}
