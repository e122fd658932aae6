package twilio

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// Call is the API's api.v2010.account.call.
type Call struct {
	Sid             *string           `json:"sid"`
	DateCreated     *string           `json:"date_created"`
	DateUpdated     *string           `json:"date_updated"`
	ParentCallSid   *string           `json:"parent_call_sid"`
	AccountSid      *string           `json:"account_sid"`
	To              *string           `json:"to"`
	ToFormatted     *string           `json:"to_formatted"`
	From            *string           `json:"from"`
	FromFormatted   *string           `json:"from_formatted"`
	PhoneNumberSid  *string           `json:"phone_number_sid"`
	Status          string            `json:"status"`
	StartTime       *string           `json:"start_time"`
	EndTime         *string           `json:"end_time"`
	Duration        *string           `json:"duration"`
	Price           *string           `json:"price"`
	PriceUnit       *string           `json:"price_unit"`
	Direction       *string           `json:"direction"`
	AnsweredBy      *string           `json:"answered_by"`
	APIVersion      *string           `json:"api_version"`
	ForwardedFrom   *string           `json:"forwarded_from"`
	GroupSid        *string           `json:"group_sid"`
	CallerName      *string           `json:"caller_name"`
	QueueTime       *string           `json:"queue_time"`
	TrunkSid        *string           `json:"trunk_sid"`
	URI             *string           `json:"uri"`
	SubresourceURIs map[string]string `json:"subresource_uris"`
}

// CallOf is a call of ours in the API's form. Its start is its place in lists
// (contract §6), which filters and order go by, so that a client which goes on
// from the last start that it saw misses nothing.
func CallOf(account string, c *store.Call) Call {
	r := &c.Record
	at := accountPath(account) + "Calls/" + c.ID
	out := Call{Sid: text(c.ID), DateCreated: date(c.IngestedAt), DateUpdated: date(c.UpdatedAt), AccountSid: text(account),
		To: text(number(r.To)), ToFormatted: text(formatted(r.To)), From: text(number(r.From)), FromFormatted: text(formatted(r.From)),
		Status: status(r), EndTime: date(r.End), Direction: text(direction(r)), CallerName: text(r.CallerName), APIVersion: version(),
		URI: text(at + ".json"), SubresourceURIs: map[string]string{"recordings": at + "/Recordings.json"}}
	if !r.Start.IsZero() {
		out.StartTime = date(c.ListedAt)
	}
	if r.Status == record.Completed {
		out.Duration = text(strconv.FormatInt(int64(r.Billsec/time.Second), 10))
	}
	if form := callback(r); form != nil {
		out.ForwardedFrom = text(form.Get("ForwardedFrom"))
		out.AnsweredBy = text(form.Get("AnsweredBy"))
	}
	return out
}

// number is a party as the API names it: E.164 where there is one.
func number(p record.Party) string {
	if p.E164 != "" {
		return p.E164
	}
	return p.Raw
}

// formatted is how the API displays a number: North American ones as people
// write them, any other as it is.
func formatted(p record.Party) string {
	if n, ok := strings.CutPrefix(p.E164, "+1"); ok && len(n) == 10 {
		return "(" + n[:3] + ") " + n[3:6] + "-" + n[6:]
	}
	return number(p)
}

// status is never null in the API. A source that says nothing of the outcome is
// read by what is known to have happened.
func status(r *record.Record) string {
	switch {
	case r.Status != "":
		return string(r.Status)
	case r.Answered() && r.End.IsZero():
		return string(record.InProgress)
	case r.Answered():
		return string(record.Completed)
	case !r.End.IsZero():
		return string(record.Failed)
	}
	return string(record.Queued)
}

// directions of the API: what a callback said is said again; other sources know
// outbound calls only as such, and an internal call is none of them.
var directions = []string{"inbound", "outbound-api", "outbound-dial", "trunking-terminating", "trunking-originating"}

func direction(r *record.Record) string {
	if form := callback(r); form != nil && slices.Contains(directions, form.Get("Direction")) {
		return form.Get("Direction")
	}
	switch r.Direction {
	case record.Inbound:
		return "inbound"
	case record.Outbound:
		return "outbound-dial"
	}
	return ""
}

// callback is the form of a call that Twilio itself told of; nil of any other.
func callback(r *record.Record) url.Values {
	if r.Key.Source != record.Twilio || len(r.Native) == 0 {
		return nil
	}
	form, err := url.ParseQuery(string(r.Native))
	if err != nil {
		return nil
	}
	return form
}
