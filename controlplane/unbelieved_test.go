package controlplane_test

import (
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// Whoever shows no credential that works, costs nothing that is replicated: no
// round of the leader, no entry of the Raft log, and no wait.
func TestINV41_WhoIsNotBelievedCostsNothingReplicated(t *testing.T) {
	c := prepare(t, 3)
	c.timing.Renew = time.Hour // it makes sure of leadership too
	c.startAll()
	for i := range c.planes { // every voter knows leader and operator
		c.want(c.do(i, "GET", "/v1/regions", nil, nil), 200, "")
	}
	count := func() (rounds, last uint64) {
		for _, p := range c.planes {
			rounds, last = rounds+p.Confirmations(), max(last, p.LastLog())
		}
		return rounds, last
	}
	before, _ := count()
	c.want(c.do(0, "GET", "/v1/regions", nil, nil), 200, "")
	if more, _ := count(); more != before+1 {
		t.Fatalf("the control: one read cost %d rounds, want 1", more-before)
	}
	rounds, last := count()
	far := api.PolicyToken(1 << 40) // whoever is believed waits two seconds for it
	asked := 0
	for i := range c.planes {
		for _, credential := range []string{"", "Basic b3BlcmF0b3I6eA==", "Bearer short", "Bearer " + strings.Repeat("x", 40), "Bearer dt_" + strings.Repeat("0", 64), "Bearer aaaa.bbbb.cccc"} {
			for _, mode := range []headers{{}, {"X-Consistency": "minimize_latency"}, {"X-Consistency": "at_least_as_fresh", "X-Policy-Token": far}, {"X-Policy-Token": far}} {
				for _, call := range []struct{ method, path string }{{"GET", "/v1/regions"}, {"GET", "/v1/tenants/nobody"}, {"POST", "/v1/tenants"}} {
					h := headers{"Authorization": credential}
					for k, v := range mode {
						h[k] = v
					}
					var body any
					if call.method == "POST" {
						body = map[string]any{"slug": "nobody", "billing_country": "IE"}
					}
					c.want(c.do(i, call.method, call.path, body, h), 401, policy.Unauthenticated)
					asked++
				}
			}
		}
	}
	if r, l := count(); r != rounds || l != last {
		t.Errorf("%d calls of nobody cost %d rounds of the leader and %d entries of the log", asked, r-rounds, l-last)
	}
	t.Logf("%d calls were refused", asked)
}

// A credential that is made at one voter works at once at every other, although
// that has not heard of it: it asks the leader. One that is revoked ends at once
// at every voter.
func TestAFreshCredentialWorksAtEveryVoter(t *testing.T) {
	c := newCluster(t, 3)
	for range 20 {
		made := c.want(c.do(c.leader(), "POST", "/v1/tokens", map[string]any{"role": "auditor"}, nil), 201, "")
		h := as(made.str("secret"))
		for i := range c.planes {
			c.want(c.do(i, "GET", "/v1/tenants", nil, h), 200, "")
			h["X-Policy-Token"], h["X-Consistency"] = made.Header.Get("X-Policy-Token"), "minimize_latency"
			c.want(c.do(i, "GET", "/v1/tenants", nil, h), 200, "")
			delete(h, "X-Policy-Token")
			delete(h, "X-Consistency")
		}
		path := "/v1/tokens/" + made.str("principal")
		tag := c.do(0, "GET", path, nil, nil).Header.Get("ETag")
		c.want(c.do(c.leader(), "DELETE", path, nil, headers{"If-Match": tag}), 200, "")
		for i := range c.planes {
			c.want(c.do(i, "GET", "/v1/tenants", nil, h), 401, policy.Unauthenticated)
		}
	}
}
