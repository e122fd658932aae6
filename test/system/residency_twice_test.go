package system

import (
	"slices"
	"testing"

	"github.com/domicile-io/domicile/internal/canary"
)

// groups stand behind the prefix in every number of a scan, and in none of another.
var groups = [2]string{"739", "746"}

// residencyScan scans once, and whatever it finds is a leak; but where nothing is found
// than seven digits, it scans again with other numbers. A metric, a time or an id holds
// seven digits of one of some sixty numbers by chance, in one scan of ten (as was
// counted); what leaks the end of a number leaks the one of the same field again.
func residencyScan(t *testing.T, store func() (edit, *database)) {
	brief := scanOnce(t, groups[0], store)
	if len(brief) == 0 {
		return
	}
	leaks, chance := twice(brief, scanOnce(t, groups[1], store))
	for _, f := range leaks {
		t.Errorf("LEAK %s, and with other numbers again", f)
	}
	for _, f := range chance {
		t.Logf("by chance: %s; another scan did not find it", f)
	}
}

// twice tells findings of a canary that another scan found, too, from those that it
// did not.
func twice(first, second []canary.Finding) (leaks, chance []canary.Finding) {
	for _, f := range first {
		if slices.ContainsFunc(second, func(s canary.Finding) bool { return s.Canary == f.Canary }) {
			leaks = append(leaks, f)
		} else {
			chance = append(chance, f)
		}
	}
	return leaks, chance
}

func TestINV01WhatIsFoundTwiceIsALeak(t *testing.T) {
	f := func(place, label string) canary.Finding {
		return canary.Finding{Place: place, Canary: label, Brief: true}
	}
	leaks, chance := twice([]canary.Finding{f("metrics of ie1", "ie1 one from"), f("log", "ie1 asterisk src")}, []canary.Finding{f("log", "ie1 one to"), f("log of au1", "ie1 one from")})
	if len(leaks) != 1 || leaks[0].Canary != "ie1 one from" || len(chance) != 1 {
		t.Errorf("leaks %v, by chance %v", leaks, chance)
	}
}

// judge takes what was found where nothing may be.
func (s *scan) judge(found []canary.Finding) {
	s.t.Helper()
	for _, f := range found {
		if f.Brief {
			s.brief = append(s.brief, f)
			continue
		}
		s.t.Errorf("LEAK %s", f)
	}
}
