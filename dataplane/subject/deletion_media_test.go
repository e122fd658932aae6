package subject

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// What comes for a call while it is deleted or erased, from somebody who still saw
// it, goes with it: at whatever moment, and when the process ends before the last look.
func TestINV21_WhatComesWhileACallIsDestroyed(t *testing.T) {
	onBothStores(t, whatComesWhileACallIsDestroyed)
}

func whatComesWhileACallIsDestroyed(t *testing.T, region func() *region) {
	ctx := context.Background()
	for _, step := range []string{"deletion begun", "deletion", "deletion media"} {
		r := region()
		id, rec := r.lone()
		came := r.at(step, func() error { r.hang(id); return nil })
		must(t, r.service.DeleteCall(ctx, tenant, id))
		if n := r.hanging(id); n != 0 || !*came {
			t.Errorf("%s: %d of what came are left (came: %v)", step, n, *came)
		}
		r.gone(id, rec, 2)
	}
	r := region()
	id, rec := r.lone()
	r.between = func(step string) error {
		switch step {
		case "deletion media":
			r.hang(id)
		case "last media":
			return errCrash
		}
		return nil
	}
	if err := r.service.DeleteCall(ctx, tenant, id); !errors.Is(err, errCrash) || r.hanging(id) != 3 {
		t.Fatalf("nothing was left by the crash: %v", err)
	}
	r.between = nil
	r.reopen()
	must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	if n := r.hanging(id); n != 0 {
		t.Errorf("%d of what came are left after the crash", n)
	}
	r.gone(id, rec, 2)
}

// The same of a person's calls, those that are dropped and those that stay.
func TestINV21_WhatComesWhileAPersonIsErased(t *testing.T) {
	onBothStores(t, whatComesWhileAPersonIsErased)
}

func whatComesWhileAPersonIsErased(t *testing.T, region func() *region) {
	r := region()
	r.populate()
	var hung []string
	came := r.at("page media", func() error {
		for _, c := range r.list(store.Query{}) {
			if c.Record.From.E164 == person || c.Record.To.E164 == person {
				r.hang(c.ID)
				hung = append(hung, c.ID)
			}
		}
		return nil
	})
	r.erase(r.who(person))
	if !*came || len(hung) == 0 {
		t.Fatal("nothing came: the test shows nothing")
	}
	for _, id := range hung {
		if n := r.hanging(id); n != 0 {
			t.Errorf("%d of what came for a call of the erased person are left", n)
		}
	}
}

// moment is a source of randomness that does something before it is first asked: an
// upload draws its id after it has seen its call, and before anything is stored.
type moment struct {
	once sync.Once
	do   func()
}

func (m *moment) Read(b []byte) (int, error) {
	m.once.Do(m.do)
	return rand.Read(b)
}

// Whoever saw the call, and stores something of it when it is gone altogether, takes
// it back.
func TestINV21_WhatComesAfterTheLastLookIsTakenBack(t *testing.T) {
	onBothStores(t, whatComesAfterTheLastLookIsTakenBack)
}

func whatComesAfterTheLastLookIsTakenBack(t *testing.T, region func() *region) {
	ctx := context.Background()
	for name, bring := range map[string]func(l *media.Library, ask media.Ask, call string) error{
		"an upload": func(l *media.Library, ask media.Ask, call string) error {
			_, err := l.Begin(ctx, ask, call, 100)
			return err
		},
		"a transcript": func(l *media.Library, ask media.Ask, call string) error {
			_, _, err := l.PutTranscript(ctx, ask, media.Transcript{Call: call}, []media.Segment{{EndMS: 900, Text: "late words"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := region()
			id, _ := r.lone()
			late := &moment{do: func() { must(t, r.service.DeleteCall(ctx, tenant, id)) }}
			l, err := media.New(media.Options{Region: "ie1", Keys: r.keys, Store: r.store, Blobs: r.blobs, Now: r.clock, PartSize: 1 << 20, Rand: late})
			must(t, err)
			wantReason(t, bring(l, regionMedia{r}.ask(tenant), id), policy.NotFound)
			if n := r.hanging(id); n != 0 {
				t.Errorf("%d of what came are left", n)
			}
		})
	}
}

// Uploads, transcripts and the deletion of their call in whatever order: nothing of
// it is left when all have ended.
func TestINV21_DeletionsRaceWithUploads(t *testing.T) { onBothStores(t, deletionsRaceWithUploads) }

func deletionsRaceWithUploads(t *testing.T, region func() *region) {
	ctx := context.Background()
	r := region()
	ask, sound := regionMedia{r}.ask(tenant), wav("of a race")
	for n := range 20 {
		id := r.append(r.call(fmt.Sprintf("race-%d", n), person, friend, epoch))[0].ID
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for {
					u, err := r.media.Begin(ctx, ask, id, int64(len(sound)))
					if err == nil {
						_, err = r.media.Append(ctx, ask, u.ID, 0, bytes.NewReader(sound))
					}
					if err == nil {
						_, _, err = r.media.Finish(ctx, ask, u.ID)
					}
					if errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
						return
					}
				}
			})
		}
		all.Go(func() {
			err := r.service.DeleteCall(ctx, tenant, id)
			for err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) { // an upload is just being written: the deletion has begun, and is finished
				err = r.service.Round(ctx, []policy.TenantID{tenant})
			}
		})
		all.Wait()
		must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
		if n := r.hanging(id); n != 0 {
			t.Fatalf("%d things hang on a deleted call", n)
		}
	}
}
