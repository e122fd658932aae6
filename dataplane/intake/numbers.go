package intake

import (
	"hash/maphash"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nyaruka/phonenumbers"

	"github.com/domicile-io/domicile/dataplane/record"
)

// shortest and longest a number with its national prefix may be (E.164 allows
// 15 digits; shorter ones are extensions and short codes, which stay raw).
const (
	minDigits = 7
	maxDigits = 18
)

// Numbers reads telephone numbers by the public number plans and remembers the
// last ones in memory, because that costs a microsecond or more each. It holds
// personal data: call Forget after an erasure. Safe for concurrent use; a nil
// Numbers remembers nothing.
type Numbers struct {
	seed  maphash.Seed
	slots []atomic.Pointer[remembered] // a power of two of them; a number has one, which the last that came has
}

type remembered struct {
	digits, country string
	read
}

type read struct{ e164, country string }

// NewNumbers remembers at most size numbers, rounded down to a power of two, about
// 120 bytes each; size ≤ 0 is 65536.
func NewNumbers(size int) *Numbers {
	if size <= 0 {
		size = 1 << 16
	}
	return &Numbers{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[remembered], 1<<(bits.Len(uint(size))-1))}
}

// Forget drops everything remembered.
func (n *Numbers) Forget() {
	if n == nil {
		return
	}
	for i := range n.slots {
		n.slots[i].Store(nil)
	}
}

// slot is where a number stands, if it does.
func (n *Numbers) slot(digits string) *atomic.Pointer[remembered] {
	return &n.slots[maphash.String(n.seed, digits)&uint64(len(n.slots)-1)]
}

// withheld are the words that sources write for a party who withheld its
// number or has none, in lower case.
var withheld = map[string]bool{
	"": true, "anonymous": true, "restricted": true, "unknown": true, "unavailable": true, "private": true,
	"withheld": true, "blocked": true, "asserted": true, "<unknown>": true, "null": true, "+anonymous": true,
	"+266696687": true, // Twilio: "anonymous" on a keypad
	"266696687":  true, "+7378742833": true, "+2562533": true, "+8656696": true, "+86282452253": true, "+464": true,
}

// Party reads what a source wrote for one end of a call. Country is the alpha-2
// default for numbers without a country code, or "" to read none of those. A
// withheld number is the zero Party; an extension or a name stays raw.
func (n *Numbers) Party(raw, country string) record.Party {
	raw = strings.TrimSpace(raw)
	user := user(raw)
	if len(user) <= 16 && withheld[strings.ToLower(user)] {
		return record.Party{}
	}
	p := record.Party{Raw: raw}
	digits := dialString(user)
	if digits == "" || digits[0] != '+' && country == "" {
		return p
	}
	if digits[0] == '+' {
		country = ""
		if got := international(digits); got.e164 != "" { // which costs less than to remember it
			p.E164, p.Country = got.e164, got.country
			return p
		}
	}
	if n == nil {
		got := plan(digits, country)
		p.E164, p.Country = got.e164, got.country
		return p
	}
	slot := n.slot(digits)
	got := slot.Load()
	if got == nil || got.digits != digits || got.country != country {
		digits = strings.Clone(digits) // it may be a part of a whole body
		got = &remembered{digits, country, plan(digits, country)}
		slot.Store(got)
	}
	p.E164, p.Country = got.e164, got.read.country
	return p
}

// user is the part of a SIP or tel URI that names the party; other text as it is.
func user(raw string) string {
	at := strings.IndexByte(raw, ':')
	if at < 0 {
		return raw
	}
	switch strings.ToLower(raw[:at]) {
	case "sip", "sips", "tel":
		raw = raw[at+1:]
		if end := strings.IndexAny(raw, "@;?"); end >= 0 {
			raw = raw[:end]
		}
	}
	return raw
}

// dialString is an optional plus and 7 to 18 digits without the marks that
// people put between them, or "" when the text is no number.
func dialString(s string) string {
	plain, digits := true, 0
	for i, b := range []byte(s) {
		switch {
		case b >= '0' && b <= '9':
			digits++
		case b == '+' && i == 0:
		case b == ' ' || b == '-' || b == '.' || b == '(' || b == ')' || b == '/':
			plain = false
		default:
			return ""
		}
	}
	if digits < minDigits || digits > maxDigits {
		return ""
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '+' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// isNational reports whether raw is a number that lacks its country code.
func isNational(raw string) bool {
	digits := dialString(user(raw))
	return digits != "" && digits[0] != '+'
}

// plan reads a dial string by the number plans; nothing when it is not valid.
func plan(digits, country string) read {
	if got := international(digits); got.e164 != "" {
		return got
	}
	number, err := phonenumbers.Parse(digits, country)
	if err != nil {
		return read{}
	}
	region := plansFor(int(number.GetCountryCode())).region(phonenumbers.GetNationalSignificantNumber(number))
	if region == "" {
		return read{}
	}
	return read{phonenumbers.Format(number, phonenumbers.E164), geographic(region)}
}

// international reads what is already E.164 without the general parser, which
// takes two thirds of the time to find that there is nothing to normalise.
// Nothing when it is not, or not valid as it stands.
func international(digits string) read {
	if digits[0] != '+' || len(digits) > 16 {
		return read{}
	}
	code := 0
	for n := 1; n <= 3; n++ {
		code = 10*code + int(digits[n]-'0') // 3 digits at most
		if digits[1+n] == '0' || !callingCodes()[code] {
			continue
		}
		if region := plansFor(code).region(digits[1+n:]); region != "" {
			return read{digits, geographic(region)}
		}
		break // calling codes are prefix-free
	}
	return read{}
}

// callingCodes are the codes that some country or network has.
var callingCodes = sync.OnceValue(func() *[1000]bool {
	var out [1000]bool
	for code := range out {
		out[code] = phonenumbers.GetRegionCodeForCountryCode(code) != "ZZ"
	}
	return &out
})

// geographic is the country of a region of the number plans; the plans of no
// country ("001") have none.
func geographic(region string) string {
	if len(region) != 2 {
		return ""
	}
	return region
}

// CallingCode is the country calling code of a number in E.164 ("353"), or "".
func CallingCode(e164 string) string {
	for n := 1; n <= 3 && n < len(e164); n++ {
		if code, err := strconv.Atoi(e164[1 : 1+n]); err == nil && phonenumbers.GetRegionCodeForCountryCode(code) != "ZZ" {
			return e164[1 : 1+n] // calling codes are prefix-free
		}
	}
	return ""
}
