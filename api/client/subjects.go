package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/domicile-io/domicile/api/data"
)

// FindSubjects lists the owners of a number; it travels in the body, never in a URL.
func (r *Region) FindSubjects(ctx context.Context, who data.SubjectRef) (data.Owners, error) {
	var out data.Owners
	return out, r.post(ctx, "/v1/subjects:find", who, &out)
}

// ReassignSubject records that a number went to somebody else.
func (r *Region) ReassignSubject(ctx context.Context, in data.SubjectReassign) (data.Owners, error) {
	var out data.Owners
	return out, r.post(ctx, "/v1/subjects:reassign", in, &out)
}

// ExportSubject streams a person's archive, a zip; the caller closes it. One that
// breaks off has no manifest.json, which is the last part.
func (r *Region) ExportSubject(ctx context.Context, in data.SubjectExport) (io.ReadCloser, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	resp, err := r.wire().do(ctx, request{method: http.MethodPost, path: "/v1/subjects:export", body: bytes.NewReader(body), header: http.Header{"Content-Type": {"application/json"}}})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// EraseSubject begins an erasure and answers its certificate.
func (r *Region) EraseSubject(ctx context.Context, who data.SubjectRef) (data.Certificate, error) {
	var out data.Certificate
	return out, r.post(ctx, "/v1/subjects:erase", who, &out)
}

// Certificate reads one certificate of an erasure.
func (r *Region) Certificate(ctx context.Context, id string) (data.Certificate, error) {
	var out data.Certificate
	return out, r.get(ctx, "/v1/certificates/"+url.PathEscape(id), nil, &out)
}

// Certificates reads one page of certificates.
func (r *Region) Certificates(ctx context.Context, pageToken string) (data.Certificates, error) {
	var out data.Certificates
	return out, r.get(ctx, "/v1/certificates", page(pageToken), &out)
}

// Holds reads one page of legal holds.
func (r *Region) Holds(ctx context.Context, pageToken string) (data.Holds, error) {
	var out data.Holds
	return out, r.get(ctx, "/v1/holds", page(pageToken), &out)
}

// PutHold places a legal hold.
func (r *Region) PutHold(ctx context.Context, in data.HoldRequest) (data.Hold, error) {
	var out data.Hold
	return out, r.post(ctx, "/v1/holds", in, &out)
}

// ReleaseHold ends a legal hold.
func (r *Region) ReleaseHold(ctx context.Context, id string) (data.Hold, error) {
	var out data.Hold
	return out, r.post(ctx, "/v1/holds:release", data.HoldRelease{ID: id}, &out)
}

func page(token string) url.Values {
	q := url.Values{}
	if token != "" {
		q.Set("page_token", token)
	}
	return q
}
