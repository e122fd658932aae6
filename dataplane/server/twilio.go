package server

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/policy"
)

// twilioRoutes are the reads and deletions of another API (docs/adr/0047). What
// else that API has answers 501 in its own shape (see absent). Its clients write a
// number into the query; nothing here logs one.
var twilioRoutes = []route{
	{pattern: "GET " + account + "Calls.json", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).twilioCalls},
	{pattern: "GET " + account + "Calls/{file}", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).twilioCall},
	{pattern: "DELETE " + account + "Calls/{file}", action: gate.Erase, feature: policy.Voice, serve: (*exchange).twilioDeleteCall},
	{pattern: "GET " + account + "Calls/{call}/Recordings.json", action: gate.ReadRecords, feature: policy.RecordingFeature, serve: (*exchange).twilioCallRecordings},
	{pattern: "GET " + account + "Calls/{call}/Recordings/{file}", action: gate.ReadRecords, feature: policy.RecordingFeature, serve: (*exchange).twilioRecording},
	{pattern: "DELETE " + account + "Calls/{call}/Recordings/{file}", action: gate.WriteSettings, feature: policy.RecordingFeature, serve: (*exchange).twilioDeleteRecording},
	{pattern: "GET " + account + "Recordings.json", action: gate.ReadRecords, feature: policy.RecordingFeature, serve: (*exchange).twilioRecordings},
	{pattern: "GET " + account + "Recordings/{file}", action: gate.ReadRecords, feature: policy.RecordingFeature, serve: (*exchange).twilioRecording},
	{pattern: "DELETE " + account + "Recordings/{file}", action: gate.WriteSettings, feature: policy.RecordingFeature, serve: (*exchange).twilioDeleteRecording},
	{pattern: "GET " + account + "Usage/Records.json", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).twilioUsage},
	{pattern: "GET " + account + "Usage/Records/{file}", action: gate.ReadRecords, feature: policy.Voice, serve: (*exchange).twilioUsage},
}

const account = twilio.Prefix + "Accounts/{account}/"

// errAbsent is the answer to the rest of that API.
var errAbsent = policy.Errorf(policy.NotYet, "this region offers of this API: reading calls, recordings and usage records, and deleting calls and recordings; nothing else, and nothing is passed on to anybody who does")

// writeProblem answers with err in the form of the API that was asked.
func writeProblem(w http.ResponseWriter, r *http.Request, err error, requestID string) {
	if twilio.Serves(r.URL.Path) {
		twilio.WriteFault(w, err, requestID)
		return
	}
	api.WriteProblem(w, err, requestID)
}

// account checks that the path's account is the caller's, and gives its sid. A
// foreign one and an absent one look the same.
func (x *exchange) account() (string, error) {
	sid := twilio.Account(x.who.Tenant)
	if x.r.PathValue("account") != sid {
		return "", errNoSuch
	}
	return sid, nil
}

// twilioMost bounds the calls that one page looks at: a filter that few calls
// pass comes in short pages, each with the next one's uri.
const twilioMost = 20_000

// twilioCalls answers calls, as Twilio lists them.
func (x *exchange) twilioCalls() error {
	sid, err := x.account()
	if err != nil {
		return err
	}
	q := twilio.Parse(x.r.URL)
	f := q.Calls(x.number)
	if err := q.Done(); err != nil {
		return err
	}
	out := twilio.Calls{Calls: []twilio.Call{}}
	next, corrupt := "", 0
	if !f.Nothing {
		ask := f.Ask()
		for looked := 0; ; {
			ask.PageSize = f.Size - len(out.Calls)
			page, _, err := x.page(ask)
			if err != nil {
				return tokenError(err)
			}
			for i := range page.Calls {
				if c := &page.Calls[i]; f.Matches(c) {
					out.Calls = append(out.Calls, twilio.CallOf(sid, c))
				}
			}
			looked, corrupt = looked+ask.PageSize, corrupt+page.Corrupt
			next, ask.PageToken = page.NextPageToken, page.NextPageToken
			if next == "" || len(out.Calls) == f.Size || looked >= twilioMost {
				break
			}
		}
	}
	if corrupt > 0 { // left out of the page, which has no place to say so
		x.w.Header().Set(corruptTrailer, strconv.Itoa(corrupt))
	}
	out.Page = f.Describe(len(out.Calls), next)
	return x.answer(http.StatusOK, out)
}

// tokenError names the parameter as that API does.
func tokenError(err error) error {
	var e *policy.Error
	if errors.As(err, &e) && e.Reason == policy.InvalidArgument {
		return policy.Errorf(policy.InvalidArgument, "the PageToken is not of this account and query; follow next_page_uri unchanged, or start again without one")
	}
	return err
}

// twilioCall answers one call.
func (x *exchange) twilioCall() error {
	sid, err := x.account()
	if err != nil {
		return err
	}
	id, err := x.resource(policy.KindCall)
	if err != nil {
		return err
	}
	if err := twilio.Parse(x.r.URL).Done(); err != nil {
		return err
	}
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return err
	}
	c, err := x.s.o.Store.Call(x.r.Context(), permit, id)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, twilio.CallOf(sid, &c))
}

// resource is the id that the path names with .json.
func (x *exchange) resource(kind policy.IDKind) (string, error) {
	id, extension := twilio.File(x.r.PathValue("file"))
	if extension != "json" || !policy.ValidID(kind, id) {
		return "", errNoSuch
	}
	return id, nil
}

// twilioDeleteCall destroys a call and all that it has.
func (x *exchange) twilioDeleteCall() error {
	if _, err := x.account(); err != nil {
		return err
	}
	id, err := x.resource(policy.KindCall)
	if err != nil {
		return err
	}
	if err := twilio.Parse(x.r.URL).Done(); err != nil {
		return err
	}
	if err := x.destroyCall(id); err != nil {
		return err
	}
	return x.nothingMore()
}

// twilioUsage answers from the region's counters.
func (x *exchange) twilioUsage() error {
	sid, err := x.account()
	if err != nil {
		return err
	}
	var list twilio.UsageList
	if file := x.r.PathValue("file"); file != "" {
		name, extension := twilio.File(file)
		var ok bool
		if list, ok = twilio.UsageListOf(name); !ok || extension != "json" {
			return errAbsent
		}
	}
	q := twilio.Parse(x.r.URL)
	f := q.Usage(list, x.s.now())
	if err := q.Done(); err != nil {
		return err
	}
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return err
	}
	var rows []store.Rollup
	if first, last, ok := f.Days(); ok {
		if rows, err = x.s.o.Store.Rollups(x.r.Context(), permit, first, last); err != nil {
			return err
		}
	}
	return x.answer(http.StatusOK, twilio.UsagePage(sid, f, rows))
}

// found is the library and the recording that the path names, of the call that it
// names, with the extension behind it.
func (x *exchange) found() (lib *media.Library, r media.Recording, extension string, err error) {
	if lib, err = x.media(); err != nil {
		return nil, r, "", err
	}
	id, extension := twilio.File(x.r.PathValue("file"))
	if !policy.ValidID(policy.KindRecording, id) {
		return nil, r, "", errNoSuch
	}
	if r, err = lib.Recording(x.r.Context(), x.permit, id); err != nil {
		return nil, r, "", err
	}
	if call := x.r.PathValue("call"); call != "" && call != r.Call {
		return nil, r, "", errNoSuch
	}
	return lib, r, extension, nil
}
