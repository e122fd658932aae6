package intake

import (
	"bytes"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/domicile-io/domicile/dataplane/record"
)

// Twilio posts a status callback as one form per state of a call. Deliveries
// may arrive out of order: SequenceNumber says which state is the latest.
func (p *parser) twilio() error {
	body, err := p.whole(MaxItem)
	if err != nil {
		return err
	}
	body = bytes.TrimRight(body, "\r\n")
	if body[0] == '{' || body[0] == '[' {
		return p.item(record.Record{}, body, typeJSON, ProblemUnsupported)
	}
	r, err := p.twilioRecord(body)
	return p.item(r, body, typeForm, err)
}

// directions of Twilio: what leaves for the network is outbound.
var twilioDirections = map[string]record.Direction{
	"inbound": record.Inbound, "outbound-api": record.Outbound, "outbound-dial": record.Outbound, "outbound": record.Outbound,
	"trunking-terminating": record.Outbound, "trunking-originating": record.Inbound,
}

func (p *parser) twilioRecord(body []byte) (record.Record, error) {
	r := record.Record{}
	form, err := parseForm(body)
	if err != nil {
		return r, err
	}
	for k, vs := range form {
		if !utf8.ValidString(k) || slices.ContainsFunc(vs, func(v string) bool { return !utf8.ValidString(v) }) {
			return r, ProblemText
		}
	}
	id := form.Get("CallSid")
	if id == "" || len(id) > maxLeg {
		return r, ProblemNoID
	}
	if seq := form.Get("SequenceNumber"); seq != "" {
		if r.Sequence, err = strconv.ParseInt(seq, 10, 32); err != nil || r.Sequence < 0 {
			return r, ProblemNumber
		}
	}
	if r.Status, err = twilioStatus(form.Get("CallStatus")); err != nil {
		return r, err
	}
	r.Key = record.Key{Source: p.Source, Instance: p.Instance, NativeID: id, Event: strconv.FormatInt(r.Sequence, 10)}
	if form.Get("SequenceNumber") == "" {
		r.Key.Event = string(r.Status)
	}
	r.CallKey = id
	r.Primary = form.Get("ParentCallSid") == ""
	p.parties(&r, form.Get("From"), form.Get("To"))
	r.CallerName = clip(form.Get("CallerName"))
	r.Direction = twilioDirections[form.Get("Direction")]
	r.SIPCode = code(form.Get("SipResponseCode"), 100, 699)
	r.STIR = stirOf(form.Get("StirVerstat"), "")
	if ref := first(form.Get("RecordingSid"), form.Get("RecordingUrl")); ref != "" {
		r.RecordingRefs = []string{clip(ref)}
	}
	if err := twilioTimes(&r, form); err != nil {
		return r, err
	}
	p.seal(&r, body, typeForm)
	r.ContentHash, r.HashOfBytes = pairsHash(form), false
	return r, nil
}

// twilioStatus reads CallStatus; "initiated" is what callbacks call queued.
func twilioStatus(s string) (record.Status, error) {
	switch status := record.Status(s); {
	case s == "initiated":
		return record.Queued, nil
	case s == "answered":
		return record.InProgress, nil
	case slices.Contains(statuses, status), s == "":
		return status, nil
	}
	return "", ProblemStatus
}

// twilioTimes places the callback's one Timestamp: it is when the state that it
// reports began. CallDuration counts from the answer.
func twilioTimes(r *record.Record, form url.Values) error {
	var at time.Time
	if text := form.Get("Timestamp"); text != "" {
		parsed, err := mail.ParseDate(text)
		if err != nil {
			return ProblemTime
		}
		var ok bool
		if at, ok = plausible(parsed); !ok {
			return ProblemTime
		}
	}
	if text := first(form.Get("CallDuration"), form.Get("Duration")); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > int64(maxLength/time.Second) {
			return ProblemNumber
		}
		r.Billsec = time.Duration(n) * time.Second
	}
	switch r.Status {
	case record.Queued:
		r.Start = at
	case record.Ringing:
		r.Start, r.Ring = at, at
	case record.InProgress:
		r.Answer = at
	case record.Completed:
		r.End = at
		if r.Billsec > 0 && !at.IsZero() {
			r.Answer = at.Add(-r.Billsec)
			r.Start, r.Duration = r.Answer, r.Billsec
		}
	default:
		r.End = at
	}
	if r.Start.IsZero() {
		r.Start = at
	}
	return nil
}

// pairsHash is the content hash of a form: the same pairs in another order, or
// escaped in another way, are the same content.
func pairsHash(form url.Values) [32]byte {
	var out strings.Builder
	keys := make([]string, 0, len(form))
	for k := range form {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		for _, v := range slices.Sorted(slices.Values(form[k])) {
			out.WriteString(url.QueryEscape(k) + "=" + url.QueryEscape(v) + "&")
		}
	}
	return hashOf(out.String())
}
