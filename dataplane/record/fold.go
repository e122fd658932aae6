package record

import "strings"

// Parts says which kinds of Kamailio events are in a [View]; the other sources
// do not use it. It is kept beside the folded record so that the fold of the
// next event does not depend on the order of the earlier ones.
type Parts uint8

// The parts.
const (
	PartInvite Parts = 1 << iota // an acc record of an INVITE
	PartAcc                      // an acc record of another method
	PartCDR                      // a cdr record
)

// View is the fold of all versions and events of one call so far.
type View struct {
	Record Record
	Parts  Parts
}

// NewView is the fold of a call's first event.
func NewView(r Record) View { return View{Record: r, Parts: partOf(&r)} }

// Fold folds the next event or version of the same call into the view
// (contract §6):
//
//   - Kamailio: acc and cdr events merge field by field, whatever their order.
//   - Twilio: the highest sequence number wins whole; a late lower one changes
//     nothing; of equals the later arrival wins.
//   - FreeSWITCH, Asterisk, native: the later version replaces the earlier.
//
// Fold is pure and changes neither argument.
func (v View) Fold(next Record) View {
	switch next.Key.Source {
	case Kamailio:
		return v.merge(next)
	case Twilio:
		if next.Sequence < v.Record.Sequence {
			return v
		}
	}
	return View{Record: next}
}

// FoldAll folds a call's events in order of arrival; it panics when there are none.
func FoldAll(events ...Record) View {
	v := NewView(events[0])
	for _, e := range events[1:] {
		v = v.Fold(e)
	}
	return v
}

func partOf(r *Record) Parts {
	switch {
	case r.Key.Source != Kamailio:
		return 0
	case strings.HasPrefix(r.Key.Event, "cdr"):
		return PartCDR
	case strings.HasPrefix(r.Key.Event, "acc/INVITE"):
		return PartInvite
	}
	return PartAcc
}

// merge joins two Kamailio events. What a cdr says of times wins over acc,
// because acc knows only when a transaction ended; the INVITE's final code says
// how the call ended, and a 2xx wins over the failures of earlier branches.
func (v View) merge(next Record) View {
	part := partOf(&next)
	out := View{Record: v.Record, Parts: v.Parts | part}
	r := &out.Record
	mergeTimes(r, v.Parts, &next, part)
	if better := part == PartInvite && (v.Parts&PartInvite == 0 || betterCode(next.SIPCode, r.SIPCode)); better {
		r.SIPCode, r.Status, r.Q850 = next.SIPCode, next.Status, next.Q850
		r.From, r.To = mergeParty(next.From, r.From), mergeParty(next.To, r.To)
		r.Native, r.NativeType, r.ContentHash, r.HashOfBytes = next.Native, next.NativeType, next.ContentHash, next.HashOfBytes
	} else {
		r.From, r.To = mergeParty(r.From, next.From), mergeParty(r.To, next.To)
		if v.Parts&PartInvite == 0 && part == PartCDR {
			// A dialog that has a cdr was established.
			r.SIPCode, r.Status = next.SIPCode, firstOf(next.Status, r.Status)
		}
	}
	fill(&r.CallerName, next.CallerName)
	fill(&r.STIR.Attest, next.STIR.Attest)
	fill(&r.STIR.OrigID, next.STIR.OrigID)
	fill(&r.STIR.Verstat, next.STIR.Verstat)
	fill(&r.STIR.SPC, next.STIR.SPC)
	fill(&r.ConsentRef, next.ConsentRef)
	r.Direction = firstOf(r.Direction, next.Direction)
	if len(r.RecordingRefs) == 0 {
		r.RecordingRefs = next.RecordingRefs
	}
	r.Primary = r.Primary || next.Primary
	r.AssumedZone = r.AssumedZone || next.AssumedZone
	r.AssumedCountry = r.AssumedCountry || next.AssumedCountry
	return out
}

// mergeTimes merges when things happened; had is what r was made of. A cdr of
// the same call replaces an earlier
// cdr; an acc fills what nobody has said, and its INVITE moves an acc's start.
func mergeTimes(r *Record, had Parts, next *Record, part Parts) {
	switch {
	case part == PartCDR:
		if !next.Start.IsZero() {
			r.Start = next.Start
		}
		if !next.Ring.IsZero() {
			r.Ring = next.Ring
		}
		if !next.Answer.IsZero() {
			r.Answer = next.Answer
		}
		if !next.End.IsZero() {
			r.End = next.End
		}
		r.Duration, r.Billsec = next.Duration, next.Billsec
	case had&PartCDR != 0:
		if r.Ring.IsZero() {
			r.Ring = next.Ring
		}
		if r.Answer.IsZero() {
			r.Answer = next.Answer
		}
	default:
		if r.Start.IsZero() || !next.Start.IsZero() && next.Start.Before(r.Start) {
			r.Start = next.Start
		}
		if r.Ring.IsZero() {
			r.Ring = next.Ring
		}
		if r.Answer.IsZero() {
			r.Answer = next.Answer
		}
		if next.End.After(r.End) {
			r.End = next.End
		}
		r.Duration, r.Billsec = max(r.Duration, next.Duration), max(r.Billsec, next.Billsec)
	}
}

// betterCode reports whether final response a says more of how a call ended
// than b: success first, then the higher code, so that order does not matter.
func betterCode(a, b int) bool {
	aOK, bOK := a/100 == 2, b/100 == 2
	if aOK != bOK {
		return aOK
	}
	return a > b
}

// mergeParty prefers a's words and takes from b what a does not have.
func mergeParty(a, b Party) Party {
	if a.Anonymous() || a.E164 == "" && b.E164 != "" {
		return b
	}
	return a
}

func fill(dst *string, with string) {
	if *dst == "" {
		*dst = with
	}
}

func firstOf[T ~string](a, b T) T {
	if a != "" {
		return a
	}
	return b
}
