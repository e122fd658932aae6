package controlplane_test

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func TestAnyVoterAnswersAndALostLeaderIsReplaced(t *testing.T) {
	c := newCluster(t, 3)
	follower := c.follower()
	body := func(slug string) map[string]any {
		return map[string]any{"slug": slug, "home_region": "ie1", "billing_country": "IE"}
	}
	a := c.want(c.do(follower, "POST", "/v1/tenants", body("by-follower"), nil), 201, "")
	if a.Header.Get("X-Policy-Token") == "" || a.Header.Get("ETag") == "" {
		t.Errorf("a forwarded answer lost its headers: %v", a.Header)
	}
	// TestINV30: what one voter acknowledged, every voter shows at once.
	for i := range c.planes {
		c.want(c.do(i, "GET", "/v1/tenants/by-follower", nil, nil), 200, "")
		c.want(c.do(i, "GET", "/v1/tenants", nil, headers{"Authorization": "Bearer wrong-token-wrong-token"}), 401, policy.Unauthenticated)
		c.want(c.do(i, "POST", "/v1/tenants", body("by-follower"), nil), 409, policy.AlreadyExists)
	}
	c.stop(c.leader())
	running := c.follower()
	begin := time.Now()
	eventually(t, func() error {
		a, err := c.try(running, "POST", "/v1/tenants", body("after-loss"), headers{"Idempotency-Key": "5a0c4dd5-6a0c-4c57-9d5f-52b7bd2dd1c4"})
		if err == nil && a.Status != 201 {
			err = errStatus(a.Status)
		}
		return err
	}, "no write after a leader loss")
	t.Logf("first write %v after the loss", time.Since(begin))
	c.want(c.do(running, "GET", "/v1/tenants/by-follower", nil, nil), 200, "")

	c.stop(c.leader())
	for i, p := range c.planes {
		if p == nil {
			continue
		}
		a := c.once(i, "POST", "/v1/tenants", body("no-quorum"), nil)
		if a.Status != 503 || (a.str("reason") != string(policy.NotReady) && a.str("reason") != string(policy.OutcomeUnknown)) || a.Header.Get("Retry-After") == "" {
			t.Errorf("without a quorum: %d %s", a.Status, a.Raw)
		}
		c.want(c.do(i, "GET", "/v1/tenants/by-follower", nil, headers{"X-Consistency": "minimize_latency"}), 200, "")
		c.want(c.do(i, "GET", "/v1/status", nil, nil), 200, "")
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	c := newCluster(t, 1)
	a := c.tenant("kept", "ie1")
	c.stop(0)
	c.start(0)
	c.ready()
	b := c.want(c.do(0, "GET", "/v1/tenants/kept", nil, nil), 200, "")
	if a.str("id") != b.str("id") || a.str("etag") != b.str("etag") {
		t.Errorf("after a restart: %s", b.Raw)
	}
}

// A write that the leader has taken when it loses its quorum is neither done nor
// refused; the same idempotency key settles it with one effect.
func TestINV31_AWriteInFlightWhenTheLeaderIsLostIsUnknownAndSettled(t *testing.T) {
	c := prepare(t, 3)
	c.timing.Heartbeat = 3 * time.Second // so that the leader believes in itself while we write
	c.startAll()
	leader := c.leader()
	for i := range c.planes {
		if i != leader {
			c.stop(i)
		}
	}
	h := headers{"Idempotency-Key": "77777777-6a0c-4c57-9d5f-52b7bd2dd1c4"}
	body := map[string]any{"slug": "in-flight", "home_region": "ie1", "billing_country": "IE"}
	lost := c.want(c.once(leader, "POST", "/v1/tenants", body, h), 503, policy.OutcomeUnknown)
	if lost.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	for i := range c.planes {
		if i != leader {
			c.start(i)
		}
	}
	c.ready()
	var first answer
	eventually(t, func() error {
		a, err := c.try(0, "POST", "/v1/tenants", body, h)
		if err == nil && a.Status != 201 {
			err = errStatus(a.Status)
		}
		first = a
		return err
	}, "the write is not settled")
	again := c.want(c.do(1, "POST", "/v1/tenants", body, h), 201, "")
	list := c.want(c.do(2, "GET", "/v1/tenants", nil, nil), 200, "")
	if again.str("id") != first.str("id") || len(list.Body["tenants"].([]any)) != 1 {
		t.Errorf("one key, several effects: %s %s %s", first.Raw, again.Raw, list.Raw)
	}
}
