package server

import (
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/data"
)

// csvColumns is the header line of an export, in the order of csvWriter.call.
var csvColumns = []string{"id", "source", "instance", "native_id", "leg",
	"from_raw", "from_e164", "from_country", "to_raw", "to_e164", "to_country", "caller_name",
	"direction", "status", "start_time", "ring_time", "answer_time", "end_time", "duration_ms", "billsec_ms",
	"sip_code", "q850_cause", "stir_attest", "stir_verstat", "recording_refs", "consent_ref", "assumed",
	"versions", "ingest_time", "update_time", "list_time", "region"}

func (w *csvWriter) begin() error {
	for _, c := range csvColumns {
		w.cell(c)
	}
	return w.end()
}

func (w *csvWriter) call(c data.Call) error {
	stir := data.STIR{}
	if c.STIR != nil {
		stir = *c.STIR
	}
	for _, text := range []string{c.ID, c.Source, c.Instance, c.NativeID, c.Leg,
		c.From.Raw, c.From.E164, c.From.Country, c.To.Raw, c.To.E164, c.To.Country, c.CallerName,
		c.Direction, c.Status, cellTime(c.StartTime), cellTime(c.RingTime), cellTime(c.AnswerTime), cellTime(c.EndTime),
		strconv.FormatInt(c.DurationMS, 10), strconv.FormatInt(c.BillsecMS, 10),
		strconv.Itoa(c.SIPCode), strconv.Itoa(c.Q850Cause), stir.Attest, stir.Verstat,
		strings.Join(c.RecordingRefs, " "), c.ConsentRef, strings.Join(c.Assumed, " "),
		strconv.Itoa(c.Versions), cellTime(&c.IngestTime), cellTime(&c.UpdateTime), cellTime(&c.ListTime), c.Region} {
		w.cell(text)
	}
	return w.end()
}

func cellTime(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// cell adds one quoted cell. Spreadsheets run a cell that begins like a
// formula, quoted or not, and every E.164 number begins with "+"; so such a
// cell gets an apostrophe in front, which they take for "this is text".
func (w *csvWriter) cell(text string) {
	if len(w.row) > 0 {
		w.row = append(w.row, ',')
	}
	w.row = append(w.row, '"')
	if formula(text) {
		w.row = append(w.row, '\'')
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			w.row = append(w.row, '"', '"')
		case 0:
			// some readers end the file here
		default:
			w.row = append(w.row, c)
		}
	}
	w.row = append(w.row, '"')
}

func (w *csvWriter) end() error {
	w.row = append(w.row, '\r', '\n')
	_, err := w.w.Write(w.row)
	w.row = w.row[:0]
	return err
}

// formula reports whether a spreadsheet may run a cell: one that begins with
// = + - @ (or their full-width forms), a tab, a line break, or with blanks or
// NUL before one of these.
func formula(text string) bool {
	if text == "" {
		return false
	}
	if strings.ContainsRune("\t\r\n", rune(text[0])) {
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
