package client

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/domicile-io/domicile/api"
)

// policyToken names what a caller has seen (contract section 5).
const policyToken = "X-Policy-Token"

// Freshness is the newest policy token of a run. A Control that holds one sends
// it with every request and learns from every answer, so that no voter, whichever
// answers, shows an older state than another has shown before. The zero value is
// ready; it may be shared, and used concurrently.
type Freshness struct{ revision atomic.Uint64 }

// Token is what was seen so far; "" before the first answer.
func (f *Freshness) Token() string {
	if f == nil || f.revision.Load() == 0 {
		return ""
	}
	return api.PolicyToken(f.revision.Load())
}

// see raises it. A token that is malformed says nothing.
func (f *Freshness) see(token string) {
	if f == nil || token == "" {
		return
	}
	revision, err := api.ParsePolicyToken(token)
	if err != nil {
		return
	}
	for {
		now := f.revision.Load()
		if revision <= now || f.revision.CompareAndSwap(now, revision) {
			return
		}
	}
}

// apply adds the token to a request's header.
func (f *Freshness) apply(h http.Header) {
	if token := f.Token(); token != "" {
		h.Set(policyToken, token)
	}
}

type idempotency struct{}

// WithIdempotencyKey makes the one write that is called with the context carry
// this key, a UUID, rather than one that is drawn: whoever derives it from what
// the write is for may be killed and repeat it in another process, within the
// 24 hours for which the control plane keeps it.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotency{}, key)
}

func idempotencyKey(ctx context.Context) (string, bool) {
	key, ok := ctx.Value(idempotency{}).(string)
	return key, ok
}
