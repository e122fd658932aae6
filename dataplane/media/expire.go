package media

import (
	"context"
	"errors"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Held tells which of some calls of the tenant a legal hold keeps; "" stands for
// what belongs to no call. An error means that nothing may be destroyed.
type Held func(ctx context.Context, calls []string) (map[string]bool, error)

// Expired counts what the end of a retention met.
type Expired struct {
	Destroyed int
	Kept      int // by legal holds, although their time is over
}

// Expire destroys a tenant's recordings (RecordingItem) or transcripts
// (TranscriptItem) that were created before a time. It wants permits to erase.
// After an error, what was destroyed is counted, and asking again goes on.
func (l *Library) Expire(ctx context.Context, ask Ask, kind store.ItemKind, before time.Time, held Held) (out Expired, err error) {
	destroy := map[store.ItemKind]destroyer{
		store.RecordingItem: l.destroyRecording, store.TranscriptItem: l.destroyTranscript}[kind]
	if destroy == nil {
		return out, policy.Errorf(policy.InvalidArgument, "retention ends recordings and transcripts, not %s", kind)
	}
	for token := ""; ; {
		next, err := l.expirePage(store.WithHolds(ctx), ask, store.ItemQuery{Kind: kind, End: before, PageSize: store.MaxPageSize, PageToken: token}, held, destroy, &out)
		if errors.Is(err, store.ErrNewHold) {
			continue // look at the page again
		}
		if err != nil {
			return out, err
		}
		if token = next; token == "" {
			return out, nil
		}
	}
}

// expirePage destroys what no hold keeps of a page, whose holds it looks at once.
func (l *Library) expirePage(ctx context.Context, ask Ask, q store.ItemQuery, held Held, destroy destroyer, out *Expired) (next string, err error) {
	permit, err := ask(policy.Erase, q.Kind.Class())
	if err != nil {
		return "", err
	}
	page, err := l.o.Store.Items(ctx, permit, q)
	if err != nil {
		return "", err
	}
	calls := make([]string, len(page.Items))
	for i := range page.Items {
		calls[i] = page.Items[i].Call
	}
	keep, err := held(ctx, calls)
	if err != nil {
		return "", err
	}
	kept := 0
	for i := range page.Items {
		if keep[page.Items[i].Call] {
			kept++
			continue
		}
		err := destroy(ctx, ask, page.Items[i].ID, "expire")
		if err != nil && !isReason(err, policy.NotFound) {
			return "", err
		}
		out.Destroyed++
	}
	out.Kept += kept
	return page.NextPageToken, nil
}

// destroyer destroys one by its id, and tells why.
type destroyer func(ctx context.Context, ask Ask, id, why string) error
