package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/domicile-io/domicile/api/data"
)

// Upload is a body with what its sender says of it.
type Upload struct {
	Body        io.Reader
	ContentType string     // "" application/octet-stream; the region looks at the bytes anyway
	Encoding    string     // "", "gzip" or "zstd"
	Query       url.Values // e.g. FreeSWITCH's uuid
	Path        string     // below the feed, e.g. Kamailio's "/acc"; else ""
}

// send posts an upload. It asks before it sends (Expect: 100-continue), so
// that a refused upload costs nothing.
func (r *Region) send(ctx context.Context, path string, u Upload) (data.Counts, error) {
	h := http.Header{"Content-Type": {u.ContentType}, "Expect": {"100-continue"}}
	if u.ContentType == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	if u.Encoding != "" {
		h.Set("Content-Encoding", u.Encoding)
	}
	var out data.Counts
	err := r.wire().once(ctx, request{method: http.MethodPost, path: path + u.Path, query: u.Query, header: h, body: u.Body},
		func(b []byte) error { return json.Unmarshal(b, &out) })
	return out, err
}

// Batch streams NDJSON or a JSON array of data.NewCall. What the counts say is
// durable when this returns without error.
func (r *Region) Batch(ctx context.Context, u Upload) (data.Counts, error) {
	if u.ContentType == "" {
		u.ContentType = "application/x-ndjson"
	}
	return r.send(ctx, "/v1/calls:batch", u)
}

// Feed posts what a source emits, as the feed of that name.
func (r *Region) Feed(ctx context.Context, source, name string, u Upload) (data.Counts, error) {
	return r.send(ctx, feedPath(source, name), u)
}

func feedPath(source, name string) string {
	return "/v1/feeds/" + url.PathEscape(source) + "/" + url.PathEscape(name)
}

// FeedSettings reads a feed's settings; its secret is never returned.
func (r *Region) FeedSettings(ctx context.Context, source, name string) (data.FeedSettings, error) {
	var out data.FeedSettings
	return out, r.get(ctx, feedPath(source, name), nil, &out)
}

// PutFeedSettings replaces a feed's settings.
func (r *Region) PutFeedSettings(ctx context.Context, source, name string, s data.FeedSettings) (data.FeedSettings, error) {
	var out data.FeedSettings
	return out, r.wire().json(ctx, request{method: http.MethodPut, path: feedPath(source, name)}, s, &out)
}

// Quarantine reads one page of what could not be parsed.
func (r *Region) Quarantine(ctx context.Context, pageToken string) (data.Quarantine, error) {
	q := url.Values{}
	if pageToken != "" {
		q.Set("page_token", pageToken)
	}
	var out data.Quarantine
	return out, r.get(ctx, "/v1/quarantine", q, &out)
}

// Replay parses quarantined payloads again.
func (r *Region) Replay(ctx context.Context, in data.Replay) (data.Replayed, error) {
	var out data.Replayed
	return out, r.post(ctx, "/v1/quarantine:replay", in, &out)
}
