package server

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// days writes times in UTC as RFC 3339 has them, to the last digit that is not 0,
// as time.Time.AppendText does at six times the cost: most of a file's times are of
// the same days. The zero value is ready.
type days struct {
	recent [4]struct {
		day  int64          // since 1970, plus 1; 0: none
		text [timeRoom]byte // with some time of that day
	}
	bad error // the first time that has no such form
}

const (
	daySeconds = 24 * 60 * 60
	dateSize   = len("2006-01-02T")
	// timeRoom is how many bytes are put down for a time, however long it is.
	timeRoom = 32
	// numberRoom is how many bytes a number has at most.
	numberRoom = 20
)

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
		copy(slot.text[:dateSize], text)
		copy(slot.text[dateSize:], "00:00:00.000000000Z")
	}
	at := len(b)
	if at+timeRoom > cap(b) {
		b = slices.Grow(b, timeRoom)
	}
	out := (*[timeRoom]byte)(b[at : at+timeRoom])
	*out = slot.text
	clock, rest := (*[timeRoom - dateSize]byte)(out[dateSize:]), uint(seconds%daySeconds)
	two(clock[0:2], rest/3600)
	two(clock[3:5], rest/60%60)
	two(clock[6:8], rest%60)
	return b[:at+dateSize+fraction(clock, uint(nanos))]
}

// fraction writes the part of a second behind 00:00:00, and says where the time ends.
func fraction(clock *[timeRoom - dateSize]byte, nanos uint) (end int) {
	end = 8
	if nanos > 0 {
		micros := nanos / 1000
		two(clock[9:11], micros/10_000)
		two(clock[11:13], micros/100%100)
		two(clock[13:15], micros%100)
		if end = 15; nanos%1000 > 0 {
			two(clock[15:17], nanos%1000/10)
			clock[17], end = '0'+byte(nanos%10), 18
		} else if micros%1000 == 0 {
			end = 12 // as most are that are no whole seconds
		}
		for clock[end-1] == '0' {
			end--
		}
	}
	clock[end] = 'Z'
	return end + 1
}

// slowly writes what is too rare to be quick, and keeps an error.
func (d *days) slowly(b []byte, t time.Time) []byte {
	out, err := t.UTC().AppendText(b)
	if err != nil && d.bad == nil {
		d.bad = err
	}
	return out
}

// digitPairs are the numbers below 100, two digits each.
var digitPairs = func() (out [100][2]byte) {
	for n := range out {
		out[n] = [2]byte{'0' + byte(n/10), '0' + byte(n%10)}
	}
	return out
}()

// two writes a number below 100.
func two(b []byte, n uint) { *(*[2]byte)(b) = digitPairs[n] }

// appendNumber is strconv.AppendInt in decimal: six digits are put down where they belong.
func appendNumber(b []byte, n int64) []byte {
	if n < 0 {
		return strconv.AppendInt(b, n, 10)
	}
	return appendUnsigned(b, uint64(n))
}

func appendUnsigned(b []byte, n uint64) []byte {
	if n >= 1_000_000 {
		return strconv.AppendUint(b, n, 10)
	}
	var room [8]byte
	two(room[0:2], uint(n/10_000))
	two(room[2:4], uint(n/100%100))
	two(room[4:6], uint(n%100))
	w := binary.LittleEndian.Uint64(room[:])
	zeros := min(bits.TrailingZeros64(w&0x0f0f0f0f0f0f)/8, 5) // digits that lead and are 0
	b = slices.Grow(b, len(room))
	binary.LittleEndian.PutUint64(b[len(b):len(b)+len(room)], w>>(8*zeros))
	return b[:len(b)+6-zeros]
}
