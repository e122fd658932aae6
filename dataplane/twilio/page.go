package twilio

import (
	"net/url"
	"strconv"
)

// Page is what the API says around a list. Lists go forward only: a previous page
// is null. Uris are relative, as that API's clients expect; they hold the filters
// that were asked for, numbers among them, because that API has no other place.
type Page struct {
	FirstPageURI    string  `json:"first_page_uri"`
	NextPageURI     *string `json:"next_page_uri"`
	PreviousPageURI *string `json:"previous_page_uri"`
	URI             string  `json:"uri"`
	Page            int     `json:"page"`
	PageSize        int     `json:"page_size"`
	Start           int     `json:"start"`
	End             int     `json:"end"`
}

// Calls is a page of calls, and so on: the list stands under its plural's name.
type Calls struct {
	Page
	Calls []Call `json:"calls"`
}

// Recordings is a page of an account's recordings.
type Recordings struct {
	Page
	Recordings []Recording `json:"recordings"`
}

// CallRecordings is a page of a call's recordings.
type CallRecordings struct {
	Page
	Recordings []CallRecording `json:"recordings"`
}

// UsageRecords is a page of usage records.
type UsageRecords struct {
	Page
	UsageRecords []UsageRecord `json:"usage_records"`
}

// page describes a page of n rows; next is the token of the page behind it, "" at
// the end.
func (p *Paging) page(path string, filters url.Values, n int, next string) Page {
	at := func(page int, token string) string {
		q := url.Values{}
		for name, values := range filters {
			q[name] = values
		}
		q.Set("PageSize", strconv.Itoa(p.Size))
		q.Set("Page", strconv.Itoa(page))
		if token != "" {
			q.Set("PageToken", token)
		}
		return path + "?" + q.Encode()
	}
	out := Page{FirstPageURI: at(0, ""), URI: at(p.Index, p.Token), Page: p.Index, PageSize: p.Size, Start: p.Index * p.Size}
	out.End = max(out.Start+n-1, out.Start)
	if next != "" {
		out.NextPageURI = text(at(p.Index+1, next))
	}
	return out
}
