package intake

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/domicile-io/domicile/dataplane/record"
)

// Asterisk's cdr_csv appends rows without a header, in local time; newer
// versions' cdr_custom can write JSON lines instead.
func (p *parser) asterisk() error {
	if b := p.in.peek(); b == '{' || b == '[' {
		return p.json(p.asteriskJSON)
	}
	for {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if !p.in.more() {
			return p.in.failed()
		}
		raw, cols, err := p.row()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var problem Problem
		if err != nil && !errors.As(err, &problem) {
			return err
		}
		var r record.Record
		if err == nil {
			r, err = p.asteriskRow(raw, cols)
		}
		if err := p.item(r, raw, typeCSV, err); err != nil {
			return err
		}
	}
}

// The number of columns: 16 always, then by configuration uniqueid, userfield,
// and a sequence, or peeraccount, linkedid and sequence.
const (
	minColumns = 16
	maxColumns = 21
)

// maxRowLines is how many lines a row may have whose quoted text holds line
// ends. A row that lost a quote must not swallow the good rows after it.
const maxRowLines = 8

// row consumes one row: a line, or the few lines over which its quotes close.
func (p *parser) row() (raw []byte, cols []string, err error) {
	firstEnd, firstEnding := -1, 0
	for n, lines := 0, 0; lines < maxRowLines; lines++ {
		end, ending, err := p.in.lineEnd(n)
		if err != nil && lines > 0 {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if lines == 0 {
			firstEnd, firstEnding = end, ending
		}
		if end > MaxRow {
			break
		}
		text := bytes.TrimRight(p.in.held()[:end], "\r")
		if cols, err = splitRow(string(text)); err == nil {
			_, _ = p.in.take(end, ending)
			return text, cols, nil
		}
		if !errors.Is(err, errOpenQuote) || ending == 0 {
			break
		}
		n = end + ending
	}
	raw, err = p.in.take(firstEnd, firstEnding)
	switch {
	case err != nil:
		return nil, nil, err
	case len(raw) > MaxRow:
		return raw, nil, ProblemLongRow
	}
	return bytes.TrimRight(raw, "\r"), nil, ProblemCSV
}

// errOpenQuote: the row ends inside quotes.
var errOpenQuote = errors.New("open quote")

// splitRow cuts a row as cdr_csv writes it: texts in quotes with "" for a
// quote, numbers and missing dates bare.
func splitRow(s string) ([]string, error) {
	cols := make([]string, 0, maxColumns)
	for {
		if len(cols) == maxColumns {
			return nil, ProblemColumns
		}
		if !strings.HasPrefix(s, `"`) {
			text, rest, more := strings.Cut(s, ",")
			if strings.Contains(text, `"`) {
				return nil, ProblemCSV
			}
			if cols = append(cols, text); !more {
				return cols, nil
			}
			s = rest
			continue
		}
		end := closingQuote(s)
		if end < 0 {
			return nil, errOpenQuote
		}
		cols = append(cols, strings.ReplaceAll(s[1:end], `""`, `"`))
		switch s = s[end+1:]; {
		case s == "":
			return cols, nil
		case s[0] != ',':
			return nil, ProblemCSV
		}
		s = s[1:]
	}
}

// closingQuote finds the quote that ends the text that s begins with, or -1.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			i++
			continue
		}
		return i
	}
	return -1
}

// asteriskCDR is one CDR, from a row or a JSON object.
type asteriskCDR struct {
	src, dst, clid, channel, dstChannel string
	start, answer, end                  string
	duration, billsec, disposition      string
	uniqueID, sequence                  string
}

// uniqueIDs are "epoch.number", behind the system's name where one is set.
var uniqueIDs = regexp.MustCompile(`^(?:\S{1,100}-)?[0-9]{9,11}\.[0-9]{1,10}$`)

func (p *parser) asteriskRow(raw []byte, c []string) (record.Record, error) {
	if len(c) < minColumns {
		return record.Record{}, ProblemColumns
	}
	a := asteriskCDR{src: c[1], dst: c[2], clid: c[4], channel: c[5], dstChannel: c[6],
		start: c[9], answer: c[10], end: c[11], duration: c[12], billsec: c[13], disposition: c[14]}
	extra := c[minColumns:]
	if len(extra) > 0 && uniqueIDs.MatchString(extra[0]) {
		a.uniqueID, extra = extra[0], extra[1:]
	}
	if len(extra) >= 2 {
		a.sequence = extra[len(extra)-1]
	}
	return p.asteriskRecord(raw, typeCSV, a)
}

func (p *parser) asteriskJSON(raw []byte) (record.Record, error) {
	raw = trimmed(raw)
	f, err := flat(raw)
	if err != nil {
		return record.Record{}, err
	}
	return p.asteriskRecord(raw, typeJSON, asteriskCDR{src: f["src"], dst: f["dst"], clid: f["clid"],
		channel: f["channel"], dstChannel: f["dstchannel"], start: f["start"], answer: f["answer"], end: f["end"],
		duration: f["duration"], billsec: f["billsec"], disposition: f["disposition"],
		uniqueID: f["uniqueid"], sequence: f["sequence"]})
}

func (p *parser) asteriskRecord(raw []byte, contentType string, a asteriskCDR) (record.Record, error) {
	r := record.Record{Primary: true}
	if !utf8.Valid(raw) {
		return r, ProblemText
	}
	id := first(a.uniqueID, a.channel)
	leg := a.sequence
	if leg == "" || a.uniqueID == "" {
		leg = a.dstChannel + "/" + a.start
	}
	if id == "" || len(id)+len(leg) > maxID {
		return r, ProblemNoID
	}
	r.Key = record.Key{Source: p.Source, Instance: p.Instance, NativeID: id, Leg: leg}
	r.CallKey = id + "\x1f" + leg
	var err error
	if r.Status, err = disposition(a.disposition); err != nil {
		return r, err
	}
	if r.Duration, err = decimalSeconds(first(a.duration, "0")); err != nil {
		return r, err
	}
	if r.Billsec, err = decimalSeconds(first(a.billsec, "0")); err != nil {
		return r, err
	}
	if err := p.asteriskTimes(&r, a); err != nil {
		return r, err
	}
	p.parties(&r, a.src, a.dst)
	if name, _, ok := strings.Cut(a.clid, " <"); ok && r.From.Raw != "" {
		if name = strings.Trim(name, `"`); name != r.From.Raw {
			r.CallerName = clip(name)
		}
	}
	p.seal(&r, raw, contentType)
	return r, nil
}

// disposition reads Asterisk's word, or its number in JSON that asks for one
// (cdr.h: a set of bits).
func disposition(s string) (record.Status, error) {
	switch strings.ToUpper(s) {
	case "ANSWERED", "8":
		return record.Completed, nil
	case "NO ANSWER", "NOANSWER", "0", "1":
		return record.NoAnswer, nil
	case "BUSY", "4":
		return record.Busy, nil
	case "FAILED", "CONGESTION", "2", "16":
		return record.Failed, nil
	case "":
		return "", nil
	}
	return "", ProblemStatus
}

// asteriskTimes reads the three dates. Where the clock was moved, local times
// have two readings or none; the durations, which Asterisk counts itself, say
// which is meant.
func (p *parser) asteriskTimes(r *record.Record, a asteriskCDR) error {
	start, err := p.readings(r, a.start)
	if err != nil || len(start) == 0 {
		return ProblemTime
	}
	answer, err := p.readings(r, a.answer)
	if err != nil {
		return err
	}
	end, err := p.readings(r, a.end)
	if err != nil {
		return err
	}
	r.Start, r.End = fit(start, end, r.Duration)
	if len(answer) == 0 {
		return nil
	}
	r.Answer = answer[0]
	if !r.End.IsZero() {
		r.Answer, _ = fit(answer, []time.Time{r.End}, r.Billsec)
	}
	return nil
}

// fit chooses the pair that is apart by want, give or take the second that
// rounding costs; else the earliest of each. No end gives the earliest start.
func fit(starts, ends []time.Time, want time.Duration) (start, end time.Time) {
	for _, s := range starts {
		for _, e := range ends {
			if d := e.Sub(s) - want; d >= -time.Second && d <= time.Second {
				return s, e
			}
		}
	}
	if len(ends) > 0 {
		end = ends[0]
	}
	return starts[0], end
}

// readings are the moments that a date can mean, the earliest first; none for
// an empty date. A zone in the text settles it.
func (p *parser) readings(r *record.Record, text string) ([]time.Time, error) {
	if text == "" {
		return nil, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05-0700", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			if t, ok := plausible(t); ok {
				return []time.Time{t}, nil
			}
			return nil, ProblemTime
		}
	}
	wall, err := time.Parse("2006-01-02 15:04:05", strings.Replace(text, "T", " ", 1))
	if err != nil {
		return nil, ProblemTime
	}
	if _, ok := plausible(wall.AddDate(0, 0, -1)); !ok {
		return nil, ProblemTime
	}
	r.AssumedZone = p.AssumedZone
	return localTimes(wall, p.Location), nil
}

// localTimes are the moments at which a clock in zone shows wall (a date in
// UTC). In an overlap there are two. In a gap there is none, and what a clock
// would show that was not yet, or already, moved stands in: two again. The
// standard library's choice in both cases is not specified.
func localTimes(wall time.Time, zone *time.Location) []time.Time {
	if zone == nil {
		return []time.Time{wall}
	}
	_, before := wall.Add(-24 * time.Hour).In(zone).Zone()
	_, after := wall.Add(24 * time.Hour).In(zone).Zone()
	if before == after {
		return []time.Time{wall.Add(-time.Duration(before) * time.Second)}
	}
	var fits, all []time.Time
	for _, offset := range []int{max(before, after), min(before, after)} {
		t := wall.Add(-time.Duration(offset) * time.Second)
		all = append(all, t)
		if _, o := t.In(zone).Zone(); o == offset {
			fits = append(fits, t)
		}
	}
	if len(fits) > 0 {
		return fits
	}
	return all
}
