package storetest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

// halting is an engine that lets a test in between what a turn was decided on and its
// commit.
type halting struct {
	sealed.Engine
	before func(kind sealed.TurnKind)
}

type haltingTurn struct {
	sealed.Turn
	h    *halting
	kind sealed.TurnKind
}

func (h *halting) Begin(tenant [16]byte, kind sealed.TurnKind) (sealed.Turn, error) {
	turn, err := h.Engine.Begin(tenant, kind)
	if err != nil {
		return nil, err
	}
	return haltingTurn{turn, h, kind}, nil
}

func (t haltingTurn) Commit(b sealed.Batch, next sealed.Standing) error {
	if t.h.before != nil {
		t.h.before(t.kind)
	}
	return t.Turn.Commit(b, next)
}

// meet places a hold between the decision and the commit of the next turn of a kind,
// and goes on when it waits, or when it did not; came says that it did not.
func (h *halting) meet(kind sealed.TurnKind, blocked func() bool, placed chan error, place func() error) (came *bool) {
	came = new(bool)
	h.before = func(now sealed.TurnKind) {
		if now != kind {
			return
		}
		h.before = nil
		go func() { placed <- place() }()
		for !blocked() {
			if len(placed) > 0 {
				*came = true
				return
			}
			runtime.Gosched()
		}
	}
	return came
}

// HoldWaits demands that a hold waits for a commit that destroys and has counted the
// holds, whichever turn it is made in: the hold's answer comes after it. node is what
// the hold is placed by: nil, or the engine of another node. blocked reports whether
// something waits that would place one.
func HoldWaits(t *testing.T, e, node sealed.Engine, keys store.Keys, blocked func() bool) {
	ctx := context.Background()
	h := &halting{Engine: e}
	s, err := sealed.Open(h, sealed.Options{Region: Region, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	placer := s
	if node != nil {
		if placer, err = sealed.Open(node, sealed.Options{Region: Region, Keys: keys}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := s.Append(ctx, Permit(t, TenantA, policy.Ingest), []record.Record{Native(1)})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.Quarantine(ctx, Permit(t, TenantA, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Payload: []byte("broken"), ReceivedAt: Epoch}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutItem(ctx, PermitOf(t, TenantA, policy.Store, policy.Recording), item(1, ""), 0); err != nil {
		t.Fatal(err)
	}
	erase := Permit(t, TenantA, policy.Erase)
	for n, c := range []struct {
		kind    sealed.TurnKind
		destroy func(context.Context) error
	}{
		{sealed.ItemTurn, func(ctx context.Context) error {
			return s.DeleteItem(ctx, PermitOf(t, TenantA, policy.Erase, policy.Recording), store.RecordingItem, itemID(store.RecordingItem, 1), 0)
		}},
		{sealed.WriteTurn, func(ctx context.Context) error { return s.Unquarantine(ctx, erase, ids[0]) }},
		{sealed.WriteTurn, func(ctx context.Context) error {
			_, err := s.Rewrite(ctx, erase, store.Rewrite{Calls: []string{out[0].ID}})
			return err
		}},
	} {
		decided := store.WithHolds(ctx)
		_, seen, err := s.Holds(ctx, TenantA)
		if err != nil || seen != n {
			t.Fatalf("%d holds, %v", seen, err)
		}
		store.LookedAt(decided, seen)
		placed := make(chan error, 1)
		came := h.meet(c.kind, blocked, placed, func() error {
			_, err := placer.PutItem(ctx, PermitOf(t, TenantA, policy.Store, policy.AccountConfig), hold(n), 0)
			return err
		})
		if err := c.destroy(decided); err != nil && !errors.Is(err, store.ErrNewHold) {
			t.Fatalf("destroyer %d: %v", n, err)
		}
		if err := <-placed; err != nil {
			t.Fatalf("destroyer %d: the hold: %v", n, err)
		}
		if *came {
			t.Errorf("destroyer %d: a hold was answered for while a commit that did not know it was on its way", n)
		}
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
}

// Waits reports whether a goroutine of this process is in a function and in a state
// of package runtime, such as "sync.RWMutex.Lock".
func Waits(in, state string) bool {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for g := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		head, rest, _ := bytes.Cut(g, []byte("\n"))
		if bytes.Contains(head, []byte(state)) && bytes.Contains(rest, []byte(in)) {
			return true
		}
	}
	return false
}
