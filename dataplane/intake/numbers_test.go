package intake

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/dataplane/record"
)

func TestParty(t *testing.T) {
	for name, c := range map[string]struct {
		raw, country string
		want         record.Party
	}{
		"international":           {"+353861234567", "", record.Party{Raw: "+353861234567", E164: "+353861234567", Country: "IE"}},
		"with marks":              {" +1 (202) 555-0101 ", "", record.Party{Raw: "+1 (202) 555-0101", E164: "+12025550101", Country: "US"}},
		"Canada shares the code":  {"+14165550123", "", record.Party{Raw: "+14165550123", E164: "+14165550123", Country: "CA"}},
		"Italy keeps its zero":    {"+390612345678", "", record.Party{Raw: "+390612345678", E164: "+390612345678", Country: "IT"}},
		"national":                {"0291234567", "AU", record.Party{Raw: "0291234567", E164: "+61291234567", Country: "AU"}},
		"national, no country":    {"0291234567", "", record.Party{Raw: "0291234567"}},
		"code without plus":       {"353861234567", "IE", record.Party{Raw: "353861234567", E164: "+353861234567", Country: "IE"}},
		"freephone of no country": {"+80012345678", "", record.Party{Raw: "+80012345678", E164: "+80012345678"}},
		"SIP":                     {"sip:+353861234567@198.51.100.20;user=phone", "", record.Party{Raw: "sip:+353861234567@198.51.100.20;user=phone", E164: "+353861234567", Country: "IE"}},
		"tel":                     {"tel:+353861234567", "", record.Party{Raw: "tel:+353861234567", E164: "+353861234567", Country: "IE"}},
		"no calling code":         {"+999123456789", "IE", record.Party{Raw: "+999123456789"}},
		"too short for its plan":  {"+35386123", "", record.Party{Raw: "+35386123"}},
		"extension":               {"1004", "AU", record.Party{Raw: "1004"}},
		"client":                  {"client:alice", "IE", record.Party{Raw: "client:alice"}},
		"name":                    {"alice", "IE", record.Party{Raw: "alice"}},
		"anonymous":               {"anonymous", "IE", record.Party{}},
		"anonymous by SIP":        {"sip:anonymous@anonymous.invalid", "IE", record.Party{}},
		"Restricted":              {"Restricted", "IE", record.Party{}},
		"unavailable":             {"UNAVAILABLE", "IE", record.Party{}},
		"keypad anonymous":        {"+266696687", "IE", record.Party{}},
		"empty":                   {"  ", "IE", record.Party{}},
		"plus alone":              {"+", "IE", record.Party{Raw: "+"}},
		"plus inside":             {"086+1234567", "IE", record.Party{Raw: "086+1234567"}},
		"far too long":            {"+" + strings.Repeat("1", 40), "IE", record.Party{Raw: "+" + strings.Repeat("1", 40)}},
		"unknown country":         {"0291234567", "XX", record.Party{Raw: "0291234567"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := NewNumbers(4)
			for _, numbers := range []*Numbers{nil, n, n} { // without memory, first, remembered
				if got := numbers.Party(c.raw, c.country); got.Raw != c.want.Raw || got.E164 != c.want.E164 || got.Country != c.want.Country {
					t.Errorf("raw %q, E.164 %q, country %q", got.Raw, got.E164, got.Country)
				}
			}
		})
	}
}

// The short way for numbers that are E.164 already says what the general parser says.
func TestInternationalAgreesWithTheParser(t *testing.T) {
	codes := []int{}
	for code := range phonenumbers.GetSupportedCallingCodes() {
		codes = append(codes, code)
	}
	rapid.Check(t, func(rt *rapid.T) {
		code := rapid.SampledFrom(codes).Draw(rt, "code")
		digits := "+" + strconv.Itoa(code) + rapid.StringMatching(`[0-9]{4,11}`).Draw(rt, "national")
		if len(digits) < 8 {
			rt.Skip()
		}
		got := international(digits)
		if got.e164 == "" {
			return
		}
		number, err := phonenumbers.Parse(digits, "")
		if err != nil || !phonenumbers.IsValidNumber(number) {
			rt.Fatalf("the parser says that it is not valid: %v", err)
		}
		if want := phonenumbers.Format(number, phonenumbers.E164); got.e164 != want {
			rt.Fatalf("%s, the parser says %s", got.e164, want)
		}
		if want := geographic(phonenumbers.GetRegionCodeForNumber(number)); got.country != want {
			rt.Fatalf("country %s, the parser says %s", got.country, want)
		}
	})
}

func TestNumbersForget(t *testing.T) {
	n := NewNumbers(2)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for _, raw := range []string{"+353861234567", "+12025550101", "+14165550123"} {
				n.Party(raw, "")
			}
		})
	}
	wait.Wait()
	if got := n.seen.Len(); got != 2 {
		t.Errorf("%d numbers remembered, want the limit 2", got)
	}
	n.Forget()
	if got := n.seen.Len(); got != 0 {
		t.Errorf("%d numbers remembered after Forget", got)
	}
	(*Numbers)(nil).Forget()
}
