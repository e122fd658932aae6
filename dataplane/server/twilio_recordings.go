package server

import (
	"net/http"
	"strconv"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/policy"
)

var errNoSuch = policy.Errorf(policy.NotFound, "the requested resource was not found")

// number reads a number as ingest does.
func (x *exchange) number(s string) record.Party { return x.s.numbers.Party(s, x.s.o.DefaultCountry) }

// twilioRecordings answers recordings of all calls.
func (x *exchange) twilioRecordings() error {
	sid, err := x.account()
	if err != nil {
		return err
	}
	q := twilio.Parse(x.r.URL)
	f := q.Recordings()
	if err := q.Done(); err != nil {
		return err
	}
	list, next, err := x.recordingsOf(f)
	if err != nil {
		return err
	}
	out := twilio.Recordings{Recordings: make([]twilio.Recording, 0, len(list)), Page: f.Describe(len(list), next)}
	for _, r := range list {
		out.Recordings = append(out.Recordings, twilio.RecordingOf(sid, x.r.Host, r))
	}
	return x.answer(http.StatusOK, out)
}

// twilioCallRecordings answers the recordings of a call.
func (x *exchange) twilioCallRecordings() error {
	sid, err := x.account()
	if err != nil {
		return err
	}
	call := x.r.PathValue("call")
	if !policy.ValidID(policy.KindCall, call) {
		return errNoSuch
	}
	q := twilio.Parse(x.r.URL)
	f := q.CallRecordings(call)
	if err := q.Done(); err != nil {
		return err
	}
	list, next, err := x.recordingsOf(f)
	if err != nil {
		return err
	}
	out := twilio.CallRecordings{Recordings: make([]twilio.CallRecording, 0, len(list)), Page: f.Describe(len(list), next)}
	for _, r := range list {
		out.Recordings = append(out.Recordings, twilio.CallRecordingOf(sid, r))
	}
	return x.answer(http.StatusOK, out)
}

// recordingsOf is a page of recordings, the latest first.
func (x *exchange) recordingsOf(f twilio.RecordingFilter) ([]media.Recording, string, error) {
	lib, err := x.media()
	if err != nil || f.Nothing {
		return nil, "", err
	}
	list, next, err := lib.Recordings(x.r.Context(), x.permit, media.Query{Call: f.Call, Start: f.Created.From, End: f.Created.Until,
		Newest: true, PageSize: f.Size, PageToken: f.Token})
	return list, next, tokenError(err)
}

// twilioRecording answers what is known of a recording (.json), or its sound: as
// it is stored, under its own extension or none.
func (x *exchange) twilioRecording() error {
	sid, err := x.account()
	if err != nil {
		return err
	}
	lib, r, extension, err := x.found()
	if err != nil {
		return err
	}
	q := twilio.Parse(x.r.URL)
	if extension != "json" {
		channels := q.Channels()
		if err := q.Done(); err != nil {
			return err
		}
		return x.twilioSound(lib, r, extension, channels)
	}
	q.Recording()
	if err := q.Done(); err != nil {
		return err
	}
	if call := x.r.PathValue("call"); call != "" {
		return x.answer(http.StatusOK, twilio.CallRecordingOf(sid, r))
	}
	return x.answer(http.StatusOK, twilio.RecordingOf(sid, x.r.Host, r))
}

// twilioSound serves a recording as it was uploaded: nothing is converted, and a
// client that wants another form is told which one there is.
func (x *exchange) twilioSound(lib *media.Library, r media.Recording, extension string, channels int) error {
	if extension != "" && extension != r.Format.Extension() {
		return policy.Errorf(policy.NotFound, "this recording is kept as .%s, and nothing is converted; ask for that, or leave the extension out", r.Format.Extension())
	}
	if channels > 0 && r.Channels > 0 && channels != r.Channels {
		return policy.Errorf(policy.InvalidArgument, "this recording is kept with %s, and nothing is mixed; leave RequestedChannels out", plural(r.Channels, "channel"))
	}
	r, sound, err := lib.Open(x.r.Context(), x.permit, r.ID)
	if err != nil {
		return err
	}
	return x.sendSound(r, sound)
}

func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return strconv.Itoa(n) + " " + of + "s"
}

// twilioDeleteRecording destroys a recording.
func (x *exchange) twilioDeleteRecording() error {
	if _, err := x.account(); err != nil {
		return err
	}
	lib, r, extension, err := x.found()
	if err != nil {
		return err
	}
	if extension != "json" {
		return errNoSuch
	}
	if err := twilio.Parse(x.r.URL).Done(); err != nil {
		return err
	}
	if err := x.destroyRecording(lib, r.ID); err != nil {
		return err
	}
	return x.nothingMore()
}
