package media

import (
	"context"
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
	destroy := map[store.ItemKind]func(context.Context, Ask, string, string) error{
		store.RecordingItem: l.destroyRecording, store.TranscriptItem: l.destroyTranscript}[kind]
	if destroy == nil {
		return out, policy.Errorf(policy.InvalidArgument, "retention ends recordings and transcripts, not %s", kind)
	}
	for token := ""; ; {
		permit, err := ask(policy.Erase, kind.Class())
		if err != nil {
			return out, err
		}
		page, err := l.o.Store.Items(ctx, permit, store.ItemQuery{Kind: kind, End: before, PageSize: store.MaxPageSize, PageToken: token})
		if err != nil {
			return out, err
		}
		calls := make([]string, len(page.Items))
		for i := range page.Items {
			calls[i] = page.Items[i].Call
		}
		keep, err := held(ctx, calls)
		if err != nil {
			return out, err
		}
		for i := range page.Items {
			if keep[page.Items[i].Call] {
				out.Kept++
				continue
			}
			err := destroy(ctx, ask, page.Items[i].ID, "expire")
			if err != nil && !isReason(err, policy.NotFound) {
				return out, err
			}
			out.Destroyed++
		}
		if token = page.NextPageToken; token == "" {
			return out, nil
		}
	}
}
