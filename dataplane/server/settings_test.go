package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

// A policy that says nothing of account_config hides the feed's settings from
// the node. A record is worth more than its time zone: it is taken with the
// defaults and says so. When the policy allows it again, settings count again.
func TestIngestDoesNotDependOnReadingSettings(t *testing.T) {
	r := start(t)
	if status, body := r.put("/v1/feeds/asterisk/pbx", admin, `{"time_zone":"Europe/Dublin","default_country":"GB"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	row := func(start, id string) string {
		return `"","0871234567","0861112222","ctx","x","SIP/a","SIP/b","Dial","x","` + start + `","` + start + `","` + start + `",60,57,"ANSWERED","DOCUMENTATION","` + id + `",""` + "\n"
	}
	hidden := rows()
	delete(hidden[0].Tenant.Policy.Classes, policy.AccountConfig)
	r.bundle.view.Store(newView(t, 2, hidden))
	r.server.feeds.Purge()
	if got := r.counts("/v1/feeds/asterisk/pbx", writer, row("2026-07-14 09:04:05", "1.1")); got.Accepted != 1 {
		t.Fatalf("with hidden settings: %+v", got)
	}
	r.refusal(policy.PermissionDenied, http.MethodGet, "/v1/feeds/asterisk/pbx", admin, "")
	r.bundle.view.Store(newView(t, 3, rows()))
	if got := r.counts("/v1/feeds/asterisk/pbx", writer, row("2026-07-14 09:05:05", "1.2")); got.Accepted != 1 {
		t.Fatalf("with readable settings: %+v", got)
	}
	var page data.Calls
	r.get("/v1/calls?"+year, reader, &page)
	want := map[string]string{"09:04:05": "zone,country", "08:05:05": ""}
	for _, c := range page.Calls {
		at := c.StartTime.UTC().Format("15:04:05")
		assumed, known := want[at]
		if delete(want, at); !known || (assumed == "") != (len(c.Assumed) == 0) {
			t.Errorf("a call at %s assumes %v", at, c.Assumed)
		}
	}
	if len(want) != 0 {
		t.Errorf("not there: %v", want)
	}
	if n := r.counter("domicile_feed_settings_denied_total"); n != 1 {
		t.Errorf("%v requests were counted", n)
	}
}

func (r *region) put(path, key, body string) (int, []byte) {
	r.t.Helper()
	status, _, raw := r.ask(http.MethodPut, path, key, strings.NewReader(body), "Content-Type", "application/json")
	return status, raw
}

// The contract's table has no 405: another method is an absence that names what
// the path takes, with and without a body; a path without a route names nothing.
func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	r := start(t)
	for _, c := range []struct{ method, path, body, allow string }{
		{http.MethodGet, "/v1/calls:batch", "", "POST"},
		{http.MethodDelete, "/v1/calls", "", "GET, HEAD, POST"},
		{http.MethodPut, "/v1/calls", "{}", "GET, HEAD, POST"},
		{http.MethodPatch, "/v1/feeds/asterisk/pbx", "{}", "GET, HEAD, POST, PUT"},
		{"FOO", "/v1/rollups", "", "GET, HEAD"},
		{http.MethodGet, "/v1/nothing", "", ""},
		{http.MethodDelete, "/v1/calls/", "", ""},
	} {
		var in *strings.Reader
		status, h, raw := 0, http.Header(nil), []byte(nil)
		if c.body == "" {
			status, h, raw = r.ask(c.method, c.path, reader, nil)
		} else {
			in = strings.NewReader(c.body)
			status, h, raw = r.ask(c.method, c.path, reader, in)
		}
		p := r.problem(policy.NotFound, status, h, raw)
		if h.Get("Allow") != c.allow || p.Metadata["allow"] != c.allow {
			t.Errorf("%s %s: Allow %q, problem %v, want %q", c.method, c.path, h.Get("Allow"), p.Metadata, c.allow)
		}
	}
	// Without a credential nothing is said of what exists.
	status, h, raw := r.ask(http.MethodDelete, "/v1/calls", "", nil)
	if r.problem(policy.Unauthenticated, status, h, raw); h.Get("Allow") != "" {
		t.Error("Allow stands in a 401")
	}
	if !json.Valid(raw) {
		t.Error("not JSON")
	}
}
