package intake

import (
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
)

// Kamailio's acc_json posts an accounting record per transaction ("acc") and a
// call record per dialog ("cdr"), flat objects whose extra fields the operator
// names. Both carry the call-id, which folds them into one call. The fields
// of an object say which it is, whatever path it was posted to.
func (p *parser) kamailio() error { return p.json(p.kamailioRecord) }

// flat reads an object whose values are scalars, all as text; nested values are
// skipped, and of a repeated key the first counts.
func flat(raw []byte) (map[string]string, error) {
	out := map[string]string{}
	err := parseObject(string(raw), func(c *cursor, key string) error {
		var value string
		if err := c.leaf(&value); err != nil {
			return err
		}
		if len(out) >= MaxPairs {
			return ProblemContent
		}
		if _, twice := out[key]; !twice {
			out[key] = value
		}
		return nil
	})
	return out, err
}

func (p *parser) kamailioRecord(raw []byte) (record.Record, error) {
	raw = trimmed(raw)
	f, err := flat(raw)
	if err != nil {
		return record.Record{}, err
	}
	r := record.Record{Primary: true}
	r.CallKey = first(f["callid"], f["call_id"], f["ci"])
	if r.CallKey == "" || len(r.CallKey) > maxID {
		return r, ProblemNoID
	}
	r.Key = record.Key{Source: p.Source, Instance: p.Instance, NativeID: r.CallKey}
	isCDR := f["start_time"] != "" || f["end_time"] != ""
	isAcc := f["method"] != ""
	switch {
	case isCDR && (p.path != "acc" || !isAcc): // the path settles only what the fields do not
		err = p.cdr(&r, f)
	case isAcc:
		err = p.acc(&r, f)
	default:
		err = ProblemKind
	}
	if err != nil {
		return r, err
	}
	if len(r.Key.Event) > maxName {
		return r, ProblemLongField
	}
	if !isAcc || f["method"] == "INVITE" {
		// In other requests the callee may be the sender: they name nobody.
		p.parties(&r, first(f["from_user"], f["from"], f["from_uri"]), first(f["to_user"], f["to"], f["to_uri"]))
	}
	r.STIR = stirOf(f["verstat"], first(f["attest"], f["attestation"]))
	r.STIR.OrigID, r.STIR.SPC = short(f["origid"]), short(f["spc"])
	switch f["direction"] {
	case "inbound", "outbound", "internal":
		r.Direction = record.Direction(f["direction"])
	}
	p.seal(&r, raw, typeJSON)
	return r, nil
}

// short keeps a text of call authentication, or nothing of one that is too long.
func short(s string) string {
	if len(s) > maxSTIR {
		return ""
	}
	return s
}

// acc: one transaction. The final answer to an INVITE tells how the call ends;
// a failed one (≥ 300) is all that is ever heard of its call, and a call
// without an end time has not ended yet.
func (p *parser) acc(r *record.Record, f map[string]string) error {
	r.SIPCode = code(f["sip_code"], 100, 699)
	at, err := epoch(first(f["time"], f["time_attr"]))
	if err != nil {
		return err
	}
	r.Key.Event = strings.Join([]string{"acc", f["method"], f["sip_code"], f["from_tag"], f["to_tag"], f["time"]}, "/")
	switch f["method"] {
	case "INVITE":
		r.Start = at
		r.Status = inviteStatus(r.SIPCode)
		switch {
		case r.SIPCode >= 300:
			r.End = at
		case r.SIPCode >= 200:
			r.Answer = at
		}
	case "BYE":
		r.End, r.Status = at, record.Completed
		r.SIPCode = 0 // the BYE's own; the call's is the INVITE's
	case "CANCEL":
		r.End, r.Status = at, record.Canceled
		r.SIPCode = 0
	default:
		// Other methods (ACK, UPDATE, REFER) are events without a say in the call.
		r.SIPCode = 0
	}
	return nil
}

// inviteStatus maps the final answer to an INVITE (RFC 3261 §21).
func inviteStatus(code int) record.Status {
	switch {
	case code == 0:
		return ""
	case code < 200:
		return record.Ringing
	case code < 300:
		return record.Completed
	case code == 486, code == 600:
		return record.Busy
	case code == 408, code == 480:
		return record.NoAnswer
	case code == 487:
		return record.Canceled
	}
	return record.Failed
}

// cdr: one ended dialog. It exists only for an answered call and counts from
// the answer.
func (p *parser) cdr(r *record.Record, f map[string]string) error {
	var err error
	if r.Start, err = epoch(f["start_time"]); err != nil {
		return err
	}
	if r.End, err = epoch(f["end_time"]); err != nil {
		return err
	}
	r.Duration = span(r.Start, r.End)
	if text := f["duration"]; text != "" {
		if r.Duration, err = decimalSeconds(text); err != nil {
			return err
		}
	}
	r.Answer, r.Billsec = r.Start, r.Duration
	r.Status = record.Completed
	r.SIPCode = code(f["sip_code"], 100, 699)
	r.Key.Event = strings.Join([]string{"cdr", f["start_time"], f["from_tag"], f["to_tag"]}, "/")
	return nil
}

// epoch reads seconds since 1970 with an optional fraction; "" and 0 are no time.
func epoch(text string) (time.Time, error) {
	if strings.Trim(text, "0.") == "" {
		return time.Time{}, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, ProblemTime
	}
	nano, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	t, ok := plausible(time.Unix(sec, nano))
	if !ok {
		return time.Time{}, ProblemTime
	}
	return t, nil
}

// decimalSeconds reads "1.512" as a duration; a negative one, of a clock that
// was set back, is 0.
func decimalSeconds(text string) (time.Duration, error) {
	if strings.HasPrefix(text, "-") {
		return 0, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec > int64(maxLength/time.Second) || len(fraction) > 9 || strings.Trim(fraction, "0123456789") != "" {
		return 0, ProblemNumber
	}
	nano, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return (time.Duration(sec)*time.Second + time.Duration(nano)).Truncate(time.Microsecond), nil
}
