package media_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// What is older than its class is kept is destroyed, key first; what a hold keeps,
// what is younger, and what is another tenant's stays. Whoever cannot say what is held
// destroys nothing.
func TestINV24_MediaEndWithTheirClass(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	held, old := f.call(storetest.TenantA, 1), f.call(storetest.TenantA, 2)
	type kept struct{ recording, transcript string }
	put := func(tenant policy.TenantID, call string, seed byte) kept {
		r, _ := f.upload(tenant, call, wav(70_000, seed))
		return kept{r.ID, f.transcribe(tenant, call, "words", string('a'+rune(seed))).ID}
	}
	ofHeld, ofOld, ofNone := put(storetest.TenantA, held, 1), put(storetest.TenantA, old, 2), put(storetest.TenantA, "", 3)
	others := put(storetest.TenantB, "", 4)
	f.clock.Advance(48 * time.Hour)
	young := put(storetest.TenantA, old, 5)
	before := f.clock.Now().Add(-24 * time.Hour)
	kinds := []store.ItemKind{store.RecordingItem, store.TranscriptItem}
	for _, kind := range kinds {
		unknown := errors.New("nobody knows")
		out, err := f.media.Expire(ctx, f.ask(storetest.TenantA), kind, before, func(context.Context, []string) (map[string]bool, error) { return nil, unknown })
		if !errors.Is(err, unknown) || out != (media.Expired{}) {
			t.Fatalf("%s without knowing holds: %+v %v", kind, out, err)
		}
		out, err = f.media.Expire(ctx, f.ask(storetest.TenantA), kind, before, func(context.Context, []string) (map[string]bool, error) {
			return map[string]bool{held: true}, nil
		})
		f.must(err)
		if out != (media.Expired{Destroyed: 2, Kept: 1}) {
			t.Errorf("%s: %+v", kind, out)
		}
	}
	there := func(tenant policy.TenantID, k kept, want bool) {
		t.Helper()
		_, _, recording := f.media.Open(ctx, f.ask(tenant), k.recording)
		_, _, transcript := f.media.Transcript(ctx, f.ask(tenant), k.transcript)
		if (recording == nil) != want || (transcript == nil) != want {
			t.Errorf("there is %v, %v; want %v", recording, transcript, want)
		}
	}
	there(storetest.TenantA, ofHeld, true)
	there(storetest.TenantA, young, true)
	there(storetest.TenantB, others, true)
	there(storetest.TenantA, ofOld, false)
	there(storetest.TenantA, ofNone, false)
	if _, err := f.media.Expire(ctx, f.ask(storetest.TenantA), store.HoldItem, f.clock.Now(), nil); err == nil {
		t.Error("holds ended by retention")
	}
}
