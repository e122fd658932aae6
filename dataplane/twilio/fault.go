package twilio

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// Fault is that API's error body. Its clients show Code, Message and MoreInfo;
// Details carry our own reason, the request's id and what names the way on.
type Fault struct {
	Code     int            `json:"code"`
	Message  string         `json:"message"`
	MoreInfo string         `json:"more_info"`
	Status   int            `json:"status"`
	Details  map[string]any `json:"details,omitempty"`
}

// codes are those that the API itself has; any other is 20000 and the status.
var codes = map[int]int{
	http.StatusBadRequest:   20001,
	http.StatusUnauthorized: 20003,
}

// FaultOf makes the body for err. Of a request that belongs to another region,
// MoreInfo is where to send it.
func FaultOf(err error, requestID string) Fault {
	p := api.ProblemOf(err, requestID)
	f := Fault{Message: p.Detail, Status: p.Status, Details: map[string]any{"reason": string(p.Reason), "request_id": requestID}}
	if f.Code = codes[p.Status]; f.Code == 0 {
		f.Code = 20000 + p.Status
	}
	f.MoreInfo = "https://www.twilio.com/docs/errors/" + strconv.Itoa(f.Code)
	for name, value := range p.Metadata {
		f.Details[name] = value
	}
	if p.Reason == policy.Unauthenticated {
		f.Message = "no valid API key of this region was shown; send HTTP Basic: as the user the account's sid (AC) or the key's (SK), as the password the whole key with Z for _"
	}
	if url := p.Metadata["base_url"]; p.Reason == policy.WrongRegion && url != "" {
		f.MoreInfo = url
	}
	if len(p.Errors) > 0 {
		f.Details["errors"] = p.Errors
	}
	return f
}

// WriteFault answers a request with the body for err, and with the headers that
// our own problem would have.
func WriteFault(w http.ResponseWriter, err error, requestID string) {
	body, _ := json.Marshal(FaultOf(err, requestID))
	api.WriteProblem(shaped{w, append(body, '\n')}, err, requestID)
}

// shaped takes status and headers from our own answer, and writes another body.
type shaped struct {
	http.ResponseWriter
	body []byte
}

func (s shaped) WriteHeader(status int) {
	h := s.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(s.body)))
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="domicile"`) // the API knows no bearer keys of ours
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s shaped) Write(b []byte) (int, error) {
	_, err := s.ResponseWriter.Write(s.body)
	return len(b), err
}
