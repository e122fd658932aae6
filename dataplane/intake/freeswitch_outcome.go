package intake

import (
	"strconv"
	"strings"

	"github.com/domicile-io/domicile/dataplane/record"
)

// causes are FreeSWITCH's names of how an unanswered call ended; others failed.
var causes = map[string]record.Status{
	"USER_BUSY":         record.Busy,
	"NO_ANSWER":         record.NoAnswer,
	"NO_USER_RESPONSE":  record.NoAnswer,
	"ALLOTTED_TIMEOUT":  record.NoAnswer,
	"NORMAL_CLEARING":   record.NoAnswer,
	"ORIGINATOR_CANCEL": record.Canceled,
	"LOSE_RACE":         record.Canceled,
	"PICKED_OFF":        record.Canceled,
}

// outcome reads status, codes, call authentication and recordings.
func (f *fsRecord) outcome(r *record.Record) {
	r.Q850 = code(f.vars["hangup_cause_q850"], 1, 127)
	r.SIPCode = code(first(f.vars["sip_term_status"], f.vars["sip_invite_failure_status"],
		strings.TrimPrefix(f.vars["proto_specific_hangup_cause"], "sip:")), 100, 699)
	cause := f.vars["hangup_cause"]
	switch {
	case !r.Answer.IsZero():
		r.Status = record.Completed // a leg is posted at its end
	case causes[cause] != "":
		r.Status = causes[cause]
	case cause != "":
		r.Status = record.Failed
	default:
		r.Status = q850Status(r.Q850)
	}
	r.STIR = stirOf(f.vars["sip_verstat"], first(f.vars["sip_stir_shaken_attest"], f.vars["stir_shaken_attest"]))
	for _, name := range f.names {
		if strings.HasPrefix(name, "record_file") && f.vars[name] != "" && len(r.RecordingRefs) < MaxRefs {
			r.RecordingRefs = append(r.RecordingRefs, clip(f.vars[name]))
		}
	}
}

// q850Status reads the cause (ITU-T Q.850) of a call that nobody answered.
func q850Status(cause int) record.Status {
	switch cause {
	case 0:
		return ""
	case 16, 18, 19:
		return record.NoAnswer
	case 17:
		return record.Busy
	}
	return record.Failed
}

// code reads a number within limits; 0 when it is none, because a source's odd
// code is no reason to quarantine its call.
func code(text string, low, high int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0
	}
	return n
}

// stirOf reads a verstat (ATIS-1000074), whose last letter is the attestation
// where the source gives none itself.
func stirOf(verstat, attest string) record.STIR {
	s := record.STIR{Verstat: verstat}
	if len(verstat) > maxSTIR {
		s.Verstat = ""
	}
	if attest == "" {
		_, attest, _ = strings.Cut(s.Verstat, "-Passed-")
	}
	switch attest = strings.ToUpper(attest); attest {
	case "A", "B", "C":
		s.Attest = attest
	}
	return s
}
