package media

import (
	"context"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Any reports whether a tenant has a recording, a transcript or an upload. It wants
// permits to erase.
func (l *Library) Any(ctx context.Context, ask Ask) (bool, error) {
	for _, kind := range []store.ItemKind{store.UploadItem, store.RecordingItem, store.TranscriptItem} {
		permit, err := ask(policy.Erase, kind.Class())
		if err != nil {
			return false, err
		}
		page, err := l.o.Store.Items(ctx, permit, store.ItemQuery{Kind: kind, PageSize: 1})
		if err != nil || len(page.Items) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// ForgetCall destroys everything of a call: recordings, transcripts, and uploads
// that are not finished. It counts the first two. Repeating it is harmless. It
// wants permits to erase.
func (l *Library) ForgetCall(ctx context.Context, ask Ask, call string) (recordings, transcripts uint64, err error) {
	for _, k := range []struct {
		kind    store.ItemKind
		destroy func(ctx context.Context, ask Ask, id string) error
		n       *uint64
	}{{store.UploadItem, l.Abort, new(uint64)}, {store.RecordingItem, l.Delete, &recordings}, {store.TranscriptItem, l.DeleteTranscript, &transcripts}} {
		for token := ""; ; {
			permit, err := ask(policy.Erase, k.kind.Class())
			if err != nil {
				return recordings, transcripts, err
			}
			page, err := l.o.Store.Items(ctx, permit, store.ItemQuery{Kind: k.kind, Call: call, PageSize: store.MaxPageSize, PageToken: token})
			if err != nil {
				return recordings, transcripts, err
			}
			for i := range page.Items {
				err := k.destroy(ctx, ask, page.Items[i].ID)
				if err != nil && !isReason(err, policy.NotFound) {
					return recordings, transcripts, err
				}
				*k.n++
			}
			if token = page.NextPageToken; token == "" {
				break
			}
		}
	}
	return recordings, transcripts, nil
}
