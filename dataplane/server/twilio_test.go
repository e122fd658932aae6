package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/policy"
)

const accountA = "AC" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// basic is HTTP Basic as clients of that API send it: the key has Z for _.
func basic(user, key string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+strings.ReplaceAll(key, "_", "Z")))
}

// fault asks, and wants a refusal in that API's shape.
func (r *region) fault(want policy.Reason, method, path, key, body string, header ...string) twilio.Fault {
	r.t.Helper()
	if key != "" {
		header = append(header, "Authorization", basic(accountA, key))
	}
	var in *strings.Reader
	if body != "" {
		in = strings.NewReader(body)
		header = append(header, "Content-Type", "application/x-www-form-urlencoded")
	} else {
		in = strings.NewReader("")
	}
	status, h, raw := r.ask(method, path, "", in, header...)
	var f twilio.Fault
	if err := json.Unmarshal(raw, &f); err != nil {
		r.t.Fatalf("%s %s: want a fault, got %d %q", method, path, status, raw)
	}
	if f.Status != status || status != api.MappingOf(want).HTTP || f.Details["reason"] != string(want) || f.Details["request_id"] != h.Get("X-Request-Id") ||
		f.Code < 20000 || f.Message == "" || f.MoreInfo == "" || h.Get("Content-Type") != "application/json" {
		r.t.Fatalf("%s %s: want %s, got %d %s (%s)", method, path, want, status, raw, h.Get("Content-Type"))
	}
	return f
}

// read asks as a client of that API and decodes a 200.
func (r *region) read(path, key string, into any) {
	r.t.Helper()
	status, _, raw := r.ask(http.MethodGet, path, "", nil, "Authorization", basic(accountA, key))
	if status != http.StatusOK {
		r.t.Fatalf("GET %s: %d %s", path, status, raw)
	}
	must(r.t, json.Unmarshal(raw, into))
}

const callsOfA = "/2010-04-01/Accounts/" + accountA + "/Calls.json"

// sids follows next_page_uri to the end.
func (r *region) sids(query string) (out []string) {
	r.t.Helper()
	for at := callsOfA + query; ; {
		var page twilio.Calls
		r.read(at, reader, &page)
		for _, c := range page.Calls {
			out = append(out, *c.Sid)
		}
		if page.Page.Start != page.Page.Page*page.PageSize || page.PreviousPageURI != nil || !strings.HasPrefix(page.FirstPageURI, callsOfA+"?") {
			r.t.Errorf("%+v", page.Page)
		}
		if page.NextPageURI == nil {
			return out
		}
		at = *page.NextPageURI
	}
}

// twilioCall is a native record of minute n between two numbers.
func twilioCall(n int, from, to, status string) string {
	end := ""
	if status == "completed" {
		end = fmt.Sprintf(`"answer_time":"2026-03-14T09:%02d:05Z","end_time":"2026-03-14T09:%02d:35.25Z",`, n, n)
	}
	return fmt.Sprintf(`{"native_id":"tw-%d","from":%q,"to":%q,"direction":"inbound","status":%q,%s"start_time":"2026-03-14T09:%02d:00.5Z"}`+"\n", n, from, to, status, end, n)
}

// TestTwilioLists: pages, order, and every filter.
func TestTwilioLists(t *testing.T) {
	r := start(t)
	var lines strings.Builder
	for n := range 12 {
		status, from := "completed", personA
		if n%3 == 0 {
			status = "busy"
		}
		if n%2 == 0 {
			from = "+12025550123"
		}
		lines.WriteString(twilioCall(n, from, personB, status))
	}
	r.counts("/v1/calls:batch", writer, lines.String())
	var own data.Calls
	r.get("/v1/calls?page_size=100", reader, &own)
	at := map[string]int{}
	for n, c := range own.Calls {
		at[c.ID] = n
	}
	picked := func(query string) string {
		var out []string
		for _, sid := range r.sids(query) {
			out = append(out, fmt.Sprint(at[sid]))
		}
		return strings.Join(out, " ")
	}
	a, b, nanp := url.QueryEscape(personA), url.QueryEscape(personB), url.QueryEscape("+12025550123")
	for query, want := range map[string]string{
		"":                                       "11 10 9 8 7 6 5 4 3 2 1 0",
		"?PageSize=5":                            "11 10 9 8 7 6 5 4 3 2 1 0",
		"?PageSize=4000&Page=0":                  "11 10 9 8 7 6 5 4 3 2 1 0",
		"?Status=busy":                           "9 6 3 0",
		"?Status=busy&PageSize=1":                "9 6 3 0",
		"?Status=ringing":                        "",
		"?From=" + a:                             "11 9 7 5 3 1",
		"?To=" + a:                               "",
		"?From=" + a + "&PageSize=2":             "11 9 7 5 3 1",
		"?From=" + personA:                       "11 9 7 5 3 1", // the + was not escaped
		"?To=" + b + "&From=" + nanp:             "10 8 6 4 2 0",
		"?To=nobody@example.test":                "",
		"?StartTime=2026-03-14":                  "11 10 9 8 7 6 5 4 3 2 1 0",
		"?StartTime=2026-03-15":                  "",
		"?StartTime%3C=2026-03-14":               "",
		"?StartTime%3E=2026-03-14":               "11 10 9 8 7 6 5 4 3 2 1 0",
		"?StartTime%3E=2026-03-15":               "",
		"?ParentCallSid=CA" + nought:             "",
		"?StartTime%3E=2026-03-14T09%3A08%3A00Z": "11 10 9 8",
		"?StartTime%3C=2026-03-14T09%3A03%3A00Z&PageSize=1":                                  "2 1 0",
		"?StartTime=2026-03-14T09%3A03%3A00Z":                                                "3",
		"?StartTime%3E=2026-03-14T09%3A02%3A00Z&StartTime%3C=2026-03-14T09%3A06%3A00Z":       "5 4 3 2",
		"?StartTime%3E=2026-03-14T09%3A06%3A00Z&StartTime%3C=2026-03-14T09%3A02%3A00Z":       "",
		"?EndTime%3E=2026-03-14T09%3A10%3A00Z":                                               "11 10",
		"?EndTime%3C=2026-03-14T09%3A03%3A00Z&PageSize=1":                                    "2 1",
		"?EndTime=2026-03-14T09%3A10%3A35Z":                                                  "10",
		"?EndTime=2026-03-14&Status=completed&From=" + a + "&StartTime%3E=2026-03-14T09:05Z": "",
	} {
		if strings.HasSuffix(query, "T09:05Z") {
			r.fault(policy.InvalidArgument, http.MethodGet, callsOfA+query, reader, "")
			continue
		}
		if got := picked(query); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for _, bad := range []string{"?PageSize=0", "?PageSize=x", "?Page=-1", "?Page=3", "?Status=gone", "?StartTime=yesterday", "?Unknown=1", "?StartTime%3C%3D=2026-03-14",
		"?PageToken=AAAA", "?From=a&From=b", "?ParentCallSid=me", "?%zz", "?From=" + strings.Repeat("1", 300)} {
		f := r.fault(policy.InvalidArgument, http.MethodGet, callsOfA+bad, reader, "")
		if f.Code != 20001 {
			t.Errorf("%s: %+v", bad, f)
		}
	}
	// A token of one query opens no other.
	var page twilio.Calls
	r.read(callsOfA+"?PageSize=2", reader, &page)
	r.fault(policy.InvalidArgument, http.MethodGet, *page.NextPageURI+"&Status=busy", reader, "")
}

const nought = "00000000000000000000000000000000"

// TestTwilioFields: what is known stands in its place, and what is not is null.
func TestTwilioFields(t *testing.T) {
	r := start(t)
	r.counts("/v1/calls:batch", writer, twilioCall(7, "+12025550123", personB, "completed"))
	sid := r.sids("")[0]
	var got map[string]any
	r.read("/2010-04-01/Accounts/"+accountA+"/Calls/"+sid+".json", reader, &got)
	base := "/2010-04-01/Accounts/" + accountA + "/Calls/" + sid
	want := map[string]any{"sid": sid, "account_sid": accountA, "from": "+12025550123", "from_formatted": "(202) 555-0123", "to": personB, "to_formatted": personB,
		"status": "completed", "start_time": "Sat, 14 Mar 2026 09:07:00 +0000", "end_time": "Sat, 14 Mar 2026 09:07:35 +0000", "duration": "30", "direction": "inbound",
		"api_version": "2010-04-01", "uri": base + ".json", "subresource_uris": map[string]any{"recordings": base + "/Recordings.json"}}
	for name, value := range got {
		if name == "date_created" || name == "date_updated" {
			continue
		}
		if expected, known := want[name]; fmt.Sprint(value) != fmt.Sprint(expected) || !known && value != nil {
			t.Errorf("%s is %v, want %v", name, value, expected)
		}
	}
	if len(got) != 26 {
		t.Errorf("%d fields", len(got))
	}
	// What a Twilio callback said of itself is said again.
	form := url.Values{"CallSid": {"CA" + nought}, "From": {personA}, "To": {personB}, "CallStatus": {"busy"}, "Direction": {"outbound-api"}, "ForwardedFrom": {"+35319100777"},
		"SequenceNumber": {"3"}, "Timestamp": {"Sat, 14 Mar 2026 10:00:00 +0000"}, "AnsweredBy": {"human"}}
	status, _, raw := r.ask(http.MethodPost, "/v1/feeds/twilio/main", writer, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, raw)
	}
	var page twilio.Calls
	r.read(callsOfA+"?PageSize=1", reader, &page)
	c := page.Calls[0]
	if c.Status != "busy" || *c.Direction != "outbound-api" || *c.ForwardedFrom != "+35319100777" || *c.AnsweredBy != "human" || c.Duration != nil || *c.Sid == form.Get("CallSid") {
		t.Errorf("%+v", c)
	}
}

// TestTwilioCredentials: account and key, either as the user; nobody else's account.
func TestTwilioCredentials(t *testing.T) {
	r := start(t)
	k, _ := secretOf("ie1", "a", policy.RoleReader)
	for _, user := range []string{accountA, string(k.ID), string(tenantID("a")), "acme"} {
		if status, _, raw := r.ask(http.MethodGet, callsOfA, "", nil, "Authorization", basic(user, reader)); status != http.StatusOK {
			t.Errorf("as %s: %d %s", user, status, raw)
		}
	}
	for _, c := range [][2]string{{"AC" + strings.Repeat("b", 32), reader}, {accountA, reader[:len(reader)-1] + "0"}, {accountA, other}, {"AC", reader}} {
		status, h, raw := r.ask(http.MethodGet, callsOfA, "", nil, "Authorization", basic(c[0], c[1]))
		if status != http.StatusUnauthorized || !strings.Contains(string(raw), `"code":20003`) || !strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("%v: %d %s", c, status, raw)
		}
	}
	// An account's sid is no user of our own API.
	if status, _, _ := r.ask(http.MethodGet, "/v1/calls", "", nil, "Authorization", basic(accountA, reader)); status != http.StatusUnauthorized {
		t.Error("the sid of an account opens /v1")
	}
	foreign := strings.Replace(callsOfA, accountA, "AC"+strings.Repeat("b", 32), 1)
	if f := r.fault(policy.NotFound, http.MethodGet, foreign, reader, ""); f.Code != 20404 {
		t.Errorf("%+v", f)
	}
	r.fault(policy.NotFound, http.MethodGet, strings.Replace(callsOfA, accountA, string(tenantID("a")), 1), reader, "")
	r.fault(policy.PermissionDenied, http.MethodGet, callsOfA, writer, "")
	r.fault(policy.PermissionDenied, http.MethodDelete, "/2010-04-01/Accounts/"+accountA+"/Calls/CA"+nought+".json", reader, "")
	r.fault(policy.NotFound, http.MethodGet, "/2010-04-01/Accounts/"+accountA+"/Calls/CA"+nought+".json", reader, "")
	r.fault(policy.NotFound, http.MethodGet, "/2010-04-01/Accounts/"+accountA+"/Calls/CA"+nought+".xml", reader, "")
}

// TestTwilioAbsent: the rest of that API is refused in its shape, before a body is read.
func TestTwilioAbsent(t *testing.T) {
	r := start(t)
	for _, c := range []string{"POST " + callsOfA, "POST /2010-04-01/Accounts/" + accountA + "/Calls/CA" + nought + ".json", "GET /2010-04-01/Accounts/" + accountA + "/Messages.json",
		"GET /2010-04-01/Accounts.json", "PUT " + callsOfA, "GET /2010-04-01/Accounts/" + accountA + "/Usage/Records/Hourly.json", "GET /2010-04-01/", "DELETE " + callsOfA} {
		method, at, _ := strings.Cut(c, " ")
		body := ""
		if method == http.MethodPost {
			body = "To=%2B353861234567"
		}
		if f := r.fault(policy.NotYet, method, at, admin, body); f.Status != http.StatusNotImplemented || f.Code != 20501 {
			t.Errorf("%s: %+v", c, f)
		}
		r.fault(policy.Unauthenticated, method, at, "", "")
	}
}

// TestINV07_TwilioMisdirected: a key of another region, and a host that is not
// ours, are refused in that API's shape, and the body is not read.
func TestINV07_TwilioMisdirected(t *testing.T) {
	r := start(t)
	foreign := key("us1", "a", policy.RoleAdmin)
	f := r.fault(policy.WrongRegion, http.MethodGet, callsOfA, foreign, "")
	if f.Code != 20421 || f.MoreInfo != usURL || f.Details["home_region"] != "us1" {
		t.Errorf("%+v", f)
	}
	before := r.counter("domicile_refused_read_bytes_total", string(policy.WrongRegion))
	big := strings.Repeat("To=%2B353861234567&", 1<<20)
	r.fault(policy.WrongRegion, http.MethodPost, callsOfA, foreign, big, "Expect", "100-continue")
	if read := r.counter("domicile_refused_read_bytes_total", string(policy.WrongRegion)) - before; read > 64<<10 {
		t.Errorf("%v bytes were read of a misdirected request of %d", read, len(big))
	}
	moved := key("ie1", "c", policy.RoleReader)
	r.fault(policy.WrongRegion, http.MethodGet, callsOfA, moved, "")
	r.fault(policy.WrongRegion, http.MethodGet, callsOfA, reader, "", "Host", "api.twilio.com")
}

// TestINV09_NoNumberOfAQueryIsLogged: that API's clients write numbers into
// queries, and we log none of it, whatever becomes of the request.
func TestINV09_NoNumberOfAQueryIsLogged(t *testing.T) {
	r := start(t)
	const number = "353867391846"
	at := callsOfA + "?To=%2B" + number + "&PageSize=1"
	r.counts("/v1/calls:batch", writer, twilioCall(1, "+"+number, "+"+number, "busy")+twilioCall(2, "+"+number, "+"+number, "busy"))
	r.read(at, reader, new(twilio.Calls))
	r.fault(policy.Unauthenticated, http.MethodGet, at, "", "")
	r.fault(policy.InvalidArgument, http.MethodGet, at+"&%2B"+number+"=1&"+"Status=%2B"+number, reader, "")
	r.bundle.view.Store(nil) // 503, which is logged
	r.fault(policy.NotReady, http.MethodGet, at, reader, "")
	if !strings.Contains(r.log.String(), "request failed") {
		t.Fatal("the failure was not logged: the test shows nothing")
	}
	metrics, err := r.metrics.Gather()
	must(t, err)
	for what, text := range map[string]string{"log": r.log.String(), "metrics": fmt.Sprint(metrics), "ledger": fmt.Sprint(r.door.Entries())} {
		if strings.Contains(text, number) || strings.Contains(text, "7391846") {
			t.Errorf("the %s holds a number of a query", what)
		}
	}
	for _, f := range []twilio.Fault{r.fault(policy.NotReady, http.MethodGet, at, reader, "")} {
		if raw, _ := json.Marshal(f); bytes.Contains(raw, []byte(number)) {
			t.Errorf("the refusal repeats a number: %s", raw)
		}
	}
}
