package intake

import (
	"maps"
	"math/rand/v2"
	"slices"
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

func (n *Numbers) len() (sum int) {
	for i := range n.slots {
		if n.slots[i].Load() != nil {
			sum++
		}
	}
	return sum
}

// Our way to know whether and where a national number is valid says what the
// library says, of every calling code, near numbers that exist too.
func TestPlansAgreeWithTheLibrary(t *testing.T) {
	codes := slices.Sorted(maps.Keys(phonenumbers.GetSupportedCallingCodes()))
	rnd := rand.New(rand.NewPCG(1, 2))
	valid, total := 0, 0
	for _, code := range codes {
		bases := []string{"2", "55", "9"}
		for _, region := range phonenumbers.GetRegionCodesForCountryCode(code) {
			for _, kind := range []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE, phonenumbers.TOLL_FREE, phonenumbers.VOIP, phonenumbers.PREMIUM_RATE} {
				if number := phonenumbers.GetExampleNumberForType(region, kind); number != nil {
					bases = append(bases, phonenumbers.GetNationalSignificantNumber(number))
				}
			}
		}
		for _, base := range bases {
			for range 30 {
				digits := []byte(base)
				for at := rnd.IntN(len(digits)); rnd.IntN(3) > 0; at = rnd.IntN(len(digits)) {
					digits[at] = byte('0' + rnd.IntN(10))
				}
				for rnd.IntN(4) == 0 && len(digits) < 14 {
					digits = append(digits, byte('0'+rnd.IntN(10)))
				}
				if digits[0] == '0' {
					continue
				}
				national, _ := strconv.ParseUint(string(digits), 10, 64)
				cc := int32(code)
				number := &phonenumbers.PhoneNumber{CountryCode: &cc, NationalNumber: &national}
				want := phonenumbers.GetRegionCodeForNumber(number)
				if want == "ZZ" || want != "" && !phonenumbers.IsValidNumberForRegion(number, want) {
					want = ""
				}
				if got := plansFor(code).region(string(digits)); got != want {
					t.Errorf("+%d %s: %q, the library says %q", code, digits, got, want)
				}
				if total++; want != "" {
					valid++
				}
			}
		}
	}
	if valid < total/10 || valid > total*9/10 {
		t.Errorf("%d of %d numbers were valid: the test tries too little", valid, total)
	}
}

func TestNumbersForget(t *testing.T) {
	n := NewNumbers(2)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for _, raw := range []string{"0861234567", "0871234567", "015551234"} {
				n.Party(raw, "IE")
			}
		})
	}
	wait.Wait()
	n.Party("+14165550123", "") // is what it is already
	if got := n.len(); got < 1 || got > 2 {
		t.Errorf("%d numbers remembered, the limit is 2", got)
	}
	n.Forget()
	if got := n.len(); got != 0 {
		t.Errorf("%d numbers remembered after Forget", got)
	}
	(*Numbers)(nil).Forget()
}
