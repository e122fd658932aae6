package client

import (
	"context"
	"net/url"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func operationPath(id, verb string) string { return "/v1/operations/" + url.PathEscape(id) + verb }

// Operation says how far work is that goes on after its answer.
func (c *Control) Operation(ctx context.Context, id string) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.get(ctx, operationPath(id, ""), nil, out)
}

// Operations lists long-running work, ordered by id.
func (c *Control) Operations(ctx context.Context, filters ...string) ([]*controlv1.Operation, error) {
	var all []*controlv1.Operation
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListOperationsResponse{}
		err := c.get(ctx, "/v1/operations", q, out)
		all = append(all, out.GetOperations()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// WaitOperation answers when an operation is done, or as it is after timeout,
// whole seconds and at most 20 s; 0 is 20 s. It may answer earlier.
func (c *Control) WaitOperation(ctx context.Context, id string, timeout time.Duration) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.post(ctx, operationPath(id, ":wait"), &controlv1.WaitOperationRequest{Timeout: uint32(min(timeout, 20*time.Second) / time.Second)}, out)
}

// Await waits until an operation is done or ctx ends; watch, which may be nil, is
// told how it is in between.
func Await(ctx context.Context, c *Control, id string, watch func(*controlv1.Operation)) (*controlv1.Operation, error) {
	for {
		began := time.Now()
		op, err := c.WaitOperation(ctx, id, time.Second)
		if err != nil {
			return op, err
		}
		if watch != nil {
			watch(op)
		}
		if op.GetDone() {
			return op, nil
		}
		// A server that holds no more waiting calls answers at once.
		if rest := time.Second/2 - time.Since(began); rest > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(rest):
			}
		}
		if ctx.Err() != nil {
			return op, ctx.Err()
		}
	}
}

// CancelOperation asks an operation to stop, where that is possible.
func (c *Control) CancelOperation(ctx context.Context, id string) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.post(ctx, operationPath(id, ":cancel"), &controlv1.CancelOperationRequest{}, out)
}

// TakeBackup lets a voter ("": the leader) take a backup into its own folder.
func (c *Control) TakeBackup(ctx context.Context, voter string) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.post(ctx, "/v1/backups:take", &controlv1.TakeBackupRequest{Voter: voter}, out)
}

// VerifyBackups lets a voter ("": the leader) read every backup in its folder.
func (c *Control) VerifyBackups(ctx context.Context, voter string) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.post(ctx, "/v1/backups:verify", &controlv1.VerifyBackupsRequest{Voter: voter}, out)
}

// MaxImport is how many tenants one import takes; its body is at most 1 MiB too.
const MaxImport = 5000

// ImportTenants places tenants after the answer.
func (c *Control) ImportTenants(ctx context.Context, all []*controlv1.CreateTenantRequest) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.post(ctx, "/v1/tenants:import", &controlv1.ImportTenantsRequest{Requests: all}, out)
}
