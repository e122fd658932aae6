package server

import "time"

// moment is a time under the name that a line gives it.
type moment struct {
	name string
	at   time.Time
}

// days writes times in UTC as RFC 3339 has them, to the last digit that is not 0,
// as time.Time.AppendText does at six times the cost: most of a file's times are of
// the same days. The zero value is ready.
type days struct {
	recent [4]struct {
		day  int64 // since 1970, plus 1; 0: none
		text [11]byte
	}
	bad error // the first time that has no such form
}

const daySeconds = 24 * 60 * 60

func (d *days) append(b []byte, t time.Time) []byte {
	seconds, nanos := t.Unix(), t.Nanosecond()
	if seconds < 0 {
		return d.slowly(b, t)
	}
	day := seconds/daySeconds + 1
	slot := &d.recent[day%int64(len(d.recent))]
	if slot.day != day {
		text, err := t.UTC().AppendText(make([]byte, 0, 40))
		if err != nil {
			return d.slowly(b, t)
		}
		slot.day = day
		copy(slot.text[:], text)
	}
	b = append(append(b, slot.text[:]...), "00:00:00.000000000Z"...)
	clock := b[len(b)-19:]
	rest := int(seconds % daySeconds)
	two(clock, rest/3600)
	two(clock[3:], rest/60%60)
	two(clock[6:], rest%60)
	end := 8
	if nanos > 0 {
		micros := nanos / 1000
		two(clock[9:], micros/10_000)
		two(clock[11:], micros/100%100)
		two(clock[13:], micros%100)
		two(clock[15:], nanos%1000/10)
		clock[17] = '0' + byte(nanos%10)
		for end = 18; clock[end-1] == '0'; end-- {
		}
	}
	clock[end] = 'Z'
	return b[:len(b)-18+end]
}

// slowly writes what is too rare to be quick, and keeps an error.
func (d *days) slowly(b []byte, t time.Time) []byte {
	out, err := t.UTC().AppendText(b)
	if err != nil && d.bad == nil {
		d.bad = err
	}
	return out
}

func two(b []byte, n int) { b[0], b[1] = '0'+byte(n/10), '0'+byte(n%10) }
