package dataplane

import (
	"bytes"
	"context"
	"iter"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// A recording and a transcript end after what the policy says of their class, each
// of its own, whatever it says of call records.
func TestINV24_RetentionEndsMedia(t *testing.T) { onBothStores(t, retentionEndsMedia) }

func retentionEndsMedia(t *testing.T, r *retention, clock *storetest.Clock, s store.Store) {
	ctx := context.Background()
	r.check = func(q gate.Question) (policy.Permit, error) {
		return storetest.PermitOf(t, q.Tenant, q.Op, q.Class), nil
	}
	keep := map[policy.DataClass]time.Duration{policy.Recording: 10 * 24 * time.Hour, policy.Transcript: 20 * 24 * time.Hour}
	r.ending = func(class policy.DataClass) (iter.Seq2[policy.TenantID, time.Duration], error) {
		return func(yield func(policy.TenantID, time.Duration) bool) { yield(storetest.TenantA, keep[class]) }, nil
	}
	ask := func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return storetest.PermitOf(t, storetest.TenantA, op, class), nil
	}
	putMedia(t, r.media, ask, "")
	left := func(kind store.ItemKind) int {
		page, err := s.Items(ctx, storetest.PermitOf(t, storetest.TenantA, policy.View, kind.Class()), store.ItemQuery{Kind: kind, PageSize: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Items)
	}
	for _, step := range []struct {
		advance                 time.Duration
		held                    bool
		recordings, transcripts int
	}{
		{9 * 24 * time.Hour, false, 1, 1},
		{2 * 24 * time.Hour, true, 1, 1},
		{0, false, 0, 1},
		{10 * 24 * time.Hour, false, 0, 0},
	} {
		clock.Advance(step.advance)
		r.held = func(context.Context, policy.Permit, []string) (map[string]bool, error) {
			return map[string]bool{"": step.held}, nil
		}
		if err := r.round(ctx); err != nil {
			t.Fatal(err)
		}
		if a, b := left(store.RecordingItem), left(store.TranscriptItem); a != step.recordings || b != step.transcripts {
			t.Errorf("after %s, held %v: %d recordings and %d transcripts are left", step.advance, step.held, a, b)
		}
	}
}

// putMedia stores a recording and a transcript of a call; "" is none.
func putMedia(t *testing.T, library *media.Library, ask media.Ask, call string) {
	t.Helper()
	ctx := context.Background()
	sound := append([]byte("RIFF\x24\x20\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x20\x00\x00"), make([]byte, 8192)...)
	up, err := library.Begin(ctx, ask, call, int64(len(sound)))
	if err == nil {
		_, err = library.Append(ctx, ask, up.ID, 0, bytes.NewReader(sound))
	}
	if err == nil {
		_, _, err = library.Finish(ctx, ask, up.ID)
	}
	if err == nil {
		_, _, err = library.PutTranscript(ctx, ask, media.Transcript{Call: call}, []media.Segment{{Text: "words"}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What nobody could parse is nobody's but everybody's: a hold on the whole tenant keeps it.
func TestINV24_AHoldOnEverybodyKeepsQuarantinedPayloads(t *testing.T) {
	r, clock, s := retentionFixture(t, "local")
	ctx := context.Background()
	if _, err := s.Quarantine(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []store.Quarantined{{Source: "asterisk", Payload: []byte("broken"), ReceivedAt: clock.Now()}}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(100 * 24 * time.Hour)
	for _, held := range []bool{true, false} {
		r.held = func(_ context.Context, _ policy.Permit, calls []string) (map[string]bool, error) {
			return map[string]bool{"": held}, nil
		}
		if err := r.round(ctx); err != nil {
			t.Fatal(err)
		}
		items, _, err := s.Quarantines(ctx, storetest.Permit(t, storetest.TenantA, policy.View), 100, "")
		if err != nil || (len(items) == 1) != held {
			t.Errorf("held %v: %d payloads are left, %v", held, len(items), err)
		}
	}
}
