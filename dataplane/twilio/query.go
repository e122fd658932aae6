package twilio

import (
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Limits of a query.
const (
	defaultPage = 50
	maxPage     = 1000
	maxQuery    = 8 << 10 // bytes
	maxNumber   = 256     // bytes of a number or address
)

// Paging is which page a client asks for. Index is the client's own: it comes
// back, and decides nothing.
type Paging struct {
	Size, Index int
	Token       string

	filters url.Values // as they were given
	path    string
}

// Query reads the parameters of one request, each once. What is wrong is
// collected, and never repeated: it may be a telephone number.
type Query struct {
	given url.Values
	taken url.Values
	bad   []policy.FieldError
	path  string
}

// Parse begins to read a URL's query.
func Parse(u *url.URL) *Query {
	q := &Query{taken: url.Values{}, path: u.Path}
	if len(u.RawQuery) > maxQuery {
		q.fail("query", "is longer than "+strconv.Itoa(maxQuery)+" bytes")
		return q
	}
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		q.fail("query", "is not well-formed; percent-encode what is not a letter or digit")
	}
	q.given = given
	return q
}

func (q *Query) fail(field, message string) {
	q.bad = append(q.bad, policy.FieldError{Field: field, Message: message})
}

// take reads a parameter; "" when it is absent or empty, as clients leave those
// that were not set.
func (q *Query) take(name string) string {
	values := q.given[name]
	delete(q.given, name)
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return ""
	case len(values) > 1:
		q.fail(name, "stands more than once")
		return ""
	}
	q.taken.Set(name, values[0])
	return values[0]
}

// Done refuses what was bad and what nobody took: a filter that is not known
// would otherwise show more than was asked for.
func (q *Query) Done() error {
	if len(q.given) > 0 {
		q.fail("query", "has a parameter that this path does not take")
	}
	if len(q.bad) == 0 {
		return nil
	}
	names := make([]string, 0, len(q.bad))
	for _, f := range q.bad {
		names = append(names, f.Field)
	}
	sort.Strings(names)
	e := policy.Errorf(policy.InvalidArgument, "these are not usable: %s; correct them and send the request again", strings.Join(slices.Compact(names), ", "))
	e.Fields = q.bad
	return e
}

// Paging reads what says which page; it comes after the filters.
func (q *Query) Paging() Paging {
	p := Paging{Size: defaultPage, filters: url.Values{}, path: q.path}
	for name, values := range q.taken {
		p.filters[name] = values
	}
	if s := q.take("PageSize"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			q.fail("PageSize", "is not a whole number from 1 to "+strconv.Itoa(maxPage))
		}
		p.Size = min(n, maxPage) // the API gives its most to who asks for more
	}
	if s := q.take("Page"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 1<<30 {
			q.fail("Page", "is not a whole number")
		}
		p.Index = n
	}
	if p.Token = q.take("PageToken"); p.Index > 0 && p.Token == "" {
		q.fail("PageToken", "is needed for any page but the first: follow next_page_uri")
	}
	return p
}

// Describe is what is said around a page of n rows; next is the token of the page
// behind it, "" at the end.
func (p *Paging) Describe(n int, next string) Page { return p.page(p.path, p.filters, n, next) }

// Sid reads a parameter that names something: two capitals and 32 hex digits.
func (q *Query) Sid(name string, kind policy.IDKind) string {
	s := q.take(name)
	if s == "" {
		return ""
	}
	id := string(kind) + strings.ToLower(strings.TrimPrefix(s, string(kind)))
	if !policy.ValidID(kind, id) {
		q.fail(name, "is not "+string(kind)+" and 32 hex digits")
	}
	return id
}

// flag reads true or false.
func (q *Query) flag(name string) {
	switch q.take(name) {
	case "", "true", "false":
	default:
		q.fail(name, "is not true or false")
	}
}

// Span is [From, Until); the zero times are open ends.
type Span struct{ From, Until time.Time }

// Holds reports whether a time lies in the span. Only an open span holds the zero
// time, which is not known.
func (s Span) Holds(t time.Time) bool {
	if s == (Span{}) {
		return true
	}
	return !t.IsZero() && (s.From.IsZero() || !t.Before(s.From)) && (s.Until.IsZero() || t.Before(s.Until))
}

func (s *Span) narrow(from, until time.Time) {
	if from.After(s.From) {
		s.From = from
	}
	if !until.IsZero() && (s.Until.IsZero() || until.Before(s.Until)) {
		s.Until = until
	}
}

// Empty reports that nothing lies in the span.
func (s Span) Empty() bool { return !s.Until.IsZero() && !s.From.Before(s.Until) }

// span reads name, name< and name>: on a day (or within a second), before, and on
// or after. The signs are part of the names.
func (q *Query) span(name string) (s Span) {
	if at, length := q.moment(name); !at.IsZero() {
		s.narrow(at, at.Add(length))
	}
	if at, _ := q.moment(name + "<"); !at.IsZero() {
		s.narrow(time.Time{}, at)
	}
	if at, _ := q.moment(name + ">"); !at.IsZero() {
		s.narrow(at, time.Time{})
	}
	return s
}

// moment reads a day of UTC or a time, and how long what it names lasts.
func (q *Query) moment(name string) (time.Time, time.Duration) {
	s := q.take(name)
	if s == "" {
		return time.Time{}, 0
	}
	if at, err := time.Parse(time.DateOnly, s); err == nil {
		return at, 24 * time.Hour
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.RFC1123Z} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), time.Second
		}
	}
	q.fail(name, "is neither a day such as 2026-01-02 nor a time such as 2026-01-02T03:04:05Z")
	return time.Time{}, 0
}
