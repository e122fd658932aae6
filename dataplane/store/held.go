package store

import (
	"context"
	"errors"
)

// ErrNewHold says that a tenant's legal holds are not those that were looked at:
// nothing was destroyed. Whoever asked looks at them again, and decides anew.
var ErrNewHold = errors.New("a legal hold was placed meanwhile; what it covers is not known yet")

type heldKey struct{}

// seen is how many holds were looked at; negative before.
type seen struct{ holds int }

// WithHolds is for whoever destroys what a legal hold could cover: it looks at the
// tenant's holds with the context ([LookedAt]), decides that none stands against it,
// and destroys with the same context. A destroying call is then refused with
// ErrNewHold, and changes nothing in that commit, when the tenant has another number
// of holds. Holds are never deleted, so that a number tells which; and they are
// counted in the commit that destroys, while nobody can place one on any node. Once
// PutItem has answered for a hold, nothing is therefore destroyed by who did not
// know it.
//
// Rewrite, DeleteItem, ConvertItem, PutItem, Unquarantine and Purge heed it. A call
// of several commits may have made some when it is refused, as after any error.
func WithHolds(ctx context.Context) context.Context {
	return context.WithValue(ctx, heldKey{}, &seen{-1})
}

// WithoutHolds is for what goes on with a destruction that has begun.
func WithoutHolds(ctx context.Context) context.Context {
	return context.WithValue(ctx, heldKey{}, (*seen)(nil))
}

// LookedAt notes how many holds there were, released ones included, when they were
// looked at. Without WithHolds it does nothing. A context is used by one at a time.
func LookedAt(ctx context.Context, holds int) {
	if s, _ := ctx.Value(heldKey{}).(*seen); s != nil {
		s.holds = holds
	}
}

// HoldsSeen is what LookedAt noted.
func HoldsSeen(ctx context.Context) (holds int, ok bool) {
	s, _ := ctx.Value(heldKey{}).(*seen)
	if s == nil || s.holds < 0 {
		return 0, false
	}
	return s.holds, true
}
