package server

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/api/data"
)

// lineWriter writes calls as NDJSON: the very bytes that encoding/json makes of
// data.Call, without reflection, which took half of an export's time (as ADR 0027
// does in the control plane). A test fails for a field that is missing here.
type lineWriter struct {
	w    io.Writer
	line []byte
}

func (*lineWriter) begin() error { return nil }

func (w *lineWriter) call(c data.Call) (err error) {
	if w.line, err = appendCall(w.line[:0], &c); err != nil {
		return err
	}
	_, err = w.w.Write(append(w.line, '\n'))
	return err
}

func appendCall(b []byte, c *data.Call) (_ []byte, err error) {
	b = appendText(append(b, `{"id":`...), c.ID)
	b = appendText(append(b, `,"source":`...), c.Source)
	b = appendText(append(b, `,"instance":`...), c.Instance)
	b = appendText(append(b, `,"native_id":`...), c.NativeID)
	b = appendSome(b, `,"leg":`, c.Leg)
	b = appendParty(append(b, `,"from":`...), &c.From)
	b = appendParty(append(b, `,"to":`...), &c.To)
	b = appendSome(b, `,"caller_name":`, c.CallerName)
	b = appendSome(b, `,"direction":`, c.Direction)
	b = appendSome(b, `,"status":`, c.Status)
	for _, t := range [...]struct {
		name string
		at   *time.Time
	}{{`,"start_time":`, c.StartTime}, {`,"ring_time":`, c.RingTime}, {`,"answer_time":`, c.AnswerTime}, {`,"end_time":`, c.EndTime}} {
		if t.at != nil {
			if b, err = appendTime(append(b, t.name...), *t.at); err != nil {
				return nil, err
			}
		}
	}
	b = strconv.AppendInt(append(b, `,"duration_ms":`...), c.DurationMS, 10)
	b = strconv.AppendInt(append(b, `,"billsec_ms":`...), c.BillsecMS, 10)
	if c.SIPCode != 0 {
		b = strconv.AppendInt(append(b, `,"sip_code":`...), int64(c.SIPCode), 10)
	}
	if c.Q850Cause != 0 {
		b = strconv.AppendInt(append(b, `,"q850_cause":`...), int64(c.Q850Cause), 10)
	}
	if c.STIR != nil {
		b = append(b, `,"stir":{`...)
		from := len(b)
		b = appendSome(b, `,"attest":`, c.STIR.Attest)
		b = appendSome(b, `,"orig_id":`, c.STIR.OrigID)
		b = appendSome(b, `,"verstat":`, c.STIR.Verstat)
		b = append(dropComma(appendSome(b, `,"spc":`, c.STIR.SPC), from), '}')
	}
	b = appendTexts(b, `,"recording_refs":[`, c.RecordingRefs)
	b = appendTexts(b, `,"recording_ids":[`, c.RecordingIDs)
	b = appendTexts(b, `,"transcript_ids":[`, c.TranscriptIDs)
	b = appendSome(b, `,"consent_ref":`, c.ConsentRef)
	b = appendTexts(b, `,"assumed":[`, c.Assumed)
	b = strconv.AppendInt(append(b, `,"versions":`...), int64(c.Versions), 10)
	for _, t := range [...]struct {
		name string
		at   time.Time
	}{{`,"ingest_time":`, c.IngestTime}, {`,"update_time":`, c.UpdateTime}, {`,"list_time":`, c.ListTime}} {
		if b, err = appendTime(append(b, t.name...), t.at); err != nil {
			return nil, err
		}
	}
	b = appendText(append(b, `,"region":`...), c.Region)
	if c.Revision != 0 {
		b = strconv.AppendUint(append(b, `,"policy_revision":`...), c.Revision, 10)
	}
	return append(b, '}'), nil
}

func appendParty(b []byte, p *data.Party) []byte {
	b = append(b, '{')
	from := len(b)
	b = appendSome(b, `,"raw":`, p.Raw)
	b = appendSome(b, `,"e164":`, p.E164)
	b = appendSome(b, `,"country":`, p.Country)
	return append(dropComma(appendSome(b, `,"subject_id":`, p.SubjectID), from), '}')
}

// dropComma takes out the comma before an object's first member.
func dropComma(b []byte, from int) []byte {
	if len(b) == from {
		return b
	}
	return append(b[:from], b[from+1:]...)
}

// appendSome writes a member that is left out when it is empty; name has the comma
// and the colon.
func appendSome(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(append(b, name...), s)
}

func appendTexts(b []byte, name string, all []string) []byte {
	if len(all) == 0 {
		return b
	}
	b = append(b, name...)
	for i, s := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}

// appendText writes a string; one that needs escapes is left to encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string does not fail
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendTime(b []byte, t time.Time) ([]byte, error) {
	b, err := t.AppendText(append(b, '"'))
	return append(b, '"'), err
}
