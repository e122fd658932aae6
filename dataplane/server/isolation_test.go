package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/policy"
)

func TestINV12EveryRouteHasAnActionAndNoOtherPathAnswers(t *testing.T) {
	r := start(t)
	roles := map[policy.KeyRole]string{policy.RoleAdmin: admin, policy.RoleReader: reader, policy.RoleIngest: writer}
	for _, row := range routes {
		method, pattern, _ := strings.Cut(row.pattern, " ")
		at := strings.NewReplacer("{source}", "kamailio", "{name}", "edge", "{part}", "acc", "{index}", "0", "{id}", "CA"+strings.Repeat("0", 32),
			"{account}", "AC"+strings.Repeat("a", 32), "{call}", "CA"+strings.Repeat("0", 32), "{file}", "CA"+strings.Repeat("0", 32)+".json").Replace(pattern)
		if row.public != nil {
			if at != "/healthz" && at != "/readyz" && at != "/v1/audit/checkpoint" {
				t.Errorf("%s asks for no credential", row.pattern)
			}
			continue
		}
		r.refusal(policy.Unauthenticated, method, at, "", "")
		for role, key := range roles {
			status, _, _ := r.ask(method, at, key, nil)
			allowed := gate.Principal{Role: role}.May(row.action) == nil
			if allowed == (status == http.StatusForbidden) {
				t.Errorf("%s as %s: %d, allowed by the table: %v", row.pattern, role, status, allowed)
			}
		}
	}
	for _, c := range []string{"GET /", "GET /v1/", "GET /v1/callsx", "DELETE /v1/calls", "PUT /v1/calls", "GET /v1/calls:batch", "POST /v1/rollups", "GET /metrics",
		"GET /debug/pprof/", "GET /v1//calls", "GET /v1/./calls", "GET /v1/x/../calls", "GET /v1/calls/", "GET /v1/calls/a/b", "GET /v1/calls/%2e%2e", "OPTIONS /v1/calls", "TRACE /v1/calls"} {
		method, at, _ := strings.Cut(c, " ")
		r.refusal(policy.NotFound, method, at, admin, "")
		r.refusal(policy.Unauthenticated, method, at, "", "")
	}
	// A header cannot turn one method into another.
	r.refusal(policy.NotFound, http.MethodDelete, "/v1/calls", admin, "", "X-HTTP-Method-Override", "GET")
}

func TestINV10INV11AnotherTenantsCallLooksAbsent(t *testing.T) {
	r := start(t)
	status, h, _ := r.ask(http.MethodPost, "/v1/calls", writer, strings.NewReader(native("one", "completed", 1)), "Content-Type", "application/json")
	if status != http.StatusCreated {
		t.Fatal(status)
	}
	id := path.Base(h.Get("Location"))
	foreign := r.refusal(policy.NotFound, http.MethodGet, "/v1/calls/"+id, other, "")
	absent := r.refusal(policy.NotFound, http.MethodGet, "/v1/calls/CA"+strings.Repeat("e", 32), other, "")
	malformed := r.refusal(policy.NotFound, http.MethodGet, "/v1/calls/nonsense", other, "")
	for _, p := range []api.Problem{absent, malformed} {
		if p.Detail != foreign.Detail || p.Title != foreign.Title || len(p.Metadata) != len(foreign.Metadata) {
			t.Errorf("foreign %+v and absent %+v differ", foreign, p)
		}
	}
	r.counts("/v1/feeds/freeswitch/sbc1", writer, "garbage")
	for _, at := range []string{"/v1/calls", "/v1/calls?" + year, "/v1/calls:export?format=ndjson", "/v1/calls:export?format=csv", "/v1/rollups?day=2026-03-14", "/v1/quarantine"} {
		_, _, raw := r.ask(http.MethodGet, at, other, nil)
		for _, secret := range []string{id, personA, personB, "sbc1", string(tenantID("a"))} {
			if strings.Contains(string(raw), secret) {
				t.Errorf("%s shows another tenant %q: %s", at, secret, raw)
			}
		}
	}
	status, raw := r.post("/v1/calls:search", other, `{"number":"`+personA+`"}`)
	if status != http.StatusOK || strings.Contains(string(raw), id) {
		t.Errorf("search shows another tenant's call: %d %s", status, raw)
	}
	// A page token of one tenant opens nothing for another.
	r.counts("/v1/calls:batch", writer, lines(5))
	var page data.Calls
	r.get("/v1/calls?page_size=2", reader, &page)
	r.refusal(policy.InvalidArgument, http.MethodGet, "/v1/calls?page_size=2"+pageToken(page.NextPageToken), other, "")
}

func TestEgressLedgerShowsATenantOnlyItsOwn(t *testing.T) {
	r := start(t)
	r.get("/v1/calls", reader, new(data.Calls))
	r.get("/v1/calls", other, new(data.Calls))
	var l data.EgressLedger
	r.get("/v1/egress", reader, &l)
	own := false
	for _, e := range l.Entries {
		if e.Tenant != "" && e.Tenant != string(tenantID("a")) {
			t.Errorf("shows %+v", e)
		}
		own = own || e.Tenant == string(tenantID("a")) && e.BytesOut > 0 && e.Class == "CUSTOMER_API"
	}
	if !own || l.Region != "ie1" {
		t.Errorf("its own traffic is missing: %+v", l)
	}
}

// moved is the bundle after tenant a has gone to us1.
func moved(t *testing.T) []policy.Row {
	t.Helper()
	out := rows()
	gone := *out[0].Tenant
	gone.Home, gone.HomeEpoch, gone.HomeURL, gone.Policy = "us1", 2, usURL, nil
	out[0].Tenant = &gone
	return out
}

func TestINV36MoveBetweenSyncAndAnswerIsOutcomeUnknown(t *testing.T) {
	r := start(t)
	move := func() { r.bundle.view.Store(newView(t, 2, moved(t))) }
	for at, body := range map[string]string{"/v1/calls": native("one", "completed", 1), "/v1/calls:batch": lines(3), "/v1/feeds/freeswitch/sbc1": fmt.Sprintf(freeswitch, 1)} {
		r.bundle.view.Store(newView(t, 1, rows()))
		r.store.after.Store(&move)
		r.refusal(policy.OutcomeUnknown, http.MethodPost, at, writer, body)
		r.store.after.Store(nil)
		p := r.refusal(policy.WrongRegion, http.MethodPost, at, writer, body)
		if p.Metadata["base_url"] != usURL {
			t.Errorf("%+v", p)
		}
	}
}

func TestFreshnessOfReadsAndWrites(t *testing.T) {
	r := start(t)
	r.bundle.age.Store(int64(25 * time.Hour))
	if status, raw := r.post("/v1/calls", writer, native("one", "completed", 1)); status != http.StatusCreated {
		t.Errorf("a write-only node refuses a record: %d %s", status, raw)
	}
	if got := r.counts("/v1/feeds/freeswitch/sbc1", writer, fmt.Sprintf(freeswitch, 1)); got.Accepted != 1 {
		t.Errorf("a write-only node refuses a feed: %+v", got)
	}
	for _, at := range []string{"/v1/calls", "/v1/calls:export?format=csv", "/v1/rollups", "/v1/quarantine", "/v1/calls/CA" + strings.Repeat("0", 32)} {
		r.refusal(policy.PolicyStale, http.MethodGet, at, reader, "")
	}
	r.bundle.age.Store(0)
	r.get("/v1/calls", reader, new(data.Calls))
	status, h, raw := r.ask(http.MethodGet, "/v1/calls", reader, nil, "X-Policy-Token", api.PolicyToken(99))
	r.problem(policy.PolicyStale, status, h, raw)
	if status, _, raw = r.ask(http.MethodGet, "/v1/calls", reader, nil, "X-Policy-Token", api.PolicyToken(1)); status != http.StatusOK {
		t.Errorf("%d %s", status, raw)
	}
	r.refusal(policy.InvalidArgument, http.MethodGet, "/v1/calls", reader, "", "X-Policy-Token", "nonsense")
}

func TestStoreFailuresAreNeverAcknowledged(t *testing.T) {
	r := start(t)
	for reason, failure := range map[policy.Reason]error{
		policy.StorageFull:    policy.Errorf(policy.StorageFull, "full"),
		policy.Overloaded:     policy.Errorf(policy.Overloaded, "busy"),
		policy.OutcomeUnknown: policy.Errorf(policy.OutcomeUnknown, "unknown"),
		policy.Internal:       errors.New("disk on fire at " + personA),
	} {
		fail := func() error { return failure }
		r.store.before.Store(&fail)
		for at, body := range map[string]string{"/v1/calls": native("one", "completed", 1), "/v1/calls:batch": lines(3), "/v1/feeds/freeswitch/s": fmt.Sprintf(freeswitch, 1)} {
			p := r.refusal(reason, http.MethodPost, at, writer, body)
			if strings.Contains(p.Detail, "disk") {
				t.Errorf("the cause is told: %s", p.Detail)
			}
		}
		status, h, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, slow{strings.NewReader(lines(5000))}) // streamed
		if p := r.problem(reason, status, h, raw); p.Metadata["accepted"] != "0" {
			t.Errorf("%s: %s", reason, raw)
		}
	}
	r.store.before.Store(nil)
	var page data.Calls
	if r.get("/v1/calls", reader, &page); len(page.Calls) != 0 {
		t.Errorf("%d calls are there", len(page.Calls))
	}
}

func TestPanicIsA500WithoutItsValue(t *testing.T) {
	r := start(t)
	boom := func() error { panic("holding " + personA) }
	r.store.before.Store(&boom)
	p := r.refusal(policy.Internal, http.MethodPost, "/v1/calls", writer, native("one", "completed", 1))
	if strings.Contains(p.Detail, "holding") || strings.Contains(r.log.String(), "holding") {
		t.Error("the panic's value is told")
	}
	if !strings.Contains(r.log.String(), p.RequestID) || r.counter("domicile_request_panics_total") != 1 {
		t.Error("the panic is not logged with the request's id, or not counted")
	}
	r.store.before.Store(nil)
	r.get("/v1/calls", reader, new(data.Calls))
}

func TestOverloadAnswers429AtOnce(t *testing.T) {
	r := start(t)
	r.server.admits = admission.New(admission.Options{Limits: admission.Limits{Tenant: admission.Quota{Concurrent: 2}}})
	entered, release := make(chan struct{}, 8), make(chan struct{})
	hold := func() error { entered <- struct{}{}; <-release; return nil }
	r.store.before.Store(&hold)
	done := make(chan int, 2)
	for i := range 2 {
		go func() {
			status, _ := r.post("/v1/calls", writer, native(fmt.Sprint(i), "completed", 1))
			done <- status
		}()
		<-entered
	}
	began := time.Now()
	status, h, raw := r.ask(http.MethodPost, "/v1/calls", writer, strings.NewReader(native("x", "completed", 1)), "Content-Type", "application/json")
	r.problem(policy.Overloaded, status, h, raw)
	if h.Get("Retry-After") == "" || time.Since(began) > time.Second {
		t.Errorf("Retry-After %q after %v", h.Get("Retry-After"), time.Since(began))
	}
	r.get("/v1/calls", other, new(data.Calls)) // another tenant is served
	close(release)
	for range 2 {
		if status := <-done; status != http.StatusCreated {
			t.Errorf("a request in flight got %d", status)
		}
	}
	if r.server.admits.InFlight() != 0 {
		t.Error("a place was not given back")
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	r := start(t)
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "api.ie1.example.test"})
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = fmt.Fprintf(conn, "GET /v1/calls HTTP/1.1\r\nHost: 127.0.0.1\r\nX: %s\r\n\r\n", strings.Repeat("x", maxHeader+1))
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	var p api.Problem
	must(t, json.NewDecoder(resp.Body).Decode(&p))
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || p.Status != resp.StatusCode || p.Reason != policy.PayloadTooLarge || p.RequestID == "" {
		t.Errorf("got %d %+v", resp.StatusCode, p)
	}
}

// What net/http refuses by itself is a problem document too.
func TestMalformedHeadsAreProblems(t *testing.T) {
	r := start(t)
	host := "Host: 127.0.0.1\r\n"
	for name, head := range map[string]string{
		"two lengths":       "POST /v1/calls HTTP/1.1\r\n" + host + "Content-Length: 6\r\nContent-Length: 7\r\n\r\n",
		"unknown coding":    "POST /v1/calls HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n",
		"negative length":   "POST /v1/calls HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n",
		"no host":           "GET /v1/calls HTTP/1.1\r\n\r\n",
		"bad escape":        "GET /v1/calls/%zz HTTP/1.1\r\n" + host + "\r\n",
		"no request at all": "hello\r\n\r\n",
	} {
		conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "api.ie1.example.test"})
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = conn.Write([]byte(head))
		must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		var p api.Problem
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusBadRequest || p.Reason != policy.InvalidArgument || p.RequestID != resp.Header.Get("X-Request-Id") {
			t.Errorf("%s: %d %+v %v", name, resp.StatusCode, p, err)
		}
		_ = conn.Close()
	}
}

// A client that sends its body too slowly loses its place.
func TestSlowBodyIsBounded(t *testing.T) {
	p := &pacedBody{start: time.Now().Add(-time.Hour), read: 0}
	if due := p.due(time.Now()); due.After(time.Now()) {
		t.Errorf("a body that has stalled for an hour may go on until %v", due)
	}
	p = &pacedBody{start: time.Now(), read: giB}
	if due := p.due(time.Now()); due.After(time.Now().Add(bodyGrace + time.Second)) {
		t.Errorf("a fast body may stall until %v", due)
	}
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	r := start(t)
	entered, release := make(chan struct{}), make(chan struct{})
	hold := func() error { close(entered); <-release; return nil }
	r.store.before.Store(&hold)
	done := make(chan int, 1)
	go func() {
		status, _ := r.post("/v1/calls", writer, native("one", "completed", 1))
		done <- status
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.server.Shutdown(context.Background()) }()
	for { // until the listener is closed
		conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "api.ie1.example.test"})
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(release)
	if status := <-done; status != http.StatusCreated {
		t.Errorf("the request in flight got %d", status)
	}
	must(t, <-stopped)
}

// Pieces of a body that come over a connection cut in the middle are stored as
// far as they are whole, and never acknowledged.
func TestClientThatGoesAwayMidBatch(t *testing.T) {
	r := start(t)
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "api.ie1.example.test"})
	must(t, err)
	_, err = fmt.Fprintf(conn, "POST /v1/calls:batch HTTP/1.1\r\nHost: api.ie1.example.test\r\nAuthorization: Bearer %s\r\nContent-Length: 1000000\r\n\r\n%s", writer, lines(10))
	must(t, err)
	must(t, conn.Close())
	deadline, poll := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer poll.Stop()
	for r.server.admits.InFlight() > 0 || r.counter("domicile_requests_total", "POST /v1/calls:batch") == 0 {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the request never ended")
		}
	}
	if n := r.counter("domicile_requests_total", "POST /v1/calls:batch", "200"); n != 0 {
		t.Error("it was acknowledged")
	}
}
