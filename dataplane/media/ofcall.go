package media

import (
	"context"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// OfCall lists the ids of a call's recordings and transcripts, at most a page of
// each. What the tenant's rules let nobody view is left out.
func (l *Library) OfCall(ctx context.Context, ask Ask, call string) (recordings, transcripts []string, err error) {
	for _, k := range []struct {
		kind store.ItemKind
		into *[]string
	}{{store.RecordingItem, &recordings}, {store.TranscriptItem, &transcripts}} {
		permit, err := ask(policy.View, k.kind.Class())
		if err != nil {
			continue
		}
		page, err := l.o.Store.Items(ctx, permit, store.ItemQuery{Kind: k.kind, Call: call, PageSize: store.MaxPageSize})
		if err != nil {
			return nil, nil, err
		}
		for i := range page.Items {
			*k.into = append(*k.into, page.Items[i].ID)
		}
	}
	return recordings, transcripts, nil
}
