package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

func TestTranscriptsAreKeptSearchedAndDeleted(t *testing.T) {
	r := start(t)
	call := r.newCall(writer, "one")
	rec := r.record(writer, "?call_id="+call, wav(1000, 1))
	body := `{"call_id":"` + call + `","recording_id":"` + rec.ID + `","language":"en-IE","segments":[
		{"speaker":"agent","start_ms":0,"end_ms":900,"text":"Good morning","confidence":0.93},
		{"speaker":"caller","start_ms":1000,"end_ms":2000,"text":"I want to cancel my order"}]}`
	status, raw := r.post("/v1/transcripts", writer, body)
	var made data.Transcript
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, raw)
	}
	must(t, json.Unmarshal(raw, &made))
	if made.State != "stored" || made.CallID != call || made.RecordingID != rec.ID || made.SegmentCount != 2 || made.SpeakerCount != 2 || made.DurationMS != 2000 || made.Segments != nil {
		t.Errorf("%+v", made)
	}
	if _, raw := r.post("/v1/transcripts", writer, body); !strings.Contains(string(raw), `"state":"duplicate"`) || !strings.Contains(string(raw), made.ID) {
		t.Errorf("again: %s", raw)
	}
	var got data.Transcript
	r.get("/v1/transcripts/"+made.ID, reader, &got)
	if len(got.Segments) != 2 || got.Segments[0] != (data.Segment{Speaker: "agent", EndMS: 900, Text: "Good morning", Confidence: 0.93}) {
		t.Errorf("%+v", got)
	}
	var list data.Transcripts
	if r.get("/v1/transcripts?call_id="+call, reader, &list); len(list.Transcripts) != 1 || list.Transcripts[0].ID != made.ID {
		t.Errorf("%+v", list)
	}
	var c data.Call
	if r.get("/v1/calls/"+call, reader, &c); len(c.TranscriptIDs) != 1 || len(c.RecordingIDs) != 1 {
		t.Errorf("the call shows %v, %v", c.RecordingIDs, c.TranscriptIDs)
	}
	search := func(key, query string) (out data.TranscriptMatches) {
		status, raw := r.post("/v1/transcripts:search", key, query)
		if status != http.StatusOK {
			t.Fatalf("search: %d %s", status, raw)
		}
		must(t, json.Unmarshal(raw, &out))
		return out
	}
	found := search(reader, `{"query":"\"cancel my order\" morning"}`)
	if len(found.Results) != 1 || found.Results[0].Transcript.ID != made.ID || len(found.Results[0].Matches) != 2 || found.Results[0].Matches[1].Number != 1 {
		t.Errorf("found %+v", found)
	}
	if found := search(other, `{"query":"cancel"}`); len(found.Results) != 0 {
		t.Errorf("another tenant finds %+v", found)
	}
	r.refusal(policy.NotFound, http.MethodGet, "/v1/transcripts/"+made.ID, other, "")
	for _, bad := range []string{`{"segments":[]}`, `{"segments":[{"start_ms":2,"end_ms":1,"text":"x"}]}`, `{"segments":[{"words":"x"}]}`, `{"call_id":"x","segments":[{"text":"x"}]}`,
		`{"language":"Aoife Canary","segments":[{"text":"x"}]}`} {
		r.refusal(policy.InvalidArgument, http.MethodPost, "/v1/transcripts", writer, bad)
	}
	for _, bad := range []string{`{}`, `{"query":"!"}`, `{"query":"x","page_size":5000}`, `{"query":"x","page_token":"y"}`} {
		r.refusal(policy.InvalidArgument, http.MethodPost, "/v1/transcripts:search", reader, bad)
	}
	r.refusal(policy.PermissionDenied, http.MethodPost, "/v1/transcripts:search", writer, `{"query":"x"}`)
	if status, _, _ := r.ask(http.MethodDelete, "/v1/transcripts/"+made.ID, admin, nil); status != http.StatusNoContent {
		t.Errorf("delete: %d", status)
	}
	if found := search(reader, `{"query":"cancel"}`); len(found.Results) != 0 {
		t.Errorf("a deleted transcript is found: %+v", found)
	}
	if strings.Contains(r.log.String(), "cancel") {
		t.Error("a word stands in the log")
	}
}
