package twilio

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// usage asks for a list, page by page, of counters that the store gives by day.
func usage(t *testing.T, list UsageList, query string, rows []store.Rollup) (out []string) {
	t.Helper()
	at := "/2010-04-01/Accounts/" + testAccount + "/Usage/Records.json?" + query
	for pages := 0; ; pages++ {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		q := Parse(u)
		f := q.Usage(list, time.Date(2026, 3, 15, 23, 59, 59, 0, time.FixedZone("", 0)))
		if err := q.Done(); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		first, last, _ := f.Days()
		var within []store.Rollup
		for _, r := range rows {
			if r.Day >= first && r.Day <= last {
				within = append(within, r)
			}
		}
		page := UsagePage(testAccount, f, within)
		for _, r := range page.UsageRecords {
			out = append(out, fmt.Sprintf("%s..%s %s %s/%s", *r.StartDate, *r.EndDate, strings.TrimPrefix(*r.Category, "calls"), *r.Count, *r.Usage))
		}
		if page.NextPageURI == nil {
			return out
		}
		at = *page.NextPageURI
	}
}

func TestUsage(t *testing.T) {
	rows := []store.Rollup{
		{Day: "2025-12-31", Direction: record.Inbound, Country: "IE", Calls: 1, Billsec: 30},
		{Day: "2026-02-01", Direction: record.Outbound, Country: "US", Calls: 2, Billsec: 61},
		{Day: "2026-03-14", Direction: record.Inbound, Country: "IE", Calls: 3, Billsec: 60},
		{Day: "2026-03-14", Direction: record.Inbound, Country: "GB", Calls: 4, Billsec: 60},
		{Day: "2026-03-14", Direction: record.Internal, Calls: 5, Billsec: 6},
		{Day: "2026-03-15", Direction: record.Outbound, Country: "IE", Calls: 6},
	}
	for _, c := range []struct {
		list        UsageList
		query, want string
	}{
		{"", "", "2025-12-31..2026-03-15  21/3.6167; 2025-12-31..2026-03-15 -inbound 8/2.5; 2025-12-31..2026-03-15 -outbound 8/1.0167"},
		{"AllTime", "Category=calls", "2025-12-31..2026-03-15  21/3.6167"},
		{"", "Category=calls&StartDate=2026-03-01&EndDate=2026-03-14", "2026-03-01..2026-03-14  12/2.1"},
		{"", "Category=calls&StartDate=-1days", "2026-03-14..2026-03-15  18/2.1"},
		{"", "Category=sms", ""},
		{"Today", "Category=calls", "2026-03-15..2026-03-15  6/0"},
		{"Yesterday", "Category=calls-inbound", "2026-03-14..2026-03-14 -inbound 7/2"},
		{"ThisMonth", "Category=calls", "2026-03-01..2026-03-31  18/2.1"},
		{"LastMonth", "Category=calls", "2026-02-01..2026-02-28  2/1.0167"},
		{"LastMonth", "Category=calls&StartDate=2026-03-01", ""},
		{"Daily", "Category=calls", "2026-03-15..2026-03-15  6/0; 2026-03-14..2026-03-14  12/2.1; 2026-02-01..2026-02-01  2/1.0167; 2025-12-31..2025-12-31  1/0.5"},
		{"Monthly", "Category=calls", "2026-03-01..2026-03-31  18/2.1; 2026-02-01..2026-02-28  2/1.0167; 2025-12-01..2025-12-31  1/0.5"},
		{"Yearly", "Category=calls-outbound", "2026-01-01..2026-12-31 -outbound 8/1.0167; 2025-01-01..2025-12-31 -outbound 0/0"},
	} {
		for _, size := range []string{"", "&PageSize=1", "&PageSize=2"} {
			if got := strings.Join(usage(t, c.list, c.query+size, rows), "; "); got != c.want {
				t.Errorf("%s?%s%s:\n got %s\nwant %s", c.list, c.query, size, got, c.want)
			}
		}
	}
	if got := usage(t, "", "Category=calls", nil); len(got) != 1 || got[0] != "2026-03-15..2026-03-15  0/0" {
		t.Errorf("without any calls: %v", got)
	}
}

// A day that is erased between two pages costs neither its neighbours nor the end.
func TestUsagePagesGoOnBehindAnErasedDay(t *testing.T) {
	rows := []store.Rollup{{Day: "2026-03-13", Calls: 1}, {Day: "2026-03-14", Calls: 2}, {Day: "2026-03-15", Calls: 3}}
	u, _ := url.Parse("/x?PageSize=2&Page=1&Category=calls&PageToken=2026-03-14_calls")
	f := Parse(u).Usage("Daily", time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC))
	for _, rows := range [][]store.Rollup{rows, {rows[0], rows[2]}} {
		page := UsagePage(testAccount, f, rows)
		if len(page.UsageRecords) != 1 || *page.UsageRecords[0].StartDate != "2026-03-13" || page.NextPageURI != nil {
			t.Errorf("%+v", page)
		}
	}
}
