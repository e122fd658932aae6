package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// balancer sends each try to the next voter, as what stands before them would: one
// that does not answer is passed over. It counts refusals and keeps those that an
// upgrade must not cause.
type balancer struct {
	voters []string // URLs
	next   http.RoundTripper
	turn   atomic.Int64

	mu        sync.Mutex
	passed    int            // voters that did not answer
	refusals  map[string]int // that may be repeated, by reason
	forbidden []string
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var last error
	for range 2 * len(b.voters) {
		try := r.Clone(r.Context())
		to, err := url.Parse(b.voters[int(b.turn.Add(1))%len(b.voters)])
		if err != nil {
			return nil, err
		}
		try.URL.Host, try.Host = to.Host, to.Host
		if r.GetBody != nil {
			if try.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		resp, err := b.next.RoundTrip(try)
		if err == nil {
			return resp, b.judge(r, resp)
		}
		last = err
		var op *net.OpError
		unsent := errors.As(err, &op) && op.Op == "dial"
		if !unsent && r.Method != http.MethodGet || r.Context().Err() != nil {
			return nil, err // it may be done: the client repeats it under the same key
		}
		b.mu.Lock()
		b.passed++
		b.mu.Unlock()
	}
	return nil, last
}

// judge notes a refusal; its body can still be read.
func (b *balancer) judge(r *http.Request, resp *http.Response) error {
	if resp.StatusCode < 300 {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, reason := range []string{"OUTCOME_UNKNOWN", "UNAVAILABLE"} {
		if resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), `"`+reason+`"`) {
			b.refusals[reason]++
			return nil
		}
	}
	b.forbidden = append(b.forbidden, fmt.Sprintf("%s %s: %d %s", r.Method, r.URL.Path, resp.StatusCode, body))
	return nil
}

// rolling is load during an upgrade: tenants are made and read back at once, and
// their policies tightened and read back; some get a key, which is revoked.
type rolling struct {
	control *client.Control
	ctx     context.Context
	cancel  context.CancelFunc
	all     sync.WaitGroup

	mu     sync.Mutex
	made   map[string]string // slug → id
	failed []error
}

const rollingWriters = 3

func startRolling(t *testing.T, c *testcluster.Cluster) (*rolling, *balancer) {
	b := &balancer{next: c.HTTP().Transport, refusals: map[string]int{}}
	for _, v := range c.Env.Voters() {
		b.voters = append(b.voters, c.Env.VoterURL(v))
	}
	l := &rolling{made: map[string]string{}, control: &client.Control{BaseURL: b.voters[0], Token: c.Env.Token(), HTTP: &http.Client{Transport: b}, Patience: 30 * time.Second}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for w := range rollingWriters {
		l.all.Go(func() { l.run(w) })
	}
	t.Cleanup(l.end)
	return l, b
}

func (l *rolling) run(writer int) {
	for n := 0; l.ctx.Err() == nil; n++ {
		slug := fmt.Sprintf("w%d-t%d", writer, n)
		// Not of l.ctx: what was begun is finished, so that at the end nothing is unknown.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		x, err := l.control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "us1", BillingCountry: "US"})
		if err == nil {
			var back *controlv1.Tenant
			if back, err = l.control.Tenant(ctx, slug); err == nil && back.GetId() != x.GetId() {
				err = fmt.Errorf("%s was made as %s and is %s", slug, x.GetId(), back.GetId())
			}
		}
		if err == nil {
			err = l.further(ctx, slug, n)
		}
		cancel()
		l.mu.Lock()
		if err != nil {
			l.failed = append(l.failed, fmt.Errorf("%s: %w", slug, err))
		} else {
			l.made[slug] = x.GetId()
		}
		l.mu.Unlock()
		select {
		case <-l.ctx.Done():
		case <-time.After(20 * time.Millisecond): // a steady load, not the most that goes
		}
	}
}

// further changes what a tenant has: both releases must apply the same to it.
func (l *rolling) further(ctx context.Context, slug string, n int) error {
	before, err := l.control.Policy(ctx, slug)
	if err != nil {
		return err
	}
	kept := uint32(86400 * (1 + n%1000))
	if _, err := l.control.PutPolicy(ctx, slug, &controlv1.PolicyRules{Recipients: &controlv1.RecipientList{DenyAll: true},
		Classes: map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed", Retention: kept}}}, before.GetEtag()); err != nil {
		return err
	}
	after, err := l.control.Policy(ctx, slug)
	if err != nil {
		return err
	}
	if got := after.GetRules().GetClasses()["call_record"].GetRetention(); got != kept {
		return fmt.Errorf("%s keeps calls for %d s, want %d", slug, got, kept)
	}
	if n%8 != 0 {
		return nil
	}
	key, err := l.control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: slug, Region: "us1", Role: "ingest"})
	if err != nil {
		return err
	}
	return l.control.DeleteKey(ctx, slug, key.GetId(), key.GetEtag())
}

func (l *rolling) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.made)
}

func (l *rolling) end() {
	l.cancel()
	l.all.Wait()
}
