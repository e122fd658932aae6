package server

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/policy"
)

var errNoMedia = policy.Errorf(policy.NotYet, "this node keeps no recordings or transcripts")

// media is the node's library, or NOT_YET.
func (x *exchange) media() (*media.Library, error) {
	if x.s.o.Media == nil {
		return nil, errNoMedia
	}
	return x.s.o.Media, nil
}

// createRecording stores a recording that comes in one request. It is durable
// when this answers 201. A connection that breaks leaves nothing; what is long
// is better sent as a resumable upload.
func (x *exchange) createRecording() error {
	p := newParams(x.r.URL)
	call := p.take("call_id")
	if err := p.done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	if err := x.wantSound(); err != nil {
		return err
	}
	before, err := x.permit(policy.Ingest, policy.Recording)
	if err != nil {
		return err
	}
	ctx := x.r.Context()
	up, err := lib.Begin(ctx, x.permit, call, x.r.ContentLength)
	if err != nil {
		return err
	}
	body := x.paced()
	defer body.Close()
	if _, err := lib.Append(ctx, x.permit, up.ID, 0, body); err != nil {
		x.abandon(lib, up.ID)
		return brokenOff(err)
	}
	finish, cancel := x.detached(appendTimeout)
	defer cancel()
	r, duplicate, err := lib.Finish(finish, x.permit, up.ID)
	if err != nil {
		x.abandon(lib, up.ID)
		return err
	}
	if err := x.stillHome(before); err != nil {
		return err
	}
	out := recordingForm(r, x.s.o.Region)
	out.State = "stored"
	if duplicate {
		out.State = "duplicate"
	}
	x.w.Header().Set("Location", "/v1/recordings/"+r.ID)
	return x.answer(http.StatusCreated, out)
}

// abandon ends an upload that its request could not finish. If that fails too,
// it expires.
func (x *exchange) abandon(lib *media.Library, id string) {
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	_ = lib.Abort(ctx, x.permit, id)
}

// wantSound refuses what is declared to be something else; what it is, its
// content says.
func (x *exchange) wantSound() error {
	if encoding := x.r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return policy.Errorf(policy.UnsupportedMediaType, "recordings are taken as they are; leave out Content-Encoding")
	}
	declared := x.r.Header.Get("Content-Type")
	if declared == "" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(declared)
	if err == nil && (strings.HasPrefix(kind, "audio/") || kind == "application/octet-stream" || kind == "application/ogg") {
		return nil
	}
	return policy.Errorf(policy.UnsupportedMediaType, "this path takes sound: audio/wav, audio/ogg or audio/mpeg; set Content-Type")
}

func recordingForm(r media.Recording, region policy.RegionID) data.Recording {
	return data.Recording{ID: r.ID, CallID: r.Call, Format: string(r.Format), MediaType: r.Format.MediaType(), SizeBytes: r.Size, SHA256: r.SHA256,
		Channels: r.Channels, DurationMS: r.Duration.Milliseconds(), CreateTime: r.Created.UTC(), MediaURL: "/v1/recordings/" + r.ID + "/media", Region: string(region)}
}

// listRecordings lists by time of creation, or those of one call.
func (x *exchange) listRecordings() error {
	q, err := x.mediaQuery()
	if err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	list, next, err := lib.Recordings(x.r.Context(), x.permit, q)
	if err != nil {
		return err
	}
	out := data.Recordings{Recordings: make([]data.Recording, 0, len(list)), NextPageToken: next}
	for _, r := range list {
		out.Recordings = append(out.Recordings, recordingForm(r, x.s.o.Region))
	}
	return x.answer(http.StatusOK, out)
}

// mediaQuery reads the filters of lists of recordings and transcripts.
func (x *exchange) mediaQuery() (media.Query, error) {
	p := newParams(x.r.URL)
	q := media.Query{Call: p.take("call_id"), PageSize: p.pageSize(), PageToken: p.take("page_token")}
	q.Start, q.End = p.span()
	if q.Call != "" && !policy.ValidID(policy.KindCall, q.Call) {
		p.fail("call_id", "is not CA and 32 hex digits")
	}
	return q, p.done()
}

// recording answers what is known of one recording, without its sound.
func (x *exchange) recording() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	r, err := lib.Recording(x.r.Context(), x.permit, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, recordingForm(r, x.s.o.Region))
}

// recordingMedia serves the sound: whole or in ranges (RFC 9110 section 14). It
// never changes, so that its id is its strong validator. Nothing on the way may
// keep it, and a browser must not take it for anything but what it is.
func (x *exchange) recordingMedia() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	r, sound, err := lib.Open(x.r.Context(), x.permit, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	return x.sendSound(r, sound)
}

// sendSound answers with a recording's bytes, and closes them.
func (x *exchange) sendSound(r media.Recording, sound *media.Reader) error {
	defer sound.Close()
	h := x.w.Header()
	h.Set("Content-Type", r.Format.MediaType())
	h.Set("ETag", `"`+r.ID+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Disposition", `attachment; filename="`+r.ID+`.`+r.Format.Extension()+`"`)
	out := &pacedResponse{ResponseWriter: x.w, paced: pacedWriter{w: x.w, place: x.place, rc: http.NewResponseController(x.w)}}
	checked := &checkedSound{Reader: sound, still: x.still(policy.View, policy.Recording)}
	http.ServeContent(out, x.r, "", time.Time{}, checked)
	if checked.err != nil {
		return checked.err // the answer has begun: the connection is cut
	}
	return nil
}

// pacedResponse is an answer whose body must keep being taken.
type pacedResponse struct {
	http.ResponseWriter
	paced pacedWriter
}

func (p *pacedResponse) Write(b []byte) (int, error) { return p.paced.Write(b) }

// checkedSound remembers why sound could not be read, which ServeContent does
// not tell. A client may take it for hours, so that it is decided again meanwhile.
type checkedSound struct {
	*media.Reader
	still func() error
	err   error
}

func (c *checkedSound) Read(b []byte) (int, error) {
	if err := c.still(); err != nil {
		c.err = err
		return 0, err
	}
	n, err := c.Reader.Read(b)
	if err != nil && !isEnd(err) {
		c.err = err
	}
	return n, err
}

// deleteRecording destroys a recording's key, then its bytes.
func (x *exchange) deleteRecording() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	if err := x.destroyRecording(lib, x.r.PathValue("id")); err != nil {
		return err
	}
	return x.nothingMore()
}

func (x *exchange) destroyRecording(lib *media.Library, id string) error {
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	return x.destroy(ctx, func() (string, error) {
		r, err := lib.Recording(ctx, x.permit, id)
		return r.Call, err
	}, func(ctx context.Context) error { return lib.Delete(ctx, x.permit, id) })
}

// destroy destroys what no legal hold covers; call names the call that it is of.
func (x *exchange) destroy(ctx context.Context, call func() (string, error), destroy func(context.Context) error) error {
	if x.s.o.Subjects == nil { // then nobody can place a hold
		return destroy(ctx)
	}
	return x.s.o.Subjects.Destroy(ctx, x.who.Tenant, call, destroy)
}

// nothingMore answers 204.
func (x *exchange) nothingMore() error {
	x.w.deadline(writeTimeout)
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
