package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

// uploadTries is how often an upload that breaks off is taken up again without
// having got any further.
const uploadTries = 5

// UploadRecording sends a recording of size bytes for a call ("": none) by tus
// 1.0: an upload that breaks off goes on where it stopped. progress, which may be
// nil, hears how many bytes are durable.
func (r *Region) UploadRecording(ctx context.Context, call string, file io.ReadSeeker, size int64, progress func(int64)) (data.Recording, error) {
	h := http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Length": {strconv.FormatInt(size, 10)}}
	if call != "" {
		h.Set("Upload-Metadata", "call_id "+base64.StdEncoding.EncodeToString([]byte(call)))
	}
	resp, err := r.tus(ctx, request{method: http.MethodPost, path: "/v1/uploads", header: h})
	if err != nil {
		return data.Recording{}, err
	}
	at := "/v1/uploads/" + path.Base(resp.Get("Location"))
	offset, failed := int64(0), 0
	for {
		resp, err := r.patch(ctx, at, file, offset)
		if err == nil {
			if offset, err = strconv.ParseInt(resp.Get("Upload-Offset"), 10, 64); err == nil {
				tell(progress, offset)
				if made := resp.Get("Content-Location"); made != "" {
					return r.Recording(ctx, path.Base(made))
				}
				err = fmt.Errorf("%d of %d bytes were sent and the recording is not whole: has the file become shorter?", offset, size)
			}
		}
		if failed++; failed > uploadTries || ctx.Err() != nil || !worthAgain(err) {
			return data.Recording{}, err
		}
		var u data.Upload
		if askErr := r.get(ctx, at, nil, &u); askErr == nil {
			if u.RecordingID != "" {
				return r.Recording(ctx, u.RecordingID)
			}
			if u.Offset > offset {
				failed = 0
			}
			offset = u.Offset
			tell(progress, offset)
		}
		select {
		case <-ctx.Done():
			return data.Recording{}, ctx.Err()
		case <-time.After(time.Duration(failed) * 200 * time.Millisecond):
		}
	}
}

func tell(progress func(int64), n int64) {
	if progress != nil {
		progress(n)
	}
}

// worthAgain reports whether an upload may get further when it is taken up again.
func worthAgain(err error) bool {
	var e *policy.Error
	if !errors.As(err, &e) {
		return true
	}
	switch e.Reason {
	case policy.NotReady, policy.OutcomeUnknown, policy.Overloaded, policy.AlreadyExists, policy.Internal:
		return true
	}
	return false
}

// patch sends everything from offset on.
func (r *Region) patch(ctx context.Context, at string, file io.ReadSeeker, offset int64) (http.Header, error) {
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	h := http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Offset": {strconv.FormatInt(offset, 10)},
		"Content-Type": {"application/offset+octet-stream"}, "Expect": {"100-continue"}}
	body := &lent{file: file}
	defer body.takeBack()
	return r.tus(ctx, request{method: http.MethodPatch, path: at, header: h, body: body})
}

// lent is a file that a request reads until it is taken back. A transport may go
// on reading a body after its request has failed ([http.RoundTripper]); without
// this it would read what the next try has just sought, and sound would be lost.
type lent struct {
	mu   sync.Mutex
	file io.Reader // nil: taken back
}

func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0, errors.New("this request has ended")
	}
	return l.file.Read(p)
}

func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = nil
}

// tus sends one request and answers the headers.
func (r *Region) tus(ctx context.Context, q request) (http.Header, error) {
	resp, err := r.wire().do(ctx, q)
	if err != nil {
		return nil, err
	}
	return resp.Header, resp.Body.Close()
}

// Recording reads what is known of a recording.
func (r *Region) Recording(ctx context.Context, id string) (data.Recording, error) {
	var out data.Recording
	return out, r.get(ctx, "/v1/recordings/"+url.PathEscape(id), nil, &out)
}

// MediaFilter narrows a list of recordings or transcripts; zero fields do not narrow.
type MediaFilter struct {
	Call       string
	Start, End time.Time
	PageSize   int
	PageToken  string
}

func (f MediaFilter) query() url.Values {
	q := Filter{Start: f.Start, End: f.End, PageSize: f.PageSize, PageToken: f.PageToken}.query()
	if f.Call != "" {
		q.Set("call_id", f.Call)
	}
	return q
}

// Recordings reads one page, in order of time.
func (r *Region) Recordings(ctx context.Context, f MediaFilter) (data.Recordings, error) {
	var out data.Recordings
	return out, r.get(ctx, "/v1/recordings", f.query(), &out)
}

// RecordingMedia opens a recording's sound, from an offset on. The caller closes it.
func (r *Region) RecordingMedia(ctx context.Context, id string, from int64) (io.ReadCloser, error) {
	h := http.Header{}
	if from > 0 {
		h.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	}
	resp, err := r.wire().do(ctx, request{method: http.MethodGet, path: "/v1/recordings/" + url.PathEscape(id) + "/media", header: h})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// DeleteRecording destroys a recording for good.
func (r *Region) DeleteRecording(ctx context.Context, id string) error {
	return r.wire().json(ctx, request{method: http.MethodDelete, path: "/v1/recordings/" + url.PathEscape(id)}, nil, nil)
}

// PutTranscript stores a transcript; it is durable when this returns without error.
func (r *Region) PutTranscript(ctx context.Context, in data.NewTranscript) (data.Transcript, error) {
	var out data.Transcript
	return out, r.post(ctx, "/v1/transcripts", in, &out)
}

// Transcript reads one with its segments.
func (r *Region) Transcript(ctx context.Context, id string) (data.Transcript, error) {
	var out data.Transcript
	return out, r.get(ctx, "/v1/transcripts/"+url.PathEscape(id), nil, &out)
}

// Transcripts reads one page, in order of time, without segments.
func (r *Region) Transcripts(ctx context.Context, f MediaFilter) (data.Transcripts, error) {
	var out data.Transcripts
	return out, r.get(ctx, "/v1/transcripts", f.query(), &out)
}

// SearchTranscripts reads one page of a search.
func (r *Region) SearchTranscripts(ctx context.Context, in data.TranscriptSearch) (data.TranscriptMatches, error) {
	var out data.TranscriptMatches
	return out, r.post(ctx, "/v1/transcripts:search", in, &out)
}

// DeleteTranscript destroys a transcript for good.
func (r *Region) DeleteTranscript(ctx context.Context, id string) error {
	return r.wire().json(ctx, request{method: http.MethodDelete, path: "/v1/transcripts/" + url.PathEscape(id)}, nil, nil)
}
