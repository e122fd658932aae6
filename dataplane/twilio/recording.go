package twilio

import (
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/media"
)

// sourceUploaded stands for how every recording came: the API's closed list has
// no word for one that was uploaded, and this is the one for a recording that a
// program made of a call.
const sourceUploaded = "StartCallRecordingAPI"

// completed is the status of every recording that is there: an upload that is not
// finished is none yet, and a deleted one is gone.
const completed = "completed"

// recording is what both forms of a recording have.
type recording struct {
	AccountSid        *string `json:"account_sid"`
	APIVersion        *string `json:"api_version"`
	CallSid           *string `json:"call_sid"`
	ConferenceSid     *string `json:"conference_sid"`
	DateCreated       *string `json:"date_created"`
	DateUpdated       *string `json:"date_updated"`
	StartTime         *string `json:"start_time"` // when the sound began is not known
	Duration          *string `json:"duration"`
	Sid               *string `json:"sid"`
	PriceUnit         *string `json:"price_unit"`
	Status            string  `json:"status"`
	Source            string  `json:"source"`
	ErrorCode         *int    `json:"error_code"`
	URI               *string `json:"uri"`
	EncryptionDetails *string `json:"encryption_details"`
}

// Recording is the API's api.v2010.account.recording.
type Recording struct {
	recording
	Price           *string           `json:"price"`
	Channels        *int              `json:"channels"`
	SubresourceURIs map[string]string `json:"subresource_uris"`
	MediaURL        *string           `json:"media_url"`
}

// CallRecording is the API's api.v2010.account.call.call_recording.
type CallRecording struct {
	recording
	Price    *float64 `json:"price"`
	Channels int      `json:"channels"`
	Track    *string  `json:"track"`
}

// RecordingOf is a recording in the account's form. host is where its sound is
// fetched, as the client asked for it.
func RecordingOf(account, host string, r media.Recording) Recording {
	at := accountPath(account) + "Recordings/" + r.ID
	out := Recording{recording: recordingOf(account, at, r), SubresourceURIs: map[string]string{}, MediaURL: text("https://" + host + at)}
	if r.Channels > 0 {
		out.Channels = &r.Channels
	}
	return out
}

// CallRecordingOf is a recording in the form that it has below its call.
func CallRecordingOf(account string, r media.Recording) CallRecording {
	return CallRecording{recording: recordingOf(account, accountPath(account)+"Calls/"+r.Call+"/Recordings/"+r.ID, r), Channels: r.Channels}
}

func recordingOf(account, at string, r media.Recording) recording {
	out := recording{AccountSid: text(account), APIVersion: version(), CallSid: text(r.Call), DateCreated: date(r.Created), DateUpdated: date(r.Created),
		Sid: text(r.ID), Status: completed, Source: sourceUploaded, URI: text(at + ".json")}
	if r.Duration > 0 {
		out.Duration = text(strconv.FormatInt(int64((r.Duration+time.Second/2)/time.Second), 10))
	}
	return out
}

// File takes the last part of a path apart: a sid and an extension, "" for none.
func File(name string) (sid, extension string) {
	sid, extension, _ = strings.Cut(name, ".")
	return sid, extension
}
