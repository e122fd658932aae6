package intake

import (
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
)

// times: the variables speak for the whole call, the profiles for their part.
// "0" means that it did not happen.
func (f *fsRecord) times(r *record.Record, oldest, newest fsProfile) error {
	answered := first(nonzero(f.vars["answer_uepoch"]), seconds(f.vars["answer_epoch"]))
	for _, p := range f.profiles {
		answered = first(answered, nonzero(p.answered))
	}
	for _, t := range []struct {
		dst  *time.Time
		text string
	}{
		{&r.Start, first(nonzero(f.vars["start_uepoch"]), nonzero(oldest.created), seconds(f.vars["start_epoch"]))},
		{&r.Ring, first(nonzero(f.vars["progress_uepoch"]), nonzero(oldest.progress), nonzero(newest.progress))},
		{&r.Answer, answered},
		{&r.End, first(nonzero(f.vars["end_uepoch"]), nonzero(newest.hangup), seconds(f.vars["end_epoch"]))},
	} {
		if err := micros(t.text, t.dst); err != nil {
			return err
		}
	}
	r.Duration, r.Billsec = span(r.Start, r.End), span(r.Answer, r.End)
	if err := duration(first(f.vars["mduration"], thousandfold(f.vars["duration"])), &r.Duration); err != nil {
		return err
	}
	return duration(first(f.vars["billmsec"], thousandfold(f.vars["billsec"])), &r.Billsec)
}

func nonzero(s string) string {
	if strings.Trim(s, "0") == "" {
		return ""
	}
	return s
}

// seconds makes an epoch in seconds one in microseconds.
func seconds(s string) string {
	if s = nonzero(s); s != "" {
		s += "000000"
	}
	return s
}

func thousandfold(s string) string {
	if s != "" {
		s += "000"
	}
	return s
}

// micros reads an epoch in microseconds; "" leaves dst as it is.
func micros(text string, dst *time.Time) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return ProblemTime
	}
	t, ok := plausible(time.UnixMicro(n))
	if !ok {
		return ProblemTime
	}
	*dst = t
	return nil
}

// duration reads milliseconds; "" leaves dst as it is. A negative one comes
// from a clock that was set back: nothing is known then.
func duration(text string, dst *time.Duration) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxLength.Milliseconds() {
		return ProblemNumber
	}
	*dst = time.Duration(max(0, n)) * time.Millisecond
	return nil
}
