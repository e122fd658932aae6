package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Voters that were paused, or are alone, and have not heard that a token was revoked
// after that was acknowledged: nothing opens for it there, now or when they hear.

// revoked is a token of an operator that works, until revoke.
type revoked struct {
	p               *processes
	principal, text string
}

func (p *processes) operator(t *testing.T) revoked {
	t.Helper()
	a := p.c.want(p.c.do(0, "POST", "/v1/tokens", map[string]any{"role": "operator"}, officer), 201, "")
	r := revoked{p: p, principal: a.str("principal"), text: a.str("secret")}
	for i := range p.run {
		p.c.want(p.c.do(i, "GET", "/v1/tenants", nil, as(r.text)), 200, "")
		eventually(t, func() error { // by its own state
			if a := p.c.once(i, "GET", "/v1/tenants", nil, headers{"Authorization": "Bearer " + r.text, "X-Consistency": "minimize_latency"}); a.Status != 200 {
				return errStatus(a.Status)
			}
			return nil
		}, "a voter never hears of the token")
	}
	return r
}

// revoke ends it by way of one voter, and gives the policy token of that.
func (r revoked) revoke(voter int) string {
	path := "/v1/tokens/" + r.principal
	tag := r.p.c.do(voter, "GET", path, nil, officer).Header.Get("ETag")
	a := r.p.c.want(r.p.c.do(voter, "DELETE", path, nil, headers{"Authorization": officer["Authorization"], "If-Match": tag}), 200, "")
	return a.Header.Get("X-Policy-Token")
}

// attempts are what a revoked token is tried on at a voter that has not heard.
func (r revoked) attempts(token string) map[string]headers {
	with := func(h headers) headers { h["Authorization"] = "Bearer " + r.text; return h }
	out := map[string]headers{
		"GET /v1/tenants":             with(headers{}),
		"GET /v1/tokens":              with(headers{"X-Consistency": "fully_consistent"}),
		"POST /v1/tenants":            with(headers{}),
		"POST /v1/bases/SCC:revoke":   with(headers{}),
		"POST /v1/backups":            with(headers{}),
		"DELETE /v1/members/cp1":      with(headers{"If-Match": `"1"`}),
		"POST /v1/members/cp1:demote": with(headers{}),
	}
	if token != "" { // of the revocation: what is older may be read by a state that is as old
		out["GET /v1/audit/leaves"] = with(headers{"X-Policy-Token": token, "X-Consistency": "at_least_as_fresh"})
		out["GET /v1/regions"] = with(headers{"X-Policy-Token": token})
	}
	return out
}

// try sends one attempt; sent is called when all of it has been written.
func (r revoked) try(client *http.Client, voter int, what string, h headers, sent func()) (int, error) {
	method, path, _ := strings.Cut(what, " ")
	body := ""
	switch {
	case path == "/v1/tenants" && method == "POST":
		body = `{"slug":"stolen-while-alone","home_region":"ie1","billing_country":"IE"}`
	case path == "/v1/backups":
		body = `{"recipients":["age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm"]}`
	case method == "POST":
		body = "{}"
	}
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent() }})
	req, err := http.NewRequestWithContext(ctx, method, "https://"+r.p.c.configs[voter].RESTAddress+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range h {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		return 0, errors.New("503 without Retry-After")
	}
	return resp.StatusCode, nil
}

// at tries everything at one voter at once, and gives a function that waits for
// the answers and judges them. sent ends when all is on its way.
func (r revoked) at(t *testing.T, voter int, token string) (sent func(), judge func()) {
	t.Helper()
	transport := r.p.c.client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true // one connection, that stands already
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: patience}
	resp, err := client.Get("https://" + r.p.c.configs[voter].RESTAddress + "/v1/audit/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	var written, answered sync.WaitGroup
	start := make(chan struct{})
	for what, h := range r.attempts(token) {
		written.Add(1)
		answered.Go(func() {
			<-start
			status, err := r.try(client, voter, what, h, sync.OnceFunc(written.Done))
			if err != nil || status != http.StatusUnauthorized && status != http.StatusServiceUnavailable {
				t.Errorf("%s with a revoked token at a voter that had not heard: %d %v", what, status, err)
			}
		})
	}
	return func() { close(start); written.Wait() }, answered.Wait
}

func TestINV20_AVoterThatHasNotHeardOfARevocationOpensNothing(t *testing.T) {
	t.Parallel() // it waits for the most part
	c := newCluster(t, 3)
	p := c.becomeProcesses()

	leader := p.leading()
	alone, third := (leader+1)%3, (leader+2)%3
	r := p.operator(t)
	p.pause(alone)
	token := r.revoke(leader)
	p.pause(third)
	p.kill(leader)
	p.resume(alone)
	eventually(t, func() error {
		if name, err := p.leader(alone); err != nil || name != "" {
			return fmt.Errorf("%q leads: %v", name, err)
		}
		return nil
	}, "the voter has not noticed that it is alone")
	h := headers{"Authorization": "Bearer " + r.text, "X-Consistency": "minimize_latency"}
	if a := c.once(alone, "GET", "/v1/tenants", nil, h); a.Status != 200 { // the witness: it has not heard
		t.Errorf("a read for which least latency was asked: %d %s", a.Status, a.Raw)
	}
	sent, judge := r.at(t, alone, token)
	sent()
	began := time.Now()
	p.resume(third) // which has heard, so that it will lead
	p.start(leader)
	p.leading()
	judge() // what waited for a leader, too
	for i := range p.run {
		c.want(c.do(i, "GET", "/v1/tenants", nil, as(r.text)), 401, policy.Unauthenticated)
	}
	eventually(t, func() error {
		if a := c.once(alone, "GET", "/v1/tenants", nil, h); a.Status != 401 {
			return errStatus(a.Status)
		}
		return nil
	}, "the voter never hears of the revocation")
	t.Logf("it had heard %v after the others were back", time.Since(began).Round(time.Millisecond))
	p.ready()

	// A leader that was paused, and replaced, answers what had reached it meanwhile.
	leader = p.leading()
	r = p.operator(t)
	sent, judge = r.at(t, leader, "")
	p.pause(leader)
	sent()
	other := (leader + 1) % 3
	eventually(t, func() error {
		if name, err := p.leader(other); err != nil || name == "" || name == c.configs[leader].Name {
			return fmt.Errorf("%q leads: %v", name, err)
		}
		return nil
	}, "nobody replaces the leader")
	r.revoke(other)
	p.resume(leader)
	judge()

	p.ready()
	p.leading()
	if a := c.do(other, "GET", "/v1/tenants/stolen-while-alone", nil, nil); a.Status != 404 {
		t.Errorf("a revoked token made a tenant: %d", a.Status)
	}
	p.unharmed(t, r.text)
	states := p.states()
	if states[0] != states[1] || states[0] != states[2] {
		t.Errorf("the voters hold %v", states)
	}
}
