package server

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/policy"
)

// Resumable uploads speak tus 1.0.0 (tus.io/protocols/resumable-upload): the
// core protocol and the extensions creation, creation-with-upload,
// creation-defer-length, expiration and termination.
const (
	tusVersion    = "1.0.0"
	tusExtensions = "creation,creation-with-upload,creation-defer-length,expiration,termination"
	tusType       = "application/offset+octet-stream"
)

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// tus checks what every request of the protocol says.
func (x *exchange) tus() (*media.Library, error) {
	h := x.w.Header()
	h.Set("Tus-Resumable", tusVersion)
	h.Set("Cache-Control", "no-store")
	if err := newParams(x.r.URL).done(); err != nil {
		return nil, err
	}
	version, err := single(x.r.Header, "Tus-Resumable")
	if err != nil {
		return nil, err
	}
	if version != tusVersion {
		h.Set("Tus-Version", tusVersion)
		return nil, policy.Errorf(policy.ETagMismatch, "resumable uploads speak tus %s; set Tus-Resumable", tusVersion)
	}
	return x.media()
}

// uploadOptions says what is spoken here.
func (x *exchange) uploadOptions() error {
	h := x.w.Header()
	h.Set("Tus-Resumable", tusVersion)
	h.Set("Tus-Version", tusVersion)
	h.Set("Tus-Extension", tusExtensions)
	h.Set("Tus-Max-Size", strconv.FormatInt(media.MaxRecording, 10))
	return x.nothingMore()
}

// createUpload begins an upload, and takes its first bytes when they come with it.
func (x *exchange) createUpload() error {
	lib, err := x.tus()
	if err != nil {
		return err
	}
	length, err := x.uploadLength()
	if err != nil {
		return err
	}
	call, err := x.uploadCall()
	if err != nil {
		return err
	}
	before, err := x.permit(policy.Ingest, policy.Recording)
	if err != nil {
		return err
	}
	withBytes := x.r.Header.Get("Content-Type") == tusType
	if !withBytes && x.r.ContentLength != 0 {
		return policy.Errorf(policy.UnsupportedMediaType, "an upload's first bytes come as %s; set Content-Type, or send no body", tusType)
	}
	up, err := lib.Begin(x.r.Context(), x.permit, call, length)
	if err != nil {
		return err
	}
	var recording string
	if withBytes {
		up, recording, err = x.takeBytes(lib, up.ID, 0, before)
		if err != nil && up.Offset == 0 {
			x.abandon(lib, up.ID) // the client does not know its address
			return err
		}
	}
	x.w.Header().Set("Location", "/v1/uploads/"+up.ID)
	x.uploadHeaders(up, recording)
	if recording != "" || !withBytes {
		if err := x.stillHome(before); err != nil {
			return err
		}
	}
	x.w.deadline(writeTimeout)
	x.w.WriteHeader(http.StatusCreated)
	return nil
}

// uploadLength reads Upload-Length or Upload-Defer-Length; -1 is deferred.
func (x *exchange) uploadLength() (int64, error) {
	said, err := single(x.r.Header, "Upload-Length")
	if err != nil {
		return 0, err
	}
	deferred, err := single(x.r.Header, "Upload-Defer-Length")
	if err != nil {
		return 0, err
	}
	if said == "" && deferred == "1" {
		return -1, nil
	}
	n, err := strconv.ParseInt(said, 10, 64)
	if err != nil || n < 0 || deferred != "" {
		return 0, invalid([]policy.FieldError{{Field: "Upload-Length", Message: "is not a number of bytes; or say Upload-Defer-Length: 1 instead"}})
	}
	return n, nil
}

// uploadCall takes the call's id out of Upload-Metadata. Everything else that
// clients put there (names of files, of people) is neither kept nor looked at.
func (x *exchange) uploadCall() (string, error) {
	metadata, err := single(x.r.Header, "Upload-Metadata")
	if err != nil {
		return "", err
	}
	for pair := range strings.SplitSeq(metadata, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if name != "call_id" {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil || !policy.ValidID(policy.KindCall, string(raw)) {
			return "", invalid([]policy.FieldError{{Field: "Upload-Metadata", Message: "has a call_id that is not CA and 32 hex digits in base64"}})
		}
		return string(raw), nil
	}
	return "", nil
}

// uploadHeaders says how far an upload is, and what it has become.
func (x *exchange) uploadHeaders(up media.Upload, recording string) {
	h := x.w.Header()
	h.Set("Upload-Offset", strconv.FormatInt(up.Offset, 10))
	if up.Length < 0 {
		h.Set("Upload-Defer-Length", "1")
	} else {
		h.Set("Upload-Length", strconv.FormatInt(up.Length, 10))
	}
	if recording != "" {
		h.Set("Content-Location", "/v1/recordings/"+recording)
	} else {
		h.Set("Upload-Expires", up.Expires.UTC().Format(http.TimeFormat))
	}
}

// takeBytes adds the body to an upload and finishes it when it is complete; the
// id is that of the recording, "" while there is none.
func (x *exchange) takeBytes(lib *media.Library, id string, offset int64, before policy.Permit) (media.Upload, string, error) {
	body := x.paced()
	defer body.Close()
	up, err := lib.Append(x.r.Context(), x.permit, id, offset, body)
	up.ID = id
	if err != nil || !up.Done() {
		return up, "", err
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	r, _, err := lib.Finish(ctx, x.permit, id)
	if err != nil {
		return up, "", err
	}
	return up, r.ID, x.stillHome(before)
}

// patchUpload goes on with an upload.
func (x *exchange) patchUpload() error {
	lib, err := x.tus()
	if err != nil {
		return err
	}
	if x.r.Header.Get("Content-Type") != tusType {
		return policy.Errorf(policy.UnsupportedMediaType, "the bytes of an upload come as %s; set Content-Type", tusType)
	}
	said, err := single(x.r.Header, "Upload-Offset")
	if err != nil {
		return err
	}
	offset, err := strconv.ParseInt(said, 10, 64)
	if err != nil || offset < 0 {
		return invalid([]policy.FieldError{{Field: "Upload-Offset", Message: "is not a number of bytes"}})
	}
	id := x.r.PathValue("id")
	before, err := x.permit(policy.Ingest, policy.Recording)
	if err != nil {
		return err
	}
	if x.r.Header.Get("Upload-Length") != "" {
		length, err := x.uploadLength()
		if err != nil {
			return err
		}
		if _, err := lib.Announce(x.r.Context(), x.permit, id, length); err != nil {
			return err
		}
	}
	up, recording, err := x.takeBytes(lib, id, offset, before)
	if err != nil {
		return brokenOff(err)
	}
	x.uploadHeaders(up, recording)
	return x.nothingMore()
}

// upload says how far an upload is, also when it has become a recording, for a
// client that did not hear so: to HEAD as the protocol says, to GET in JSON.
func (x *exchange) upload() error {
	lib, err := x.media()
	if x.r.Method == http.MethodHead {
		lib, err = x.tus()
	}
	if err != nil {
		return err
	}
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	up, err := lib.Upload(x.r.Context(), x.permit, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	x.uploadHeaders(up, up.Recording)
	if x.r.Method == http.MethodHead {
		x.w.deadline(writeTimeout)
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	out := data.Upload{ID: up.ID, CallID: up.Call, Offset: up.Offset, Length: up.Length, RecordingID: up.Recording}
	if up.Recording == "" {
		out.ExpireTime = &up.Expires
	}
	return x.answer(http.StatusOK, out)
}

// deleteUpload ends an upload and destroys what has arrived.
func (x *exchange) deleteUpload() error {
	lib, err := x.tus()
	if err != nil {
		return err
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	if err := lib.Abort(ctx, x.permit, x.r.PathValue("id")); err != nil {
		return err
	}
	return x.nothingMore()
}
