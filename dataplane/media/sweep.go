package media

import (
	"context"
	"errors"
	"strings"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Swept counts what a sweep removed.
type Swept struct {
	Uploads int    // that nobody finished in time
	Blobs   uint64 // that nothing names
}

// Sweep ends a tenant's uploads that have expired, and deletes blobs that no
// upload, recording or transcript names: a crash may leave them behind after
// their key was destroyed. It is meant to run hourly.
func (l *Library) Sweep(ctx context.Context, ask Ask) (out Swept, err error) {
	permit, err := ask(policy.Erase, policy.Recording)
	if err != nil {
		return out, err
	}
	if out.Uploads, err = l.sweepUploads(ctx, ask, permit); err != nil {
		return out, err
	}
	out.Blobs, err = l.sweepBlobs(ctx, ask, permit.Tenant())
	return out, err
}

func (l *Library) sweepUploads(ctx context.Context, ask Ask, permit policy.Permit) (n int, err error) {
	q := store.ItemQuery{Kind: store.UploadItem, End: l.o.Now().Add(-uploadLife), PageSize: store.MaxPageSize}
	for {
		page, err := l.o.Store.Items(ctx, permit, q)
		if err != nil {
			return n, err
		}
		for i := range page.Items {
			err := l.Abort(ctx, ask, page.Items[i].ID)
			if isReason(err, policy.NotFound) || isReason(err, policy.AlreadyExists) {
				continue // ended meanwhile, or a request is just writing it: the next sweep
			}
			if err != nil {
				return n, err
			}
			n++
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return n, nil
		}
	}
}

// sweepBlobs looks at each folder of a tenant's blobs once. What begins to be
// written after its folder was listed is not seen.
func (l *Library) sweepBlobs(ctx context.Context, ask Ask, tenant policy.TenantID) (n uint64, err error) {
	after, known := "", map[string]bool{}
	for {
		page, err := l.o.Blobs.List(ctx, string(tenant)+"/", after, store.MaxPageSize)
		if err != nil {
			return n, err
		}
		for _, b := range page {
			after = b.Name
			id := owner(b.Name)
			named, seen := known[id]
			if !seen {
				if named, err = l.named(ctx, ask, id); err != nil {
					return n, err
				}
				clear(known) // names come in order: only the last folder comes again
				known[id] = named
			}
			if named {
				continue
			}
			if err := l.o.Blobs.Delete(ctx, b.Name); err != nil {
				return n, err
			}
			n++
		}
		if len(page) < store.MaxPageSize {
			return n, nil
		}
	}
}

// owner is the id in a blob's name.
func owner(name string) string {
	_, rest, _ := strings.Cut(name, "/")
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// named reports whether an item names a folder of blobs. A kind of folder that
// this version does not know is left alone.
func (l *Library) named(ctx context.Context, ask Ask, id string) (bool, error) {
	if !policy.ValidID(policy.KindRecording, id) {
		return true, nil
	}
	// An upload becomes a recording, never the reverse: asked in this order, one is seen.
	for _, k := range []store.ItemKind{store.UploadItem, store.RecordingItem} {
		permit, err := ask(policy.Erase, k.Class())
		if err != nil {
			return false, err
		}
		_, err = l.o.Store.Item(ctx, permit, k, string(k.IDKind())+id[2:])
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
			return false, err
		}
	}
	return false, nil
}
