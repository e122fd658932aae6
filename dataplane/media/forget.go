package media

import (
	"context"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// ForgetCall destroys everything of a call: recordings, transcripts, and uploads
// that are not finished. It counts the first two. Repeating it is harmless. It
// wants permits to erase.
func (l *Library) ForgetCall(ctx context.Context, ask Ask, call string) (recordings, transcripts uint64, err error) {
	for _, k := range []struct {
		kind store.ItemKind
		n    *uint64
	}{{store.UploadItem, new(uint64)}, {store.RecordingItem, &recordings}, {store.TranscriptItem, &transcripts}} {
		for {
			permit, err := ask(policy.Erase, k.kind.Class())
			if err != nil {
				return recordings, transcripts, err
			}
			page, err := l.o.Store.Items(ctx, permit, store.ItemQuery{Kind: k.kind, Call: call, PageSize: store.MaxPageSize})
			if err != nil {
				return recordings, transcripts, err
			}
			for i := range page.Items {
				err := l.delete(ctx, ask, k.kind, page.Items[i].ID, nil)
				if err != nil {
					return recordings, transcripts, err
				}
				*k.n++
			}
			if page.NextPageToken == "" {
				break
			}
		}
	}
	return recordings, transcripts, nil
}
