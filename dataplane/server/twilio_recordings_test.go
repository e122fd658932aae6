package server

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/policy"
)

func TestTwilioRecordings(t *testing.T) {
	r := start(t)
	const account = "/2010-04-01/Accounts/" + accountA
	call := r.newCall(writer, "one")
	var ids []string // the latest first
	var sounds [][]byte
	for n := range 5 {
		query := ""
		if n%2 == 0 {
			query = "?call_id=" + call
		}
		sounds = append(sounds, wav(40_000+n, byte(n)))
		ids = append([]string{r.record(writer, query, sounds[n]).ID}, ids...)
	}
	list := func(at string) string {
		var got []string
		for {
			var page twilio.Recordings
			r.read(at, reader, &page)
			for _, x := range page.Recordings {
				got = append(got, *x.Sid)
			}
			if page.NextPageURI == nil {
				return strings.Join(got, " ")
			}
			at = *page.NextPageURI
		}
	}
	all, ofCall := strings.Join(ids, " "), strings.Join([]string{ids[0], ids[2], ids[4]}, " ")
	for at, want := range map[string]string{"/Recordings.json": all, "/Recordings.json?PageSize=2": all, "/Recordings.json?CallSid=" + call: ofCall,
		"/Calls/" + call + "/Recordings.json?PageSize=1": ofCall, "/Calls/CA" + nought + "/Recordings.json": "", "/Recordings.json?ConferenceSid=CF" + nought: "",
		"/Recordings.json?DateCreated%3C=2001-01-01": "", "/Recordings.json?DateCreated%3E=2001-01-01&IncludeSoftDeleted=true&PageSize=3": all} {
		if got := list(account + at); got != want {
			t.Errorf("%s: got %s, want %s", at, got, want)
		}
	}
	var one twilio.Recording
	r.read(account+"/Recordings/"+ids[0]+".json", reader, &one)
	if *one.CallSid != call || *one.Duration != "2" || *one.Channels != 1 || one.Status != "completed" || !strings.HasSuffix(*one.MediaURL, r.addr+account+"/Recordings/"+ids[0]) {
		t.Errorf("%+v", one)
	}
	sound := func(at string, header ...string) (int, []byte) {
		status, _, raw := r.ask(http.MethodGet, account+at, "", nil, append(header, "Authorization", basic(accountA, reader))...)
		return status, raw
	}
	for _, at := range []string{"/Recordings/" + ids[0], "/Recordings/" + ids[0] + ".wav", "/Recordings/" + ids[0] + ".wav?RequestedChannels=1", "/Calls/" + call + "/Recordings/" + ids[0] + ".wav"} {
		if status, raw := sound(at); status != http.StatusOK || !bytes.Equal(raw, sounds[4]) {
			t.Errorf("%s: %d, %d bytes", at, status, len(raw))
		}
	}
	if status, raw := sound("/Recordings/"+ids[0]+".wav", "Range", "bytes=100-199"); status != http.StatusPartialContent || !bytes.Equal(raw, sounds[4][100:200]) {
		t.Errorf("a range: %d, %d bytes", status, len(raw))
	}
	if f := r.fault(policy.NotFound, http.MethodGet, account+"/Recordings/"+ids[0]+".mp3", reader, ""); !strings.Contains(f.Message, ".wav") {
		t.Errorf("%+v", f)
	}
	r.fault(policy.InvalidArgument, http.MethodGet, account+"/Recordings/"+ids[0]+".wav?RequestedChannels=2", reader, "")
	for _, at := range []string{"/Recordings/RE" + nought + ".json", "/Recordings/RE" + nought + ".wav", "/Recordings/" + call + ".json", "/Calls/" + call + "/Recordings/" + ids[1] + ".json",
		"/Calls/" + call + "/Recordings/" + ids[1] + ".wav"} {
		r.fault(policy.NotFound, http.MethodGet, account+at, reader, "")
	}
	r.fault(policy.PermissionDenied, http.MethodDelete, account+"/Recordings/"+ids[0]+".json", reader, "")
	r.fault(policy.NotFound, http.MethodDelete, account+"/Recordings/"+ids[0]+".wav", admin, "")
	r.fault(policy.NotFound, http.MethodDelete, account+"/Calls/"+call+"/Recordings/"+ids[1]+".json", admin, "")
	for n, at := range []string{"/Recordings/" + ids[0] + ".json", "/Calls/" + call + "/Recordings/" + ids[2] + ".json"} {
		if status, _, raw := r.ask(http.MethodDelete, account+at, "", nil, "Authorization", basic(accountA, admin)); status != http.StatusNoContent || len(raw) != 0 {
			t.Errorf("%d: %d %s", n, status, raw)
		}
		r.fault(policy.NotFound, http.MethodGet, account+at, reader, "")
		r.fault(policy.NotFound, http.MethodDelete, account+at, admin, "")
	}
	if got := list(account + "/Recordings.json"); got != strings.Join([]string{ids[1], ids[3], ids[4]}, " ") {
		t.Errorf("after the deletions: %s", got)
	}
	foreign := fmt.Sprintf("/2010-04-01/Accounts/AC%s/Recordings/%s.json", strings.Repeat("b", 32), ids[1])
	status, _, _ := r.ask(http.MethodGet, foreign, "", nil, "Authorization", basic("AC"+strings.Repeat("b", 32), other))
	if status != http.StatusNotFound {
		t.Errorf("another tenant gets %d", status)
	}
}
