package twilio

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
)

// UsageRecord is the API's api.v2010.account.usage.usage_record, and what all its
// lists by time have. Price is null: what a call costs is not known here.
type UsageRecord struct {
	AccountSid      *string           `json:"account_sid"`
	APIVersion      *string           `json:"api_version"`
	AsOf            *string           `json:"as_of"`
	Category        *string           `json:"category"`
	Count           *string           `json:"count"`
	CountUnit       *string           `json:"count_unit"`
	Description     *string           `json:"description"`
	EndDate         *string           `json:"end_date"`
	Price           *float64          `json:"price"`
	PriceUnit       *string           `json:"price_unit"`
	StartDate       *string           `json:"start_date"`
	SubresourceURIs map[string]string `json:"subresource_uris"`
	URI             *string           `json:"uri"`
	Usage           *string           `json:"usage"`
	UsageUnit       *string           `json:"usage_unit"`
}

// usageCategory is one of the API's kinds of usage.
type usageCategory struct {
	name, description string
	counts            func(record.Direction) bool
}

// categories are those of the API that the region's counters know.
var categories = [...]usageCategory{
	{"calls", "Voice Minutes", func(record.Direction) bool { return true }},
	{"calls-inbound", "Inbound Voice Minutes", func(d record.Direction) bool { return d == record.Inbound }},
	{"calls-outbound", "Outbound Voice Minutes", func(d record.Direction) bool { return d == record.Outbound }},
}

// subresources are the lists by time, as the API names them in uris and in
// subresource_uris.
var subresources = map[string]string{"AllTime": "all_time", "Daily": "daily", "LastMonth": "last_month", "Monthly": "monthly",
	"ThisMonth": "this_month", "Today": "today", "Yearly": "yearly", "Yesterday": "yesterday"}

// UsageList names a list of usage records: "" for all of the asked time in one
// record of each category.
type UsageList string

// UsageListOf finds the list that a path names.
func UsageListOf(name string) (UsageList, bool) {
	_, ok := subresources[name]
	return UsageList(name), ok
}

// UsageFilter selects usage records. First and Last are days, "" open.
type UsageFilter struct {
	List        UsageList
	Category    string
	First, Last string
	now         time.Time
	Paging
}

var (
	categoryForm = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	tokenForm    = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}_[a-z-]{1,32}$`)
	offsetForm   = regexp.MustCompile(`^[+-][0-9]{1,5}days?$`)
)

// Usage reads the parameters of a list of usage records.
func (q *Query) Usage(list UsageList, now time.Time) UsageFilter {
	f := UsageFilter{List: list, Category: q.take("Category"), now: now.UTC()}
	if f.Category != "" && !categoryForm.MatchString(f.Category) {
		q.fail("Category", "is no usage category")
	}
	f.First, f.Last = q.day("StartDate", f.now), q.day("EndDate", f.now)
	q.flag("IncludeSubaccounts") // a tenant has none
	f.narrow()
	if f.Paging = q.Paging(); f.Token != "" && !tokenForm.MatchString(f.Token) {
		q.fail("PageToken", "is not of this list; start again without one")
	}
	return f
}

// day reads YYYY-MM-DD, or an offset from today such as -30days.
func (q *Query) day(name string, now time.Time) string {
	s := q.take(name)
	if offsetForm.MatchString(s) {
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSuffix(s, "s"), "day")) // the form says that it is a number
		return now.AddDate(0, 0, n).Format(time.DateOnly)
	}
	if s == "" {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		q.fail(name, "is neither a day such as 2026-01-02 nor an offset such as -30days")
		return ""
	}
	return s
}

// narrow cuts the asked days to those of the list. Days compare as they are written.
func (f *UsageFilter) narrow() {
	first, last := "", ""
	today := f.now.Format(time.DateOnly)
	month := f.now.AddDate(0, 0, 1-f.now.Day())
	switch f.List {
	case "Today":
		first, last = today, today
	case "Yesterday":
		day := f.now.AddDate(0, 0, -1).Format(time.DateOnly)
		first, last = day, day
	case "ThisMonth":
		first, last = month.Format(time.DateOnly), month.AddDate(0, 1, -1).Format(time.DateOnly)
	case "LastMonth":
		first, last = month.AddDate(0, -1, 0).Format(time.DateOnly), month.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	f.First = max(f.First, first)
	if f.Last == "" || last != "" && last < f.Last {
		f.Last = last
	}
}

// Days are the first and the last day whose counters are needed; ok is false when
// there are none.
func (f *UsageFilter) Days() (first, last string, ok bool) {
	first, last = f.First, f.Last
	if first == "" {
		first = "1970-01-01"
	}
	if last == "" {
		last = "9999-12-31"
	}
	return first, last, first <= last
}

// period is the days of one record.
type period struct{ first, last string }

// periods cuts time into the list's records, the latest first; days are those
// that have calls, in order. Lists by day, month and year have a record for each
// in which there were calls; the others have one.
func (f *UsageFilter) periods(days []day) (out []period) {
	var cut func(day string) period
	switch f.List {
	case "Daily":
		cut = func(day string) period { return period{day, day} }
	case "Monthly":
		cut = func(day string) period { return within(day, 0, 1) }
	case "Yearly":
		cut = func(day string) period { return within(day, 1, 0) }
	default:
		if p := f.whole(days); p.first <= p.last {
			out = append(out, p)
		}
		return out
	}
	for _, d := range days {
		if p := cut(d.day); len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	slices.Reverse(out)
	return out
}

// within is the month, or the year, of a day.
func within(day string, years, months int) period {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return period{day, day}
	}
	first := t.AddDate(0, 0, 1-t.Day())
	if years > 0 {
		first = t.AddDate(0, 0, 1-t.YearDay())
	}
	return period{first.Format(time.DateOnly), first.AddDate(years, months, -1).Format(time.DateOnly)}
}

// whole is everything that was asked for: from the first call, until today.
func (f *UsageFilter) whole(days []day) period {
	today := f.now.Format(time.DateOnly)
	p := period{f.First, f.Last}
	if p.first == "" {
		if p.first = today; len(days) > 0 {
			p.first = days[0].day
		}
	}
	if p.last == "" {
		if p.last = max(today, p.first); len(days) > 0 {
			p.last = max(p.last, days[len(days)-1].day)
		}
	}
	return p
}
