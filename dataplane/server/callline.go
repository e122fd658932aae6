package server

import (
	"time"

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
	same   sameText
}

func (*lineFile) begin(b []byte) []byte { return b }

func (l *lineFile) call(b []byte, c *store.Call, revision uint64) (_ []byte, err error) {
	b, err = l.appendCall(b, c, revision)
	return append(b, '\n'), err
}

func (l *lineFile) appendCall(b []byte, c *store.Call, revision uint64) ([]byte, error) {
	r := &c.Record
	b = appendText(b, &nameID, c.ID)
	b = appendValue(l.same.origin(b, &r.Key), r.Key.NativeID)
	b = appendSome(b, &nameLeg, r.Key.Leg)
	b = appendParty(nameFrom.put(b, 0), &r.From)
	b = appendParty(nameTo.put(b, 0), &r.To)
	b = appendSome(b, &nameCaller, r.CallerName)
	b = appendSome(b, &nameDirection, string(r.Direction))
	b = appendSome(b, &nameStatus, string(r.Status))
	start := len(b) + nameStart.size
	b = l.time(b, &nameStart, r.Start)
	end := len(b)
	b = l.time(b, &nameRing, r.Ring)
	b = l.time(b, &nameAnswer, r.Answer)
	b = l.time(b, &nameEnd, r.End)
	b = appendNumber(nameDuration.put(b, numberRoom), r.Duration.Milliseconds())
	b = appendNumber(nameBillsec.put(b, numberRoom), r.Billsec.Milliseconds())
	b = appendCode(b, &nameSIP, int64(r.SIPCode))
	b = appendCode(b, &nameQ850, int64(r.Q850))
	b = appendSTIR(b, &r.STIR)
	b = appendTexts(b, r.RecordingRefs)
	b = appendSome(b, &nameConsent, r.ConsentRef)
	b = appendAssumed(b, r)
	b = l.same.taken(b, &l.days, c)
	if c.ListedAt == r.Start && start < end { // as it is unless a call has no time of its own
		b = append(b, b[start:end]...)
	} else {
		b = append(l.days.append(b, c.ListedAt), '"')
	}
	return l.same.end(b, l.region, revision), l.days.bad
}

// time writes a member that is left out when it is zero.
func (l *lineFile) time(b []byte, name *member, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return append(l.days.append(name.put(b, timeRoom), t), '"')
}

// appendCode writes a number that is left out when it is 0.
func appendCode(b []byte, name *member, n int64) []byte {
	if n == 0 {
		return b
	}
	return appendNumber(name.put(b, numberRoom), n)
}

func appendSTIR(b []byte, s *record.STIR) []byte {
	if s.Attest == "" && s.OrigID == "" && s.Verstat == "" && s.SPC == "" {
		return b
	}
	b = nameSTIR.put(b, 0)
	from := len(b)
	b = appendSome(b, &nameAttest, s.Attest)
	b = appendSome(b, &nameOrigID, s.OrigID)
	b = appendSome(b, &nameVerstat, s.Verstat)
	return append(begun(appendSome(b, &nameSPC, s.SPC), from, '{'), '}')
}

func appendAssumed(b []byte, r *record.Record) []byte {
	if !r.AssumedZone && !r.AssumedCountry {
		return b
	}
	b = nameAssumed.put(b, 0)
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
	b = appendSome(b, &nameRaw, p.Raw)
	b = appendSome(b, &nameE164, p.E164)
	b = appendSome(b, &nameCountry, p.Country)
	return append(begun(appendSome(b, &nameSubject, p.Subject), from, '{'), '}')
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

func appendTexts(b []byte, all []string) []byte {
	if len(all) == 0 {
		return b
	}
	name := &nameRefs
	for _, s := range all {
		b = appendText(b, name, s)
		name = &nameNext
	}
	return append(b, ']')
}
