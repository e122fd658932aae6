// Command client does with Twilio's official Go library, unmodified, what the test
// beside it wants to see, and prints what it got as JSON. It is told where to go by
// its environment alone: HTTPS_PROXY, SSL_CERT_FILE, TWILIO_REGION, TWILIO_EDGE. It
// is a module of its own, so that the product does not depend on the library.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"
)

// task is what the test says; seen is what it is answered.
type task struct {
	Account, User, Password string
	Number                  string
	After, Before           time.Time
	Call, Recording, Held   string
	Wrong                   bool
}

type fault struct {
	Code     int    `json:"code"`
	Status   int    `json:"status"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Reason   string `json:"reason"`
}

type seen struct {
	Fault          *fault   `json:"fault,omitempty"`
	All            []string `json:"all"`
	Limited        []string `json:"limited"`
	Span           []string `json:"span"`
	To             []string `json:"to"`
	Call           any      `json:"call"`
	NotFound       *fault   `json:"not_found"`
	Absent         *fault   `json:"absent"`
	Recordings     []string `json:"recordings"`
	CallRecordings []string `json:"call_recordings"`
	Sound          string   `json:"sound"`
	Usage          []string `json:"usage"`
	Daily          []string `json:"daily"`
	Held           *fault   `json:"held"`
	AfterDeletion  []*fault `json:"after_deletion"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var t task
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		return err
	}
	c := &client.Client{Credentials: client.NewCredentials(t.User, t.Password)}
	c.SetAccountSid(t.Account)
	api := openapi.NewApiService(client.NewRequestHandler(c))
	var out seen
	var err error
	if t.Wrong {
		_, err = api.ListCall(&openapi.ListCallParams{})
		out.Fault = faultOf(err)
	} else if out, err = reads(api, t); err == nil {
		err = deletions(api, t, &out)
	}
	if err != nil && out.Fault == nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func faultOf(err error) *fault {
	var e *client.TwilioRestError
	if !errors.As(err, &e) {
		return &fault{Message: fmt.Sprintf("not decoded: %v", err)}
	}
	reason, _ := e.Details["reason"].(string)
	return &fault{e.Code, e.Status, e.Message, e.MoreInfo, reason}
}

func sids(calls []openapi.ApiV2010Call, err error, into *[]string) error {
	for _, c := range calls {
		*into = append(*into, *c.Sid)
	}
	return err
}

func reads(api *openapi.ApiService, t task) (out seen, err error) {
	all, limited, span, to := &openapi.ListCallParams{}, &openapi.ListCallParams{}, &openapi.ListCallParams{}, &openapi.ListCallParams{}
	all.SetPageSize(5)
	limited.SetPageSize(5)
	limited.SetLimit(7)
	span.SetStartTimeAfter(t.After)
	span.SetStartTimeBefore(t.Before)
	to.SetTo(t.Number)
	to.SetStatus("completed")
	to.SetPageSize(1)
	for params, into := range map[*openapi.ListCallParams]*[]string{all: &out.All, limited: &out.Limited, span: &out.Span, to: &out.To} {
		list, err := api.ListCall(params)
		if err := sids(list, err, into); err != nil {
			return out, err
		}
	}
	if out.Call, err = api.FetchCall(t.Call, nil); err != nil {
		return out, err
	}
	_, err = api.FetchCall("CA00000000000000000000000000000000", nil)
	out.NotFound = faultOf(err)
	create := &openapi.CreateCallParams{}
	create.SetTo(t.Number)
	create.SetFrom(t.Number)
	create.SetUrl("https://example.test/")
	_, err = api.CreateCall(create)
	out.Absent = faultOf(err)
	if err := recordings(api, t, &out); err != nil {
		return out, err
	}
	return out, usage(api, &out)
}

func recordings(api *openapi.ApiService, t task, out *seen) error {
	params := &openapi.ListRecordingParams{}
	params.SetPageSize(1)
	list, err := api.ListRecording(params)
	if err != nil {
		return err
	}
	url := ""
	for _, r := range list {
		out.Recordings = append(out.Recordings, *r.Sid)
		if *r.Sid == t.Recording {
			url = *r.MediaUrl
		}
	}
	below, err := api.ListCallRecording(t.Call, nil)
	if err != nil {
		return err
	}
	for _, r := range below {
		out.CallRecordings = append(out.CallRecordings, *r.Sid)
	}
	// The library leaves the sound to whoever has its address.
	req, err := http.NewRequest(http.MethodGet, url+".wav", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(t.User, t.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("sound: %s, %v", resp.Status, err)
	}
	out.Sound = hex.EncodeToString(sum.Sum(nil))
	return nil
}

func usage(api *openapi.ApiService, out *seen) error {
	list, err := api.ListUsageRecord(nil)
	if err != nil {
		return err
	}
	for _, r := range list {
		out.Usage = append(out.Usage, *r.Category+" "+*r.Count+" "+*r.Usage)
	}
	params := &openapi.ListUsageRecordDailyParams{}
	params.SetCategory("calls")
	params.SetPageSize(1)
	daily, err := api.ListUsageRecordDaily(params)
	for _, r := range daily {
		out.Daily = append(out.Daily, *r.StartDate+" "+*r.Count)
	}
	return err
}

// deletions: what a hold covers stays; a recording, then its call, are gone.
func deletions(api *openapi.ApiService, t task, out *seen) error {
	out.Held = faultOf(api.DeleteCall(t.Held, nil))
	if err := api.DeleteRecording(t.Recording, nil); err != nil {
		return err
	}
	_, err := api.FetchRecording(t.Recording, nil)
	out.AfterDeletion = append(out.AfterDeletion, faultOf(err))
	if err := api.DeleteCall(t.Call, nil); err != nil {
		return err
	}
	_, err = api.FetchCall(t.Call, nil)
	out.AfterDeletion = append(out.AfterDeletion, faultOf(err))
	return nil
}
