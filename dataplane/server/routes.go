package server

import (
	"fmt"
	"net/http"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/policy"
)

// route is one row of the table of everything that the listener answers.
type route struct {
	pattern string
	action  gate.Action             // what the caller's role must allow; 0 allows nobody
	feature policy.Feature          // what the region must have, or everyRegion; "" with public
	serve   func(x *exchange) error // nil with public
	public  func(x *exchange)       // without credentials; says nothing of any tenant
}

// everyRegion marks what does not depend on a feature.
const everyRegion policy.Feature = "*"

// noRoute stands for every path without a row.
var noRoute = &route{pattern: "none"}

// routes is the whole surface (contract §12). What has no row is 404, whoever
// asks; what is not built yet has a row and answers NOT_YET. A
// path that takes another method is 404 too, with Allow (see nothing).
var routes = []route{
	{pattern: "POST /v1/calls", action: gate.WriteRecords, feature: policy.Voice, serve: (*exchange).createCall},
	{pattern: "POST /v1/calls:batch", action: gate.WriteRecords, feature: policy.Voice, serve: (*exchange).batch},
	{pattern: "POST /v1/feeds/{source}/{name}", action: gate.WriteRecords, feature: policy.Voice, serve: (*exchange).feed},
	{pattern: "POST /v1/feeds/{source}/{name}/{part}", action: gate.WriteRecords, feature: policy.Voice, serve: (*exchange).feed},
	{pattern: "PUT /v1/feeds/{source}/{name}", action: gate.WriteSettings, feature: policy.Voice, serve: (*exchange).putFeedSettings},
	{pattern: "GET /v1/feeds/{source}/{name}", action: gate.ReadSettings, feature: policy.Voice, serve: (*exchange).feedSettings},

	{pattern: "GET /v1/calls", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).listCalls},
	{pattern: "POST /v1/calls:search", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).searchCalls},
	{pattern: "GET /v1/calls/{id}", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).call},
	{pattern: "DELETE /v1/calls/{id}", action: gate.Erase, feature: policy.Voice, serve: (*exchange).deleteCall},
	{pattern: "GET /v1/calls:export", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).exportCalls},
	{pattern: "GET /v1/rollups", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).rollups},

	{pattern: "GET /v1/quarantine", action: gate.ReadSettings, feature: policy.Voice, serve: (*exchange).quarantine},
	{pattern: "POST /v1/quarantine:replay", action: gate.WriteSettings, feature: policy.Voice, serve: (*exchange).replay},
	{pattern: "GET /v1/egress", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).egress},

	{pattern: "GET /v1/transfers", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).transfers},
	{pattern: "GET /v1/transfers/{id}", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).transfer},
	{pattern: "POST /v1/exports:run", action: gate.RunExports, feature: everyRegion, serve: (*exchange).runExports},
	{pattern: "GET /v1/received", action: gate.ReadReceived, feature: everyRegion, serve: (*exchange).received},

	{pattern: "POST /v1/policies:simulate", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).simulate},
	{pattern: "POST /v1/recordings", action: gate.WriteRecords, feature: policy.RecordingFeature, serve: (*exchange).createRecording},
	{pattern: "GET /v1/recordings", action: gate.ReadRecords, feature: policy.RecordingFeature, serve: (*exchange).listRecordings},
	{pattern: "GET /v1/recordings/{id}", action: gate.ReadRecords, feature: policy.RecordingFeature, serve: (*exchange).recording},
	{pattern: "GET /v1/recordings/{id}/media", action: gate.ReadRecords, feature: policy.RecordingFeature, serve: (*exchange).recordingMedia},
	{pattern: "DELETE /v1/recordings/{id}", action: gate.WriteSettings, feature: policy.RecordingFeature, serve: (*exchange).deleteRecording},
	{pattern: "OPTIONS /v1/uploads", action: gate.WriteRecords, feature: policy.RecordingFeature, serve: (*exchange).uploadOptions},
	{pattern: "POST /v1/uploads", action: gate.WriteRecords, feature: policy.RecordingFeature, serve: (*exchange).createUpload},
	{pattern: "GET /v1/uploads/{id}", action: gate.WriteRecords, feature: policy.RecordingFeature, serve: (*exchange).upload},
	{pattern: "PATCH /v1/uploads/{id}", action: gate.WriteRecords, feature: policy.RecordingFeature, serve: (*exchange).patchUpload},
	{pattern: "DELETE /v1/uploads/{id}", action: gate.WriteRecords, feature: policy.RecordingFeature, serve: (*exchange).deleteUpload},
	{pattern: "POST /v1/transcripts", action: gate.WriteRecords, feature: policy.TranscriptFeature, serve: (*exchange).createTranscript},
	{pattern: "GET /v1/transcripts", action: gate.ReadRecords, feature: policy.TranscriptFeature, serve: (*exchange).listTranscripts},
	{pattern: "POST /v1/transcripts:search", action: gate.ReadRecords, feature: policy.TranscriptFeature, serve: (*exchange).searchTranscripts},
	{pattern: "GET /v1/transcripts/{id}", action: gate.ReadRecords, feature: policy.TranscriptFeature, serve: (*exchange).transcript},
	{pattern: "DELETE /v1/transcripts/{id}", action: gate.WriteSettings, feature: policy.TranscriptFeature, serve: (*exchange).deleteTranscript},

	{pattern: "POST /v1/subjects:find", action: gate.ReadRecords, feature: everyRegion, serve: (*exchange).findSubjects},
	{pattern: "POST /v1/subjects:reassign", action: gate.Erase, feature: everyRegion, serve: (*exchange).reassignSubject},
	{pattern: "POST /v1/subjects:export", action: gate.ReadRecords, feature: everyRegion, serve: (*exchange).exportSubject},
	{pattern: "POST /v1/subjects:erase", action: gate.Erase, feature: everyRegion, serve: (*exchange).eraseSubject},
	{pattern: "GET /v1/certificates", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).certificates},
	{pattern: "GET /v1/certificates/{id}", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).certificate},
	{pattern: "GET /v1/holds", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).holds},
	{pattern: "POST /v1/holds", action: gate.Erase, feature: everyRegion, serve: (*exchange).putHold},
	{pattern: "POST /v1/holds:release", action: gate.Erase, feature: everyRegion, serve: (*exchange).releaseHold},
	{pattern: "POST /v1/access/requests", action: gate.WriteSettings, feature: everyRegion, serve: (*exchange).notYet},
	{pattern: "GET /v1/audit/leaves", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).logLeaves},
	{pattern: "GET /v1/audit/leaves/{index}/proof", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).logProof},
	{pattern: "GET /v1/audit/consistency", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).logConsistency},
	{pattern: "GET /v1/receipts/{id}", action: gate.ReadLedger, feature: everyRegion, serve: (*exchange).receipt},

	{pattern: "GET /v1/audit/checkpoint", public: (*exchange).logCheckpoint},

	{pattern: "GET /healthz", public: (*exchange).healthz},
	{pattern: "GET /readyz", public: (*exchange).readyz},
}

var routeByPattern = map[string]*route{}

func init() { // the handlers refer to the table
	routes = append(routes, twilioRoutes...)
	for i := range routes {
		routeByPattern[routes[i].pattern] = &routes[i]
	}
}

// newMux only matches: the chain in serve has decided before it is asked, and
// calls the row's handler itself.
func newMux() (*http.ServeMux, error) {
	mux := http.NewServeMux()
	for i := range routes {
		row := &routes[i]
		if (row.public == nil) == (row.serve == nil) || row.serve != nil && row.action == 0 {
			return nil, fmt.Errorf("route %s: want a handler and an action, or a public handler", row.pattern)
		}
		if (row.public == nil) != (row.feature != "") {
			return nil, fmt.Errorf("route %s: say which feature of the region it belongs to, or everyRegion", row.pattern)
		}
		mux.HandleFunc(row.pattern, func(http.ResponseWriter, *http.Request) {})
	}
	return mux, nil
}

// Patterns are all that a request can meet, for what must know them beforehand.
func Patterns() []string {
	out := []string{noRoute.pattern, streamPattern}
	for _, r := range routes {
		out = append(out, r.pattern)
	}
	return out
}
