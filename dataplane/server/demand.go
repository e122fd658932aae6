package server

import (
	"net/http"
	"strings"

	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
)

// What requests may hold in memory, in bytes, beside what the node holds anyway.
const (
	frugal     = 256 << 10 // one object, or sound that passes through in frames
	pageHolds  = 16 << 20  // a page of many calls, decoded and as JSON
	flowHolds  = 4 << 20   // a stream: two chunks of records and what they were parsed from
	zstdWindow = 8 << 20   // what RFC 8878 asks every decoder to support
	uploads    = 1 << 20   // Options.UploadMemory, when it is 0
	inMemory   = 6         // how many times its length a small body becomes, parsed
)

// heavy routes read many objects for one answer.
var heavy = map[string]bool{}

func init() {
	for _, pattern := range []string{"GET /v1/calls", "POST /v1/calls:search", "GET /v1/calls:export", "GET /v1/rollups", "GET /v1/quarantine",
		"POST /v1/quarantine:replay", "GET /v1/received", "POST /v1/policies:simulate", "POST /v1/exports:run", "POST /v1/transcripts:search",
		"POST /v1/subjects:find", "POST /v1/subjects:export",
		"GET " + account + "Calls.json", "GET " + account + "Usage/Records.json", "GET " + account + "Usage/Records/{file}"} {
		heavy[pattern] = true
	}
}

// demand is what the request needs of the node, as far as its head tells.
func (x *exchange) demand() admission.Ask {
	ask := admission.Ask{Tenant: x.who.Tenant, Lane: x.route.lane(), Weight: 1, Memory: frugal}
	switch {
	case ask.Lane == admission.Ingest:
		ask.Weight, ask.Memory = x.ingestDemand()
	case heavy[x.route.pattern]:
		ask.Weight, ask.Memory = admission.Heavy, pageHolds
	}
	return ask
}

// lane is where a route's turns are. Whatever destroys is an erasure.
func (r *route) lane() admission.Lane {
	method, path, _ := strings.Cut(r.pattern, " ")
	switch {
	case r.action == gate.Erase || method == http.MethodDelete:
		return admission.Erase
	case r.action == gate.WriteRecords && (method == http.MethodPost || method == http.MethodPatch), strings.HasPrefix(path, "/v1/feeds/") && method == http.MethodPost:
		return admission.Ingest
	}
	return admission.Read
}

// ingestDemand looks at the length and encoding that the client declares; without
// a length the body is a stream.
func (x *exchange) ingestDemand() (weight, memory int64) {
	length := x.r.ContentLength
	if strings.Contains(x.route.pattern, "/v1/recordings") || strings.Contains(x.route.pattern, "/v1/uploads") {
		memory = x.s.o.UploadMemory
		if memory == 0 {
			memory = uploads
		}
		return admission.MaxWeight / 2, memory
	}
	if length < 0 || length > smallBody {
		weight, memory = admission.MaxWeight, flowHolds
	} else {
		weight, memory = length, frugal+inMemory*length
	}
	switch encoding := strings.ToLower(strings.TrimSpace(x.r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	default:
		weight *= 4 // what records are compressed by, when it is done in haste
		memory = flowHolds
		if encoding == "zstd" && length >= 0 {
			memory += min(zstdWindow, intake.RatioFloor+intake.MaxRatio*length)
		} else if encoding == "zstd" {
			memory += zstdWindow
		}
	}
	return min(max(weight, admission.MinWeight), admission.MaxWeight), memory
}
