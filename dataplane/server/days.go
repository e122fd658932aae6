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
	b = append(b, slot.text[:]...)
	rest := int(seconds % daySeconds)
	b = append(append(appendTwo(b, rest/3600), ':'), 0, 0, ':')
	at := len(b) - 3
	two(b[at:], rest/60%60)
	b = appendTwo(b, rest%60)
	if nanos > 0 {
		b = append(b, '.', 0, 0, 0, 0, 0, 0, 0, 0, 0)
		end := len(b)
		digits := b[end-9:]
		micros := nanos / 1000
		two(digits, micros/10_000)
		two(digits[2:], micros/100%100)
		two(digits[4:], micros%100)
		two(digits[6:], nanos%1000/10)
		digits[8] = '0' + byte(nanos%10)
		for b[end-1] == '0' {
			end--
		}
		b = b[:end]
	}
	return append(b, 'Z')
}

// slowly writes what is too rare to be quick, and keeps an error.
func (d *days) slowly(b []byte, t time.Time) []byte {
	out, err := t.UTC().AppendText(b)
	if err != nil && d.bad == nil {
		d.bad = err
	}
	return out
}

func appendTwo(b []byte, n int) []byte {
	b = append(b, 0, 0)
	two(b[len(b)-2:], n)
	return b
}

func two(b []byte, n int) { b[0], b[1] = '0'+byte(n/10), '0'+byte(n%10) }
