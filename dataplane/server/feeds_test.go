package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/policy"
)

const freeswitch = `{"core-uuid":"c","switchname":"s","channel_data":{"direction":"inbound"},"variables":{"uuid":"u-%d","direction":"inbound",` +
	`"start_uepoch":"1773479045000000","answer_uepoch":"1773479046000000","end_uepoch":"1773479057000000","duration":"12","billsec":"9","hangup_cause":"NORMAL_CLEARING"},` +
	`"callflow":{"caller_profile":{"caller_id_number":"0871234567","destination_number":"0861112222","uuid":"u-%[1]d"},"times":{}}}`

// As mod_json_cdr sends it: raw, as a form, base64, and with the wrong type.
func TestFreeSWITCHEncodingsAreOneRecord(t *testing.T) {
	r := start(t)
	raw := fmt.Sprintf(freeswitch, 1)
	want := counted{Accepted: 1}
	for _, c := range []struct{ kind, body string }{
		{"application/json", raw},
		{"application/x-www-form-urlencoded", "cdr=" + url.QueryEscape(raw)},
		{"application/x-www-form-base64-encoded", "cdr=" + base64.StdEncoding.EncodeToString([]byte(raw))},
		{"application/x-www-form-urlencoded", raw},
		{"", raw},
	} {
		got := r.counts("/v1/feeds/freeswitch/sbc1?uuid=u-1&x=1?uuid=u-1", writer, c.body, "Content-Type", c.kind)
		if got != want {
			t.Errorf("%s: %+v, want %+v", c.kind, got, want)
		}
		want = counted{Duplicates: 1}
	}
	if got := r.counts("/v1/feeds/freeswitch/sbc2", writer, raw); got.Accepted != 1 {
		t.Errorf("another instance: %+v", got)
	}
}

func TestFeedsOfEverySource(t *testing.T) {
	r := start(t)
	for path, c := range map[string]struct{ kind, body string }{
		"kamailio/edge/acc": {"application/json", `{"time": 1773479045, "method": "INVITE", "from_tag": "a", "to_tag": "b", "callid": "k-1", "sip_code": "200", "sip_reason": "OK", "from_user": "0871234567", "to_user": "0861112222"}`},
		"kamailio/edge/cdr": {"application/json", `{"start_time": "1773479045.116", "end_time": "1773479046.628", "duration": "1.512", "ci": "k-1", "from": "0871234567", "to": "0861112222"}`},
		"asterisk/pbx":      {"text/csv", `"","0871234567","0861112222","ctx","""A"" <0871234567>","SIP/a","SIP/b","Dial","x","2026-03-14 09:04:05","2026-03-14 09:04:08","2026-03-14 09:05:05",60,57,"ANSWERED","DOCUMENTATION","1773479045.1",""` + "\n"},
		"twilio/hook":       {"application/x-www-form-urlencoded", "CallSid=CA" + strings.Repeat("1", 32) + "&From=%2B353871234567&To=%2B353861112222&CallStatus=completed&CallDuration=5&Direction=inbound&SequenceNumber=1&Timestamp=Sat%2C+14+Mar+2026+09%3A04%3A05+%2B0000"},
	} {
		if got := r.counts("/v1/feeds/"+path, writer, c.body, "Content-Type", c.kind); got != (counted{Accepted: 1}) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	var page data.Calls
	if r.get("/v1/calls?"+year, reader, &page); len(page.Calls) != 3 {
		t.Errorf("%d calls, want 3 (both Kamailio events are one)", len(page.Calls))
	}
	for _, path := range []string{"cisco/x", "kamailio/edge/other", "twilio/hook/acc", "native/x", "freeswitch/a/b/c"} {
		r.refusal(policy.NotFound, http.MethodPost, "/v1/feeds/"+path, writer, "{}")
	}
	for _, name := range []string{"-x", "a%2Fb", "%2e%2e%2fx", strings.Repeat("x", 65), "a b"} {
		if status, _ := r.post("/v1/feeds/twilio/"+strings.ReplaceAll(name, " ", "%20"), writer, "{}"); status != http.StatusBadRequest && status != http.StatusNotFound {
			t.Errorf("name %q: %d", name, status)
		}
	}
}

func TestGarbageIsQuarantinedFixedAndReplayed(t *testing.T) {
	r := start(t)
	bodies := []string{"", `{"variables":{`, "\x00\xff", "null", `cdr=%zz`, strings.Repeat("[", 100_000)}
	for _, body := range bodies {
		if got := r.counts("/v1/feeds/freeswitch/sbc1", writer, body); got.Quarantined != 1 || got.Accepted != 0 {
			t.Errorf("%.20q: %+v, want it quarantined", body, got)
		}
	}
	var q data.Quarantine
	r.get("/v1/quarantine", reader, &q)
	broken := ""
	for _, item := range q.Items {
		if string(item.Payload) == bodies[1] {
			broken = item.ID
		}
		if item.Problem == "" || item.Source != "freeswitch" || item.Instance != "sbc1" || item.ReceiveTime.IsZero() {
			t.Errorf("item %+v", item)
		}
	}
	if len(q.Items) != len(bodies) || broken == "" {
		t.Fatalf("quarantine holds %d items", len(q.Items))
	}
	var first data.Quarantine
	if r.get("/v1/quarantine?page_size=2", reader, &first); len(first.Items) != 2 || first.NextPageToken == "" {
		t.Errorf("a page of 2 holds %d", len(first.Items))
	}

	replay := func(in data.Replay) (out data.Replayed) {
		t.Helper()
		body, err := json.Marshal(in)
		must(t, err)
		status, raw := r.post("/v1/quarantine:replay", admin, string(body))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, raw)
		}
		must(t, json.Unmarshal(raw, &out))
		return out
	}
	if got := replay(data.Replay{}); got != (data.Replayed{Remaining: len(bodies)}) {
		t.Errorf("nothing was fixed: %+v", got)
	}
	if got := replay(data.Replay{IDs: []string{broken}, Payload: fmt.Appendf(nil, freeswitch, 7)}); got != (data.Replayed{Replayed: 1}) {
		t.Errorf("one was fixed: %+v", got)
	}
	if r.get("/v1/quarantine", reader, &q); len(q.Items) != len(bodies)-1 {
		t.Errorf("quarantine holds %d items, want one less", len(q.Items))
	}
	var page data.Calls
	if r.get("/v1/calls", reader, &page); len(page.Calls) != 1 || page.Calls[0].NativeID != "u-7" {
		t.Errorf("the replayed call is not there: %+v", page)
	}
	for _, in := range []string{`{"ids":["QU1"]}`, `{"payload":"e30="}`, `{"ids":["` + q.Items[0].ID + `","` + q.Items[0].ID + `"]}`, `{"id":"x"}`} {
		r.refusal(policy.InvalidArgument, http.MethodPost, "/v1/quarantine:replay", admin, in)
	}
	r.refusal(policy.NotFound, http.MethodPost, "/v1/quarantine:replay", admin, `{"ids":["`+broken+`"]}`)
	r.refusal(policy.NotFound, http.MethodPost, "/v1/quarantine:replay", other, `{"ids":["`+q.Items[0].ID+`"]}`)
}

func TestFeedSettings(t *testing.T) {
	r := start(t)
	put := func(path, body string) (int, http.Header, []byte) {
		return r.ask(http.MethodPut, path, admin, strings.NewReader(body), "Content-Type", "application/json")
	}
	r.refusal(policy.NotFound, http.MethodGet, "/v1/feeds/asterisk/pbx", reader, "")
	row := func(n int) string {
		return fmt.Sprintf(`"","1000","0412345678","ctx","x","SIP/a","SIP/b","Dial","x","2026-01-14 09:04:05","2026-01-14 09:04:08","2026-01-14 09:05:05",60,57,"ANSWERED","DOCUMENTATION","176847000%d.1",""`+"\n", n)
	}
	if got := r.counts("/v1/feeds/asterisk/pbx", writer, row(1)); got.Accepted != 1 { // with the defaults, which are now cached
		t.Errorf("%+v", got)
	}
	status, _, raw := put("/v1/feeds/asterisk/pbx", `{"time_zone":"Australia/Sydney","default_country":"AU"}`)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, raw)
	}
	if got := r.counts("/v1/feeds/asterisk/pbx", writer, row(2)); got.Accepted != 1 {
		t.Errorf("%+v", got)
	}
	var page data.Calls
	r.get("/v1/calls", reader, &page)
	if len(page.Calls) != 2 {
		t.Fatalf("%d calls", len(page.Calls))
	}
	for _, c := range page.Calls {
		switch assumed := strings.Join(c.Assumed, " "); c.NativeID {
		case "1768470001.1":
			if assumed != "time_zone country" || c.StartTime.Hour() != 9 || c.To.Country == "AU" {
				t.Errorf("without settings: %+v %v", c, c.StartTime)
			}
		default:
			if assumed != "" || c.StartTime.Hour() != 22 || c.To.E164 != "+61412345678" {
				t.Errorf("with settings: %+v %v", c, c.StartTime)
			}
		}
	}
	for body, field := range map[string]string{
		`{"time_zone":"Mars/Olympus"}`: "time_zone", `{"time_zone":"Local"}`: "time_zone", `{"time_zone":"../../etc/passwd"}`: "time_zone",
		`{"default_country":"ie"}`: "default_country", `{"signature_secret":"s"}`: "signature_secret", `{"colour":"red"}`: "colour",
	} {
		status, h, raw := put("/v1/feeds/asterisk/pbx", body)
		if p := r.problem(policy.InvalidArgument, status, h, raw); len(p.Errors) == 0 || p.Errors[0].Field != field {
			t.Errorf("%s: %s", body, raw)
		}
	}
	r.refusal(policy.PermissionDenied, http.MethodPut, "/v1/feeds/asterisk/pbx", writer, `{}`)
	r.refusal(policy.NotFound, http.MethodGet, "/v1/feeds/asterisk/pbx", other, "")
}

func TestTwilioSignatureIsAskedForOnceASecretIsSet(t *testing.T) {
	r := start(t)
	const secret = "tw-auth-token"
	status, _, raw := r.ask(http.MethodPut, "/v1/feeds/twilio/hook", admin, strings.NewReader(`{"signature_secret":"`+secret+`"}`), "Content-Type", "application/json")
	if status != http.StatusOK || strings.Contains(string(raw), secret) {
		t.Fatalf("%d %s", status, raw)
	}
	_, _, raw = r.ask(http.MethodGet, "/v1/feeds/twilio/hook", reader, nil)
	if strings.Contains(string(raw), secret) {
		t.Errorf("the secret is given back: %s", raw)
	}
	form := url.Values{"CallSid": {"CA" + strings.Repeat("2", 32)}, "From": {personA}, "To": {personB}, "CallStatus": {"completed"}, "SequenceNumber": {"3"}}
	path := "/v1/feeds/twilio/hook"
	plain := "https://" + r.addr + path
	withUser := "https://" + url.UserPassword("acme", writer).String() + "@" + r.addr + path
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("acme:"+writer))
	want := counted{Accepted: 1}
	for name, c := range map[string]struct {
		signature string
		ok        bool
	}{
		"good":             {intake.TwilioSignature(secret, plain, form), true},
		"with credentials": {intake.TwilioSignature(secret, withUser, form), true},
		"absent":           {"", false},
		"other secret":     {intake.TwilioSignature("x", plain, form), false},
		"other URL":        {intake.TwilioSignature(secret, plain+"?x=1", form), false},
	} {
		header := []string{"Content-Type", "application/x-www-form-urlencoded", "Authorization", basic}
		if c.signature != "" {
			header = append(header, "X-Twilio-Signature", c.signature)
		}
		status, h, raw := r.ask(http.MethodPost, path, "", strings.NewReader(form.Encode()), header...)
		if !c.ok {
			r.problem(policy.PermissionDenied, status, h, raw)
			continue
		}
		var got counted
		must(t, json.Unmarshal(raw, &got))
		if status != http.StatusOK || got != want {
			t.Errorf("%s: %d %s", name, status, raw)
		}
		want = counted{Duplicates: 1}
	}
}

func TestBasicCredentials(t *testing.T) {
	r := start(t)
	for user, want := range map[string]int{"acme": 200, "bolt": 401, "nobody": 401, string(tenantID("a")): 200} {
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+strings.ReplaceAll(writer, "_", "Z")))
		status, h, raw := r.ask(http.MethodPost, "/v1/feeds/freeswitch/sbc1", "", strings.NewReader(fmt.Sprintf(freeswitch, 1)), "Authorization", basic)
		if status != want || (want == 401) != (h.Get("WWW-Authenticate") != "") {
			t.Errorf("user %s: %d %s %v", user, status, raw, h)
		}
	}
}
