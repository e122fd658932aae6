package server

import (
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// csvColumns is the header line of an export, in the order of csvFile.call.
var csvColumns = []string{"id", "source", "instance", "native_id", "leg",
	"from_raw", "from_e164", "from_country", "to_raw", "to_e164", "to_country", "caller_name",
	"direction", "status", "start_time", "ring_time", "answer_time", "end_time", "duration_ms", "billsec_ms",
	"sip_code", "q850_cause", "stir_attest", "stir_verstat", "recording_refs", "consent_ref", "assumed",
	"versions", "ingest_time", "update_time", "list_time", "region"}

// csvFile writes RFC 4180 with every cell quoted.
type csvFile struct {
	region string
	days   days
}

func (*csvFile) begin(b []byte) []byte {
	row := csvRow{b: b, from: len(b)}
	for _, c := range csvColumns {
		row.cell(c)
	}
	return row.end()
}

func (f *csvFile) call(b []byte, c *store.Call, _ uint64) ([]byte, error) {
	r, row := &c.Record, csvRow{b: b, from: len(b)}
	for _, text := range [...]string{c.ID, string(r.Key.Source), r.Key.Instance, r.Key.NativeID, r.Key.Leg,
		r.From.Raw, r.From.E164, r.From.Country, r.To.Raw, r.To.E164, r.To.Country, r.CallerName,
		string(r.Direction), string(r.Status)} {
		row.cell(text)
	}
	for _, t := range [...]time.Time{r.Start, r.Ring, r.Answer, r.End} {
		row.time(&f.days, t)
	}
	for _, n := range [...]int64{r.Duration.Milliseconds(), r.Billsec.Milliseconds(), int64(r.SIPCode), int64(r.Q850)} {
		row.number(n)
	}
	row.cell(r.STIR.Attest)
	row.cell(r.STIR.Verstat)
	row.cell(strings.Join(r.RecordingRefs, " "))
	row.cell(r.ConsentRef)
	row.cell(assumedWords[assumed(r)])
	row.number(int64(c.Versions))
	for _, t := range [...]time.Time{c.IngestedAt, c.UpdatedAt, c.ListedAt} {
		row.time(&f.days, t)
	}
	row.cell(f.region)
	return row.end(), nil
}

// assumedWords are data.Call.Assumed as one cell has them.
var assumedWords = [...]string{"", "time_zone", "country", "time_zone country"}

func assumed(r *record.Record) (at int) {
	if r.AssumedZone {
		at |= 1
	}
	if r.AssumedCountry {
		at |= 2
	}
	return at
}

// csvRow is a row being written.
type csvRow struct {
	b    []byte
	from int // where it begins
}

func (w *csvRow) time(d *days, t time.Time) {
	if u := t.UTC(); u.Year() > 9999 || u.Year() < 1 {
		w.cell(u.Format(time.RFC3339Nano))
		return
	}
	w.quote()
	if !t.IsZero() {
		w.b = d.append(w.b, t)
	}
	w.b = append(w.b, '"')
}

func (w *csvRow) number(n int64) {
	w.quote()
	if n < 0 {
		w.b = append(w.b, '\'') // as cell does
	}
	w.b = append(strconv.AppendInt(w.b, n, 10), '"')
}

func (w *csvRow) quote() {
	if len(w.b) > w.from {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
}

// cell adds one quoted cell. Spreadsheets run a cell that begins like a
// formula, quoted or not, and every E.164 number begins with "+"; so such a
// cell gets an apostrophe in front, which they take for "this is text".
func (w *csvRow) cell(text string) {
	w.quote()
	if formula(text) {
		w.b = append(w.b, '\'')
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			w.b = append(w.b, '"', '"')
		case 0:
			// some readers end the file here
		default:
			w.b = append(w.b, c)
		}
	}
	w.b = append(w.b, '"')
}

func (w *csvRow) end() []byte { return append(w.b, '\r', '\n') }

// formula reports whether a spreadsheet may run a cell: one that begins with
// = + - @ (or their full-width forms), a tab, a line break, or with blanks or
// NUL before one of these.
func formula(text string) bool {
	if text == "" || text[0] >= '0' && text[0] <= '9' || text[0] >= 'A' && text[0] <= 'Z' || text[0] >= 'a' && text[0] <= 'z' {
		return false // which nearly all are
	}
	text = strings.TrimLeft(text, "\x00") // which cell leaves out
	if strings.IndexAny(text, "\t\r\n") == 0 {
		return true
	}
	text = strings.TrimLeft(text, " \x00\u00a0\ufeff\t\r\n")
	for _, lead := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(text, lead) {
			return true
		}
	}
	return false
}
