package intake

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// Every pattern of every number plan becomes a table, and says of digits what package
// regexp says, near what it matches too.
func TestDigitsAgreeWithRegexp(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	matched, total, largest := 0, 0, 0
	for _, all := range numbering() {
		for _, m := range all {
			patterns := []string{}
			for _, d := range []*phonenumbers.PhoneNumberDesc{m.GetGeneralDesc(), m.GetMobile(), m.GetFixedLine(), m.GetTollFree(), m.GetPremiumRate(),
				m.GetSharedCost(), m.GetVoip(), m.GetPersonalNumber(), m.GetPager(), m.GetUan(), m.GetVoicemail()} {
				if p := d.GetNationalNumberPattern(); p != "" {
					patterns = append(patterns, p)
				}
			}
			for _, p := range patterns {
				d, want := compileDigits(p, false), regexp.MustCompile("^(?:"+p+")$")
				if d.otherwise != nil {
					t.Fatalf("%s: %s is no table", m.GetId(), p)
				}
				largest = max(largest, len(d.next))
				for range 40 {
					text := walk(d, rnd)
					if got := d.match(text); got != want.MatchString(text) {
						t.Fatalf("%s: %s says %t of %s", m.GetId(), p, got, text)
					} else if got {
						matched++
					}
					total++
				}
			}
			if p := m.GetLeadingDigits(); p != "" {
				d, want := compileDigits(p, true), regexp.MustCompile("^(?:"+p+")")
				for range 40 {
					if text := walk(d, rnd) + "55"; d.match(text) != want.MatchString(text) {
						t.Fatalf("%s: how numbers begin, %s, of %s", m.GetId(), p, text)
					}
				}
			}
		}
	}
	if matched < total/10 || matched > total*9/10 || largest*4 > mostStates {
		t.Errorf("%d of %d texts match, the largest table has %d states", matched, total, largest)
	}
}

// walk makes digits that keep to a table for a while.
func walk(d *digits, rnd *rand.Rand) string {
	var text strings.Builder
	at := uint16(1)
	for range 1 + rnd.IntN(14) {
		digit := rnd.IntN(10)
		for range 20 {
			if d.next[at][digit] != noState {
				break
			}
			digit = rnd.IntN(10)
		}
		text.WriteByte(byte('0' + digit))
		if at = d.next[at][digit]; at == noState || d.accepts[at] && rnd.IntN(3) > 0 {
			break
		}
	}
	return text.String()
}

// What is no table is matched by package regexp.
func TestDigitsThatLookAround(t *testing.T) {
	for _, prefix := range []bool{false, true} {
		d := compileDigits(`\b3[0-4]\d`, prefix)
		if d.otherwise == nil {
			t.Fatal("a pattern that looks around became a table")
		}
		for text, want := range map[string]bool{"341": true, "351": false, "3412": prefix, "34": false} {
			if got := d.match(text); got != want {
				t.Errorf("%s, prefix %t: %t", text, prefix, got)
			}
		}
	}
	if compileDigits("12|34", false).match("12x") {
		t.Error("what is no digit matches")
	}
}
