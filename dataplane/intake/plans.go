package intake

import (
	"sync"
	"sync/atomic"

	"github.com/nyaruka/phonenumbers"
)

// plans are the number plans under one calling code, compiled. The library tries
// each pattern twice, of all kinds of numbers until one matches, and finds each
// by a string that it puts together first; to know that a number is valid, one
// that matches is enough, and subscribers' numbers come first here.
type plans []numberPlan

type numberPlan struct {
	region  string  // alpha-2, or "001"
	leading *digits // of the regions that share a code, how this one's numbers begin; nil: whatever is valid
	general numberKind
	kinds   []numberKind
}

// numberKind is one kind of number of a plan.
type numberKind struct {
	lengths uint32 // bit n: n digits; 0: any
	pattern *digits
}

var (
	plansOf   [1000]atomic.Pointer[plans] // by calling code
	numbering = sync.OnceValue(func() map[int][]*phonenumbers.PhoneMetadata {
		all, err := phonenumbers.MetadataCollection()
		if err != nil {
			panic(err) // it is compiled in
		}
		out := map[int][]*phonenumbers.PhoneMetadata{}
		for _, m := range all.GetMetadata() {
			code := int(m.GetCountryCode())
			out[code] = append(out[code], m)
		}
		return out
	})
)

// plansFor are those of a calling code, in the library's order: the main region first.
func plansFor(code int) plans {
	if code < 0 || code >= len(plansOf) {
		return nil
	}
	if p := plansOf[code].Load(); p != nil {
		return *p
	}
	var out plans
	for _, region := range phonenumbers.GetRegionCodesForCountryCode(code) {
		for _, m := range numbering()[code] {
			if m.GetId() == region {
				out = append(out, compilePlan(region, m))
			}
		}
	}
	plansOf[code].Store(&out)
	return out
}

func compilePlan(region string, m *phonenumbers.PhoneMetadata) numberPlan {
	p := numberPlan{region: region}
	if m.GetLeadingDigits() != "" {
		p.leading = compileDigits(m.GetLeadingDigits(), true)
	}
	p.general, _ = compileKind(m.GetGeneralDesc())
	for _, d := range [...]*phonenumbers.PhoneNumberDesc{m.GetMobile(), m.GetFixedLine(), m.GetTollFree(), m.GetPremiumRate(), m.GetSharedCost(),
		m.GetVoip(), m.GetPersonalNumber(), m.GetPager(), m.GetUan(), m.GetVoicemail()} {
		if k, ok := compileKind(d); ok {
			p.kinds = append(p.kinds, k)
		}
	}
	return p
}

// compileKind reports false for a kind of which the plan has no numbers.
func compileKind(d *phonenumbers.PhoneNumberDesc) (k numberKind, ok bool) {
	for _, n := range d.GetPossibleLength() {
		if n > 0 && n < 32 {
			k.lengths |= 1 << n
		}
	}
	if d == nil || d.GetNationalNumberPattern() == "" || k.lengths == 0 && len(d.GetPossibleLength()) > 0 {
		return numberKind{}, false
	}
	k.pattern = compileDigits(d.GetNationalNumberPattern(), false)
	return k, true
}

func (k *numberKind) has(national string) bool {
	return k.pattern != nil && (k.lengths == 0 || k.lengths>>min(len(national), 31)&1 == 1) && k.pattern.match(national)
}

func (p *numberPlan) has(national string) bool {
	if !p.general.has(national) {
		return false
	}
	for i := range p.kinds {
		if p.kinds[i].has(national) {
			return true
		}
	}
	return false
}

// region is the one in whose plan the national number is valid, or "".
func (all plans) region(national string) string {
	for i := range all {
		p := &all[i]
		switch {
		case len(all) == 1 || p.leading == nil:
			if p.has(national) {
				return p.region
			}
		case p.leading.match(national):
			if p.has(national) {
				return p.region
			}
			return ""
		}
	}
	return ""
}
