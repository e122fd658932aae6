package twilio

import (
	"strings"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Sids that this region never gave to anything: a filter by one finds nothing.
const kindConference policy.IDKind = "CF"

// CallFilter selects calls.
type CallFilter struct {
	From, To record.Party // by E164, else by Raw; the zero Party is any
	Status   record.Status
	Started  Span
	Ended    Span
	Nothing  bool // something is asked for that no call here has
	Paging
}

// Calls reads the parameters of a list of calls. party reads a number as ingest does.
func (q *Query) Calls(party func(string) record.Party) CallFilter {
	f := CallFilter{From: q.party("From", party), To: q.party("To", party), Status: q.status(), Started: q.span("StartTime"), Ended: q.span("EndTime")}
	// Which call began which is not kept: legs of one call are one call, and those
	// of different ones are not known to belong together.
	f.Nothing = q.Sid("ParentCallSid", policy.KindCall) != "" || f.Started.Empty() || f.Ended.Empty()
	f.Paging = q.Paging()
	return f
}

// party reads a number. A + that was not percent-encoded arrives as a blank.
func (q *Query) party(name string, read func(string) record.Party) record.Party {
	s := q.take(name)
	if s == "" {
		return record.Party{}
	}
	if len(s) > maxNumber {
		q.fail(name, "is too long")
		return record.Party{}
	}
	if strings.HasPrefix(s, " ") {
		s = "+" + strings.TrimSpace(s)
	}
	p := read(s)
	if p.Anonymous() {
		p.Raw = s
	}
	return p
}

func (q *Query) status() record.Status {
	s := record.Status(q.take("Status"))
	switch s {
	case "", record.Queued, record.Ringing, record.InProgress, record.Completed, record.Busy, record.Failed, record.NoAnswer, record.Canceled:
		return s
	}
	q.fail("Status", "is not one of queued, ringing, in-progress, completed, busy, failed, no-answer, canceled")
	return ""
}

// Ask is the question to the store that holds the most of the filter: an index
// leads to the calls of one number. The latest come first.
func (f *CallFilter) Ask() store.Query {
	q := store.Query{Start: f.Started.From, End: f.Started.Until, Status: f.Status, Newest: true, PageToken: f.Token}
	if q.Number = number(f.To); q.Number == "" {
		q.Number = number(f.From)
	}
	return q
}

// Matches is the rest of the filter.
func (f *CallFilter) Matches(c *store.Call) bool {
	r := &c.Record
	return is(f.From, r.From) && is(f.To, r.To) && f.Ended.Holds(r.End)
}

func is(want, have record.Party) bool {
	switch {
	case want.E164 != "":
		return want.E164 == have.E164
	case want.Raw != "":
		return want.Raw == have.Raw
	}
	return true
}

// RecordingFilter selects recordings.
type RecordingFilter struct {
	Call    string
	Created Span
	Nothing bool
	Paging
}

// Recordings reads the parameters of a list of an account's recordings.
func (q *Query) Recordings() RecordingFilter {
	f := RecordingFilter{Call: q.Sid("CallSid", policy.KindCall), Created: q.span("DateCreated"), Nothing: q.Sid("ConferenceSid", kindConference) != ""}
	q.flag("IncludeSoftDeleted") // a deleted recording's key is destroyed: there is nothing to include
	f.Nothing = f.Nothing || f.Created.Empty()
	f.Paging = q.Paging()
	return f
}

// CallRecordings reads those of a list of a call's recordings.
func (q *Query) CallRecordings(call string) RecordingFilter {
	f := RecordingFilter{Call: call, Created: q.span("DateCreated")}
	f.Nothing = f.Created.Empty()
	f.Paging = q.Paging()
	return f
}

// Recording reads the parameters of one recording.
func (q *Query) Recording() { q.flag("IncludeSoftDeleted") }

// Channels reads how many channels of a recording's sound are asked for; 0 any.
func (q *Query) Channels() int {
	switch q.take("RequestedChannels") {
	case "":
		return 0
	case "1":
		return 1
	case "2":
		return 2
	}
	q.fail("RequestedChannels", "is not 1 or 2")
	return 0
}
