package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/api/data"
)

// Region is one region's REST surface. Its methods may be called concurrently.
type Region struct {
	BaseURL string       // https://host:port
	Key     string       // sk_<region>_…
	HTTP    *http.Client // nil: http.DefaultClient
}

func (r *Region) wire() wire { return wire{base: r.BaseURL, bearer: r.Key, http: r.HTTP} }

func (r *Region) get(ctx context.Context, path string, query url.Values, out any) error {
	return r.wire().json(ctx, request{method: http.MethodGet, path: path, query: query}, nil, out)
}

func (r *Region) post(ctx context.Context, path string, in, out any) error {
	return r.wire().json(ctx, request{method: http.MethodPost, path: path}, in, out)
}

// Filter narrows a list of calls; zero fields do not narrow.
type Filter struct {
	Start, End time.Time // start ≤ list time < end
	Status     string
	Direction  string
	PageSize   int // at most 1000
	PageToken  string
}

func (f Filter) query() url.Values {
	q := url.Values{}
	set := func(k, v string) {
		if v != "" {
			q.Set(k, v)
		}
	}
	if !f.Start.IsZero() {
		q.Set("start", f.Start.UTC().Format(time.RFC3339Nano))
	}
	if !f.End.IsZero() {
		q.Set("end", f.End.UTC().Format(time.RFC3339Nano))
	}
	if f.PageSize > 0 {
		q.Set("page_size", strconv.Itoa(f.PageSize))
	}
	set("status", f.Status)
	set("direction", f.Direction)
	set("page_token", f.PageToken)
	return q
}

// CreateCall stores one record; it is durable when this returns without error.
func (r *Region) CreateCall(ctx context.Context, c data.NewCall) (data.Created, error) {
	var out data.Created
	return out, r.post(ctx, "/v1/calls", c, &out)
}

// Call reads one call by id.
func (r *Region) Call(ctx context.Context, id string) (data.Call, error) {
	var out data.Call
	return out, r.get(ctx, "/v1/calls/"+url.PathEscape(id), nil, &out)
}

// DeleteCall destroys a call for good, with its recordings and transcripts.
func (r *Region) DeleteCall(ctx context.Context, id string) error {
	return r.wire().json(ctx, request{method: http.MethodDelete, path: "/v1/calls/" + url.PathEscape(id)}, nil, nil)
}

// Calls reads one page.
func (r *Region) Calls(ctx context.Context, f Filter) (data.Calls, error) {
	var out data.Calls
	return out, r.get(ctx, "/v1/calls", f.query(), &out)
}

// AllCalls reads every page and hands each call to yield, which may stop it by an error.
func (r *Region) AllCalls(ctx context.Context, f Filter, yield func(data.Call) error) error {
	for {
		page, err := r.Calls(ctx, f)
		if err != nil {
			return err
		}
		for _, c := range page.Calls {
			if err := yield(c); err != nil {
				return err
			}
		}
		if page.NextPageToken == "" {
			return nil
		}
		f.PageToken = page.NextPageToken
	}
}

// SearchCalls finds calls of a number; it travels in the body, never in a URL.
func (r *Region) SearchCalls(ctx context.Context, s data.Search) (data.Calls, error) {
	var out data.Calls
	return out, r.post(ctx, "/v1/calls:search", s, &out)
}

// ExportCalls streams the tenant's own calls as "ndjson" or "csv"; the caller
// closes the stream.
func (r *Region) ExportCalls(ctx context.Context, format string, f Filter) (io.ReadCloser, error) {
	q := f.query()
	q.Set("format", format)
	resp, err := r.wire().do(ctx, request{method: http.MethodGet, path: "/v1/calls:export", query: q})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
