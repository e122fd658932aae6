package twilio

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/domicile-io/domicile/dataplane/store"
)

// sums are what a usage record counts.
type sums struct{ calls, billsec int64 }

// day is what one day adds to each category.
type day struct {
	day   string
	total [len(categories)]sums
}

// daysOf adds the countries and directions of each day up. The store gives rows in
// order of days.
func daysOf(rows []store.Rollup) (out []day) {
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].day != r.Day {
			out = append(out, day{day: r.Day})
		}
		of := &out[len(out)-1]
		for i, c := range categories {
			if c.counts(r.Direction) {
				of.total[i].calls += r.Calls
				of.total[i].billsec += r.Billsec
			}
		}
	}
	return out
}

// UsagePage makes the page that f asks for of the counters of its days. A token
// names the last record of the page before.
func UsagePage(account string, f UsageFilter, rows []store.Rollup) UsageRecords {
	days := daysOf(rows)
	out := UsageRecords{UsageRecords: []UsageRecord{}}
	last := ""
	for _, p := range f.periods(days) {
		for i, c := range categories {
			if f.Category != "" && f.Category != c.name || f.Token != "" && !f.behind(p, i) {
				continue
			}
			if len(out.UsageRecords) == f.Size {
				out.Page = f.Describe(f.Size, last)
				return out
			}
			out.UsageRecords = append(out.UsageRecords, f.record(account, p, i, sumOf(days, p, i)))
			last = p.first + "_" + c.name
		}
	}
	out.Page = f.Describe(len(out.UsageRecords), "")
	return out
}

// behind reports whether a record comes after the one that the token names, also
// when that one's calls were erased meanwhile.
func (f *UsageFilter) behind(p period, category int) bool {
	day, name, _ := strings.Cut(f.Token, "_")
	if p.first != day {
		return p.first < day
	}
	return category > slices.IndexFunc(categories[:], func(c usageCategory) bool { return c.name == name })
}

func sumOf(days []day, p period, category int) (s sums) {
	for _, d := range days {
		if d.day >= p.first && d.day <= p.last {
			s.calls, s.billsec = s.calls+d.total[category].calls, s.billsec+d.total[category].billsec
		}
	}
	return s
}

func (f *UsageFilter) record(account string, p period, category int, s sums) UsageRecord {
	c := categories[category]
	lists := accountPath(account) + "Usage/Records"
	of := lists
	if f.List != "" {
		of += "/" + string(f.List)
	}
	q := url.Values{"Category": {c.name}, "StartDate": {p.first}, "EndDate": {p.last}}
	out := UsageRecord{AccountSid: text(account), APIVersion: version(), AsOf: text(f.now.Format("2006-01-02T15:04:05+00:00")),
		Category: text(c.name), Description: text(c.description), Count: text(strconv.FormatInt(s.calls, 10)), CountUnit: text("calls"),
		Usage: text(minutes(s.billsec)), UsageUnit: text("minutes"), StartDate: text(p.first), EndDate: text(p.last),
		URI: text(of + ".json?" + q.Encode()), SubresourceURIs: map[string]string{}}
	for list, name := range subresources {
		out.SubresourceURIs[name] = lists + "/" + list + ".json?Category=" + c.name
	}
	return out
}

// minutes of seconds, with at most four digits of a fraction: the exact sum, where
// a biller would round each call up.
func minutes(seconds int64) string {
	s := strconv.FormatFloat(float64(seconds)/60, 'f', 4, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
