package server

import (
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	defaultPageSize = 100
	maxPageSize     = 1000
	maxQuery        = 8 << 10 // bytes of a query string
)

// params reads a query string strictly: every parameter is taken once and
// named, and what is left over is an error. Errors are collected, so that the
// caller sees all of them, and never repeat a value.
type params struct {
	values url.Values
	bad    []policy.FieldError
}

func newParams(u *url.URL) *params {
	p := &params{}
	if u.RawQuery == "" {
		return p
	}
	if len(u.RawQuery) > maxQuery {
		p.fail("query", "is longer than "+strconv.Itoa(maxQuery)+" bytes")
		p.values = url.Values{}
		return p
	}
	var err error
	if p.values, err = url.ParseQuery(u.RawQuery); err != nil {
		p.fail("query", "is not well-formed; percent-encode what is not a letter or digit")
	}
	return p
}

func (p *params) fail(field, message string) {
	p.bad = append(p.bad, policy.FieldError{Field: field, Message: message})
}

// take removes a parameter; "" when it is absent.
func (p *params) take(name string) string {
	v, ok := p.values[name]
	delete(p.values, name)
	switch {
	case !ok:
		return ""
	case len(v) > 1:
		p.fail(name, "stands more than once")
		return ""
	case v[0] == "":
		p.fail(name, "is empty; leave it out instead")
	}
	return v[0]
}

// done refuses what was bad and what nobody took.
func (p *params) done() error {
	left := make([]string, 0, len(p.values))
	for name := range p.values {
		left = append(left, name)
	}
	sort.Strings(left)
	for _, name := range left {
		if !plainName(name) {
			name = "query"
		}
		p.fail(name, "is not a parameter of this path")
	}
	return invalid(p.bad)
}

// plainName reports whether a name that a client made up can be repeated to it:
// it cannot be a telephone number.
func plainName(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) < 0
}

// invalid is INVALID_ARGUMENT with every bad field, nil when there is none.
func invalid(bad []policy.FieldError) error {
	if len(bad) == 0 {
		return nil
	}
	names := make([]string, 0, len(bad))
	for _, f := range bad {
		names = append(names, f.Field)
	}
	e := policy.Errorf(policy.InvalidArgument, "these are not usable: %s; correct them and send the request again", strings.Join(names, ", "))
	e.Fields = bad
	return e
}

// instant reads an RFC 3339 time; the zero time when absent.
func (p *params) instant(name string) time.Time {
	s := p.take(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		p.fail(name, "is not an RFC 3339 time such as 2026-01-02T03:04:05Z (percent-encode the + of an offset)")
		return time.Time{}
	}
	return t.UTC()
}

// span reads start and end: start is inclusive, end exclusive; an absent end
// is never and an absent start the beginning.
func (p *params) span() (start, end time.Time) {
	start, end = p.instant("start"), p.instant("end")
	if end.IsZero() {
		end = endOfTime
	}
	if !start.IsZero() && !start.Before(end) {
		p.fail("start", "is not before end")
	}
	return start, end
}

func (p *params) pageSize() int {
	s := p.take("page_size")
	if s == "" {
		return defaultPageSize
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxPageSize {
		p.fail("page_size", "is not a whole number from 1 to "+strconv.Itoa(maxPageSize))
	}
	return n
}

func (p *params) status() record.Status {
	s := record.Status(p.take("status"))
	switch s {
	case "", record.Queued, record.Ringing, record.InProgress, record.Completed, record.Busy, record.Failed, record.NoAnswer, record.Canceled:
		return s
	}
	p.fail("status", "is not one of queued, ringing, in-progress, completed, busy, failed, no-answer, canceled")
	return ""
}

func (p *params) direction() record.Direction {
	d := record.Direction(p.take("direction"))
	switch d {
	case "", record.Inbound, record.Outbound, record.Internal:
		return d
	}
	p.fail("direction", "is not one of inbound, outbound, internal")
	return ""
}

func (p *params) day(name string) string {
	s := p.take(name)
	if s == "" {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		p.fail(name, "is not a day such as 2026-01-02")
		return ""
	}
	return s
}

// calls reads the filters that lists and exports share.
func (p *params) calls() store.Query {
	q := store.Query{Status: p.status(), Direction: p.direction()}
	q.Start, q.End = p.span()
	return q
}

// number is a whole number from 0; absent, 0.
func (p *params) number(name string) uint64 {
	text := p.take(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		p.fail(name, "is not a whole number from 0")
	}
	return n
}
