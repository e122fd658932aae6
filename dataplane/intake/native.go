package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// Limits of the native record's texts, in bytes.
const (
	maxID     = 256
	maxLeg    = 64
	maxName   = 1024
	maxRef    = 1024
	maxSTIR   = 256
	maxYears  = 200 // a plausible time is between 1970 and 1970+maxYears
	maxLength = 366 * 24 * time.Hour

	usualRefs = 8 // recording references of one record, for which there is room at once
)

// nativeFields are the names that POST /v1/calls takes, and no others.
var nativeFields = []string{
	"native_id", "leg", "from", "to", "caller_name", "direction", "status",
	"start_time", "ring_time", "answer_time", "end_time", "duration_ms", "billsec_ms",
	"sip_code", "q850_cause", "stir", "recording_refs", "consent_ref",
}

var stirFields = []string{"attest", "orig_id", "verstat", "spc"}

// nativeParser fills one record and gathers every bad field.
type nativeParser struct {
	rec      record.Record
	bad      []policy.FieldError
	seen     uint32
	position int
	next     int // of nativeFields: behind the last that was seen

	from, to          string
	duration, billsec time.Duration // -1: not given
}

func native(s Settings, raw []byte) (record.Record, error) {
	raw = bytes.Trim(raw, " \t\r\n")
	p := nativeParser{duration: -1, billsec: -1}
	// Nobody writes to raw again, and the record keeps it: its texts are parts of it.
	if err := parseObject(unsafe.String(unsafe.SliceData(raw), len(raw)), p.field); err != nil {
		return record.Record{}, policy.Errorf(policy.InvalidArgument, "the body is refused: %v; send one JSON object in UTF-8", err)
	}
	p.finish()
	if len(p.bad) > 0 {
		e := policy.Errorf(policy.InvalidArgument, "%d fields of the call are missing, unknown or bad; correct them and send it again", len(p.bad))
		e.Fields = p.bad
		return record.Record{}, e
	}
	r := &p.rec
	r.Key.Source, r.Key.Instance = record.Native, s.Instance
	r.CallKey = r.Key.NativeID
	if r.Key.Leg != "" {
		// Each leg is a call of its own; the separator cannot be in an id.
		r.CallKey += "\x1f" + r.Key.Leg
	}
	r.Primary = true
	s.parties(r, p.from, p.to)
	s.seal(r, raw, "application/json")
	return p.rec, nil
}

// seal keeps the payload and its hash with the record, and what was assumed.
func (s *Settings) seal(r *record.Record, raw []byte, contentType string) {
	r.ContentHash, r.HashOfBytes = sha256.Sum256(raw), true
	r.Native, r.NativeType = raw, contentType
}

func hashOf(s string) [32]byte { return sha256.Sum256([]byte(s)) }

// parties reads both ends. The country counts as assumed only where a number
// needed one, also when that country has no such number.
func (s *Settings) parties(r *record.Record, from, to string) {
	r.From = s.Numbers.Party(from, s.DefaultCountry)
	r.To = s.Numbers.Party(to, s.DefaultCountry)
	r.AssumedCountry = s.AssumedCountry && (isNational(r.From.Raw) || isNational(r.To.Raw))
}

func (p *nativeParser) refuse(field, message string) {
	if len(p.bad) < 2*len(nativeFields) {
		p.bad = append(p.bad, policy.FieldError{Field: field, Message: message})
	}
}

func (p *nativeParser) field(c *cursor, key string) error {
	p.position++
	at := p.next // most senders keep to the order
	if at >= len(nativeFields) || nativeFields[at] != key {
		at = slices.Index(nativeFields, key)
	}
	p.next = at + 1
	if at < 0 {
		// The name may itself be personal, so it is told by its place.
		p.refuse("(field "+strconv.Itoa(p.position)+")", "is not a field of a call; the fields are "+strings.Join(nativeFields, ", "))
		return c.skip()
	}
	if p.seen&(1<<at) != 0 {
		p.refuse(key, "is given twice")
		return c.skip()
	}
	p.seen |= 1 << at
	r := &p.rec
	switch key {
	case "native_id":
		return p.text(c, key, maxID, &r.Key.NativeID)
	case "leg":
		return p.text(c, key, maxLeg, &r.Key.Leg)
	case "from":
		return p.text(c, key, maxID, &p.from)
	case "to":
		return p.text(c, key, maxID, &p.to)
	case "caller_name":
		return p.text(c, key, maxName, &r.CallerName)
	case "direction":
		return p.text(c, key, maxLeg, (*string)(&r.Direction))
	case "status":
		return p.text(c, key, maxLeg, (*string)(&r.Status))
	case "start_time":
		return p.time(c, key, &r.Start)
	case "ring_time":
		return p.time(c, key, &r.Ring)
	case "answer_time":
		return p.time(c, key, &r.Answer)
	case "end_time":
		return p.time(c, key, &r.End)
	case "duration_ms":
		return p.millis(c, key, &p.duration)
	case "billsec_ms":
		return p.millis(c, key, &p.billsec)
	case "sip_code":
		return p.code(c, key, 100, 699, &r.SIPCode)
	case "q850_cause":
		return p.code(c, key, 1, 127, &r.Q850)
	case "stir":
		return p.stir(c)
	case "recording_refs":
		return p.refs(c)
	}
	return p.text(c, key, maxID, &r.ConsentRef)
}

func (p *nativeParser) text(c *cursor, name string, limit int, dst *string) error {
	if !simple(c) {
		p.refuse(name, "must be a string")
		return c.skip()
	}
	text, kind, err := c.scalar()
	switch {
	case err != nil:
		return err
	case kind != kindText && kind != kindNull:
		p.refuse(name, "must be a string")
	case len(text) > limit:
		p.refuse(name, "is longer than "+strconv.Itoa(limit)+" bytes")
	case hasControl(text):
		p.refuse(name, "must not hold control characters")
	default:
		*dst = text
	}
	return nil
}

// hasControl reports control characters: no name or id needs them, and logs and
// terminals obey them.
func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// simple reports whether the next value is no object or array.
func simple(c *cursor) bool { b := c.next(); return b != '{' && b != '[' }

func (p *nativeParser) time(c *cursor, name string, dst *time.Time) error {
	var text string
	before := len(p.bad)
	if err := p.text(c, name, maxLeg, &text); err != nil || text == "" || len(p.bad) > before {
		return err
	}
	t, err := time.Parse(time.RFC3339, text)
	if t, ok := plausible(t); ok && err == nil {
		*dst = t
		return nil
	}
	p.refuse(name, "must be an RFC 3339 time with a zone, from 1970 on")
	return nil
}

// plausible cuts a time to what a record keeps: UTC microseconds.
func plausible(t time.Time) (time.Time, bool) {
	t = t.UTC().Truncate(time.Microsecond)
	return t, t.Unix() > 0 && t.Year() < 1970+maxYears
}

func (p *nativeParser) number(c *cursor, name string, low, high int64, dst *int64) error {
	if !simple(c) {
		p.refuse(name, "must be a whole number")
		return c.skip()
	}
	text, kind, err := c.scalar()
	if err != nil || kind == kindNull {
		return err
	}
	n, bad := strconv.ParseInt(text, 10, 64)
	switch {
	case kind != kindNumber || bad != nil:
		p.refuse(name, "must be a whole number")
	case n != 0 && (n < low || n > high):
		p.refuse(name, fmt.Sprintf("must be 0, or from %d to %d", low, high))
	default:
		*dst = n
	}
	return nil
}

func (p *nativeParser) millis(c *cursor, name string, dst *time.Duration) error {
	n := int64(-1)
	err := p.number(c, name, 0, maxLength.Milliseconds(), &n)
	if n >= 0 {
		*dst = time.Duration(n) * time.Millisecond
	}
	return err
}

func (p *nativeParser) code(c *cursor, name string, low, high int64, dst *int) error {
	var n int64
	err := p.number(c, name, low, high, &n)
	*dst = int(n)
	return err
}

func (p *nativeParser) stir(c *cursor) error {
	if c.next() != '{' {
		_, kind, err := c.scalarOrSkip()
		if kind != kindNull {
			p.refuse("stir", "must be an object")
		}
		return err
	}
	var seen uint8
	return c.object(func(c *cursor, key string) error {
		at := slices.Index(stirFields, key)
		if at < 0 || seen&(1<<at) != 0 {
			p.refuse("stir", "has an unknown field, or one twice; its fields are "+strings.Join(stirFields, ", "))
			return c.skip()
		}
		seen |= 1 << at
		st := &p.rec.STIR
		return p.text(c, "stir."+key, maxSTIR, []*string{&st.Attest, &st.OrigID, &st.Verstat, &st.SPC}[at])
	})
}

func (p *nativeParser) refs(c *cursor) error {
	if c.next() != '[' {
		_, kind, err := c.scalarOrSkip()
		if kind != kindNull {
			p.refuse("recording_refs", "must be a list of strings")
		}
		return err
	}
	if p.rec.RecordingRefs == nil {
		p.rec.RecordingRefs = make([]string, 0, usualRefs)
	}
	err := c.array(func(c *cursor) error {
		var ref string
		if err := p.text(c, "recording_refs", maxRef, &ref); err != nil {
			return err
		}
		if ref != "" && len(p.rec.RecordingRefs) <= MaxRefs {
			p.rec.RecordingRefs = append(p.rec.RecordingRefs, ref)
		}
		return nil
	})
	if len(p.rec.RecordingRefs) == 0 {
		p.rec.RecordingRefs = nil
	}
	if len(p.rec.RecordingRefs) > MaxRefs {
		p.refuse("recording_refs", "has more than "+strconv.Itoa(MaxRefs)+" entries")
	}
	return err
}

// scalarOrSkip reads a scalar, or skips what is none and calls it a text.
func (c *cursor) scalarOrSkip() (string, int, error) {
	if !simple(c) {
		return "", kindText, c.skip()
	}
	return c.scalar()
}

// finish checks what concerns several fields and works out what was not given.
func (p *nativeParser) finish() {
	r := &p.rec
	if r.Key.NativeID == "" {
		p.refuse("native_id", "is required: the id of the call at its source, 1 to "+strconv.Itoa(maxID)+" bytes")
	}
	if r.Direction != record.Unknown && !slices.Contains(directions, r.Direction) {
		p.refuse("direction", "must be inbound, outbound or internal")
	}
	if r.Status != "" && !slices.Contains(statuses, r.Status) {
		p.refuse("status", "must be queued, ringing, in-progress, completed, busy, failed, no-answer or canceled")
	}
	if a := r.STIR.Attest; a != "" && a != "A" && a != "B" && a != "C" {
		p.refuse("stir.attest", "must be A, B or C")
	}
	if before(r.End, r.Start) || before(r.End, r.Answer) {
		p.refuse("end_time", "is before the start or the answer")
	}
	if before(r.Answer, r.Start) {
		p.refuse("answer_time", "is before the start")
	}
	r.Duration, r.Billsec = span(r.Start, r.End), span(r.Answer, r.End)
	if p.duration >= 0 {
		r.Duration = p.duration
	}
	if p.billsec >= 0 {
		r.Billsec = p.billsec
	}
}

var (
	directions = []record.Direction{record.Inbound, record.Outbound, record.Internal}
	statuses   = []record.Status{record.Queued, record.Ringing, record.InProgress, record.Completed,
		record.Busy, record.Failed, record.NoAnswer, record.Canceled}
)

// before reports that both happened, in the wrong order.
func before(a, b time.Time) bool { return !a.IsZero() && !b.IsZero() && a.Before(b) }

// span is the time between two moments, 0 when one is not known or they are reversed.
func span(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return max(0, to.Sub(from))
}

func ndjson(ctx context.Context, s Settings, body io.Reader, yield func(Item) error) error {
	sp := newSplitter(body)
	err := eachJSON(ctx, sp, func(raw []byte) error {
		rec, err := native(s, raw)
		if err != nil {
			return yieldError(yield, Item{Err: contentProblem(err), Raw: raw, ContentType: "application/json"})
		}
		return yieldError(yield, Item{Record: rec, Raw: raw, ContentType: "application/json"})
	})
	var own *yielded
	if errors.As(err, &own) {
		return own.err
	}
	return batchError(err)
}

// yielded marks an error of the caller's yield, which is returned untouched.
type yielded struct{ err error }

func (y *yielded) Error() string { return y.err.Error() }

func yieldError(yield func(Item) error, it Item) error {
	if err := yield(it); err != nil {
		return &yielded{err}
	}
	return nil
}

// contentProblem names the bad fields, which are names of ours, for quarantine.
func contentProblem(err error) Problem {
	var e *policy.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return ProblemJSON
	}
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = f.Field
	}
	slices.Sort(names)
	return ProblemContent + Problem(": "+strings.Join(slices.Compact(names), ", "))
}
