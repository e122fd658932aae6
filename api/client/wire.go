package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/domicile-io/domicile/policy"
)

const (
	maxAnswer  = 64 << 20 // bytes of one JSON answer
	maxProblem = 1 << 20  // bytes of one problem document
)

// wire is one base URL with its credential.
type wire struct {
	base     string
	bearer   string
	http     *http.Client
	patience time.Duration
	seen     *Freshness
}

// request is one exchange. Body, when it is a *bytes.Reader, can be repeated.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   io.Reader
}

// do sends r once and answers with a 2xx response, whose body the caller
// closes, or with an error.
func (w wire) do(ctx context.Context, r request) (*http.Response, error) {
	target := strings.TrimSuffix(w.base, "/") + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, policy.Errorf(policy.InvalidArgument, "the address %s cannot be used: give a URL such as https://host:port", w.base)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if w.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+w.bearer)
	}
	w.seen.apply(req.Header)
	hc := w.http
	if hc == nil {
		hc = http.DefaultClient
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, transportError(req, err)
	}
	w.seen.see(resp.Header.Get(policyToken))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, problemError(resp)
	}
	return resp, nil
}

// exchange sends r, with patience where an answer said "not now" or was lost,
// and hands the answer's body to decode. One Idempotency-Key covers all tries.
func (w wire) exchange(ctx context.Context, r request, body []byte, decode func([]byte) error) error {
	if r.header == nil {
		r.header = http.Header{}
	}
	if body != nil {
		r.header.Set("Content-Type", "application/json")
	}
	if r.method != http.MethodGet && r.header.Get("Idempotency-Key") == "" {
		key, given := idempotencyKey(ctx)
		if !given {
			key = uuid.NewString()
		}
		r.header.Set("Idempotency-Key", key)
	}
	deadline := time.Now().Add(w.patience)
	for {
		if body != nil {
			r.body = bytes.NewReader(body)
		}
		err := w.once(ctx, r, decode)
		pause, again := repeatable(err)
		if !again || time.Now().Add(pause).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (w wire) once(ctx context.Context, r request, decode func([]byte) error) error {
	resp, err := w.do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return transportError(resp.Request, err)
	}
	if len(b) > maxAnswer {
		return policy.Errorf(policy.PayloadTooLarge, "the answer is larger than %d MiB: ask for smaller pages", maxAnswer>>20)
	}
	if decode == nil {
		return nil
	}
	if err := decode(b); err != nil {
		return &policy.Error{Reason: policy.Internal, Cause: err,
			Message: fmt.Sprintf("the answer of %s is not what this version understands: compare `domicile version` with the server's", r.path)}
	}
	return nil
}

// json exchanges plain JSON forms; in and out may be nil.
func (w wire) json(ctx context.Context, r request, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	return w.exchange(ctx, r, body, func(b []byte) error {
		if out == nil || len(b) == 0 {
			return nil
		}
		return json.Unmarshal(b, out)
	})
}

// repeatable reports whether err was answered "not now" or its answer was
// lost, and how long to wait before the same request again.
func repeatable(err error) (time.Duration, bool) {
	var e *policy.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	switch e.Reason {
	case policy.OutcomeUnknown, policy.NotReady, policy.PolicyStale, policy.TenantFenced, policy.Overloaded:
	default:
		return 0, false
	}
	if e.Reason == policy.NotReady && e.Metadata["request_id"] == "" {
		return 0, false // nobody answered at all: a person should know at once
	}
	pause := 250 * time.Millisecond
	if s, err := strconv.Atoi(e.Metadata["retry_after"]); err == nil && s > 0 && e.Reason == policy.Overloaded {
		pause = time.Duration(min(s, 5)) * time.Second
	}
	return pause, true
}
