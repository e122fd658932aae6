package server

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"unsafe"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// lineFile writes calls as NDJSON: the very bytes that encoding/json makes of their
// form (callForm), without making one and without reflection, which together took
// most of an export's time. Tests hold the two to each other, and fail for a field
// that is missing here.
type lineFile struct {
	region string
	days   days
}

func (*lineFile) begin(b []byte) []byte { return b }

func (l *lineFile) call(b []byte, c *store.Call, revision uint64) (_ []byte, err error) {
	b, err = l.appendCall(b, c, revision)
	return append(b, '\n'), err
}

func (l *lineFile) appendCall(b []byte, c *store.Call, revision uint64) ([]byte, error) {
	r := &c.Record
	b = appendText(b, `{"id":"`, c.ID)
	b = appendText(b, `,"source":"`, string(r.Key.Source))
	b = appendText(b, `,"instance":"`, r.Key.Instance)
	b = appendText(b, `,"native_id":"`, r.Key.NativeID)
	b = appendSome(b, `,"leg":"`, r.Key.Leg)
	b = appendParty(append(b, `,"from":`...), &r.From)
	b = appendParty(append(b, `,"to":`...), &r.To)
	b = appendSome(b, `,"caller_name":"`, r.CallerName)
	b = appendSome(b, `,"direction":"`, string(r.Direction))
	b = appendSome(b, `,"status":"`, string(r.Status))
	for _, t := range [...]moment{{`,"start_time":"`, r.Start}, {`,"ring_time":"`, r.Ring}, {`,"answer_time":"`, r.Answer}, {`,"end_time":"`, r.End}} {
		if !t.at.IsZero() {
			b = l.append(b, t)
		}
	}
	b = strconv.AppendInt(append(b, `,"duration_ms":`...), r.Duration.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"billsec_ms":`...), r.Billsec.Milliseconds(), 10)
	b = appendCode(b, `,"sip_code":`, int64(r.SIPCode))
	b = appendCode(b, `,"q850_cause":`, int64(r.Q850))
	b = appendSTIR(b, &r.STIR)
	b = appendTexts(b, `,"recording_refs":["`, r.RecordingRefs)
	b = appendSome(b, `,"consent_ref":"`, r.ConsentRef)
	b = appendAssumed(b, r)
	b = strconv.AppendInt(append(b, `,"versions":`...), int64(c.Versions), 10)
	for _, t := range [...]moment{{`,"ingest_time":"`, c.IngestedAt}, {`,"update_time":"`, c.UpdatedAt}, {`,"list_time":"`, c.ListedAt}} {
		b = l.append(b, t)
	}
	b = appendText(b, `,"region":"`, l.region)
	if revision != 0 {
		b = strconv.AppendUint(append(b, `,"policy_revision":`...), revision, 10)
	}
	return append(b, '}'), l.days.bad
}

func (l *lineFile) append(b []byte, t moment) []byte {
	return append(l.days.append(append(b, t.name...), t.at), '"')
}

// appendCode writes a number that is left out when it is 0.
func appendCode(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, name...), n, 10)
}

func appendSTIR(b []byte, s *record.STIR) []byte {
	if *s == (record.STIR{}) {
		return b
	}
	b = append(b, `,"stir":`...)
	from := len(b)
	b = appendSome(b, `,"attest":"`, s.Attest)
	b = appendSome(b, `,"orig_id":"`, s.OrigID)
	b = appendSome(b, `,"verstat":"`, s.Verstat)
	return append(begun(appendSome(b, `,"spc":"`, s.SPC), from, '{'), '}')
}

func appendAssumed(b []byte, r *record.Record) []byte {
	if !r.AssumedZone && !r.AssumedCountry {
		return b
	}
	b = append(b, `,"assumed":`...)
	from := len(b)
	if r.AssumedZone {
		b = append(b, `,"time_zone"`...)
	}
	if r.AssumedCountry {
		b = append(b, `,"country"`...)
	}
	return append(begun(b, from, '['), ']')
}

func appendParty(b []byte, p *record.Party) []byte {
	from := len(b)
	b = appendSome(b, `,"raw":"`, p.Raw)
	b = appendSome(b, `,"e164":"`, p.E164)
	b = appendSome(b, `,"country":"`, p.Country)
	return append(begun(appendSome(b, `,"subject_id":"`, p.Subject), from, '{'), '}')
}

// begun puts the brace that begins an object in the place of the comma before its
// first member, which stands at from if there is one.
func begun(b []byte, from int, brace byte) []byte {
	if len(b) == from {
		return append(b, brace)
	}
	b[from] = brace
	return b
}

// appendSome writes a member that is left out when it is empty; name has the comma,
// the colon and the quote behind it.
func appendSome(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(b, name, s)
}

func appendTexts(b []byte, name string, all []string) []byte {
	if len(all) == 0 {
		return b
	}
	for _, s := range all {
		b = appendText(b, name, s)
		name = `,"`
	}
	return append(b, ']')
}

// escaped marks the bytes that a JSON string cannot hold, or that encoding/json escapes.
var escaped = func() (out [256]bool) {
	for c := range out {
		out[c] = c < ' ' || c > 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&'
	}
	return out
}()

// appendText writes a name that ends with a quote, and a string behind that quote; one
// that needs escapes is left to encoding/json.
func appendText(b []byte, name, s string) []byte {
	b = append(b, name...)
	if !plainText(s) {
		quoted, _ := json.Marshal(s) // a string does not fail
		return append(b, quoted[1:]...)
	}
	return append(append(b, s...), '"')
}

// Eight bytes at once: highs are their highest bits.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// plainText reports whether no byte of s is escaped. It is asked of every byte of an
// export, so that it looks at eight at a time, the last eight twice.
func plainText(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if escaped[s[i]] {
				return false
			}
		}
		return true
	}
	raw := unsafe.Slice(unsafe.StringData(s), len(s))
	all := plainEight(binary.LittleEndian.Uint64(raw[len(raw)-8:]))
	for ; len(raw) > 8; raw = raw[8:] {
		all &= plainEight(binary.LittleEndian.Uint64(raw))
	}
	return all&highs == highs
}

// plainEight keeps the highest bit of each byte that is not escaped. Subtracting from
// a byte whose highest bit is set takes nothing from the next one; that bit goes when
// the byte below it was less than what is subtracted: than a space, or than 1 where
// the byte is one of those that it is compared with. " and & are one bit apart, and so
// are < and >.
func plainEight(w uint64) uint64 {
	h := w | highs
	return (h - ' '*ones) & ((h ^ '\\'*ones) - ones) &
		(((h | 4*ones) ^ '&'*ones) - ones) & (((h | 2*ones) ^ '>'*ones) - ones) &^ w
}
