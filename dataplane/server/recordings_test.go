package server

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

// wav is a file of size bytes: 16 bit, mono, 8 kHz, noise.
func wav(size int, seed byte) []byte {
	out := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(out)
	copy(out, "RIFF")
	binary.LittleEndian.PutUint32(out[4:], uint32(size-8))
	copy(out[8:], "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	binary.LittleEndian.PutUint32(out[40:], uint32(size-44))
	return out
}

// newCall stores a call and tells its id.
func (r *region) newCall(key, nativeID string) string {
	r.t.Helper()
	status, h, raw := r.ask(http.MethodPost, "/v1/calls", key, strings.NewReader(native(nativeID, "completed", 1)), "Content-Type", "application/json")
	if status != http.StatusCreated {
		r.t.Fatalf("%d %s", status, raw)
	}
	return path.Base(h.Get("Location"))
}

func (r *region) record(key, query string, sound []byte) data.Recording {
	r.t.Helper()
	status, h, raw := r.ask(http.MethodPost, "/v1/recordings"+query, key, bytes.NewReader(sound), "Content-Type", "audio/wav")
	if status != http.StatusCreated {
		r.t.Fatalf("%d %s", status, raw)
	}
	var out data.Recording
	must(r.t, json.Unmarshal(raw, &out))
	if h.Get("Location") != "/v1/recordings/"+out.ID {
		r.t.Errorf("location %q of %s", h.Get("Location"), out.ID)
	}
	return out
}

func TestRecordingsAreKeptAndServed(t *testing.T) {
	r := start(t)
	call := r.newCall(writer, "one")
	sound := wav(3<<20+5, 1)
	got := r.record(writer, "?call_id="+call, sound)
	if got.CallID != call || got.State != "stored" || got.Format != "wav" || got.SizeBytes != int64(len(sound)) || got.Channels != 1 || got.Region != "ie1" {
		t.Fatalf("%+v", got)
	}
	if again := r.record(admin, "?call_id="+call, sound); again.ID != got.ID || again.State != "duplicate" {
		t.Errorf("again: %+v", again)
	}
	other := r.record(writer, "", sound)
	if other.ID == got.ID || other.CallID != "" {
		t.Errorf("without a call: %+v", other)
	}
	var shown data.Recording
	r.get("/v1/recordings/"+got.ID, reader, &shown)
	if got.State = ""; shown != got {
		t.Errorf("shown as %+v, was %+v", shown, got)
	}
	var list data.Recordings
	r.get("/v1/recordings?page_size=1", reader, &list)
	if len(list.Recordings) != 1 || list.Recordings[0].ID != got.ID || list.NextPageToken == "" {
		t.Errorf("first page: %+v", list)
	}
	r.get("/v1/recordings?call_id="+call, reader, &list)
	if len(list.Recordings) != 1 || list.Recordings[0].ID != got.ID {
		t.Errorf("of the call: %+v", list)
	}
	var c data.Call
	r.get("/v1/calls/"+call, reader, &c)
	if len(c.RecordingIDs) != 1 || c.RecordingIDs[0] != got.ID {
		t.Errorf("the call shows %v", c.RecordingIDs)
	}
	r.refusal(policy.PermissionDenied, http.MethodDelete, "/v1/recordings/"+got.ID, writer, "")
	if status, _, raw := r.ask(http.MethodDelete, "/v1/recordings/"+got.ID, admin, nil); status != http.StatusNoContent || len(raw) != 0 {
		t.Errorf("delete: %d %s", status, raw)
	}
	for _, at := range []string{"", "/media"} {
		r.refusal(policy.NotFound, http.MethodGet, "/v1/recordings/"+got.ID+at, reader, "")
	}
	r.refusal(policy.NotFound, http.MethodDelete, "/v1/recordings/"+got.ID, admin, "")
}

// Ranges are answered as RFC 9110 section 14 says, from the frames that they touch.
func TestRecordingRanges(t *testing.T) {
	r := start(t)
	sound := wav(300_000, 2)
	rec := r.record(writer, "", sound)
	at := "/v1/recordings/" + rec.ID + "/media"
	etag := `"` + rec.ID + `"`
	for _, c := range []struct {
		header []string
		status int
		want   []byte
	}{
		{nil, 200, sound},
		{[]string{"Range", "bytes=0-0"}, 206, sound[:1]},
		{[]string{"Range", "bytes=65535-65536"}, 206, sound[65535:65537]},
		{[]string{"Range", "bytes=299999-"}, 206, sound[299_999:]},
		{[]string{"Range", "bytes=-70000"}, 206, sound[230_000:]},
		{[]string{"Range", "bytes=100-", "If-Range", etag}, 206, sound[100:]},
		{[]string{"Range", "bytes=100-", "If-Range", `"RE0"`}, 200, sound},
		{[]string{"Range", "bytes=300000-"}, 416, nil},
		{[]string{"If-None-Match", etag}, 304, []byte{}},
		{[]string{"If-Match", `"RE0"`}, 412, []byte{}},
	} {
		status, h, got := r.ask(http.MethodGet, at, reader, nil, c.header...)
		if status != c.status || c.want != nil && !bytes.Equal(got, c.want) {
			t.Errorf("%v: %d with %d bytes, want %d with %d", c.header, status, len(got), c.status, len(c.want))
		}
		if status < 300 && (h.Get("Content-Type") != "audio/wav" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("ETag") != etag ||
			!strings.HasPrefix(h.Get("Content-Disposition"), "attachment")) {
			t.Errorf("%v: headers %v", c.header, h)
		}
	}
	status, h, got := r.ask(http.MethodHead, at, reader, nil)
	if status != 200 || len(got) != 0 || h.Get("Content-Length") != strconv.Itoa(len(sound)) || h.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %d, %d bytes, %v", status, len(got), h)
	}
	_, h, got = r.ask(http.MethodGet, at, reader, nil, "Range", "bytes=0-9,100000-100009")
	_, p, err := mime.ParseMediaType(h.Get("Content-Type"))
	must(t, err)
	parts := multipart.NewReader(bytes.NewReader(got), p["boundary"])
	for _, from := range []int{0, 100_000} {
		part, err := parts.NextPart()
		must(t, err)
		if raw, err := io.ReadAll(part); err != nil || !bytes.Equal(raw, sound[from:from+10]) {
			t.Errorf("part at %d: %d bytes, %v", from, len(raw), err)
		}
	}
}

// What is not sound is 415, whatever it says it is; too much is 413; nothing of
// it is kept.
func TestRecordingsAreCheckedByContent(t *testing.T) {
	r := start(t)
	html := "<html><script>" + strings.Repeat("x", 10_000)
	for _, kind := range []string{"audio/wav", "audio/mpeg", "application/octet-stream", ""} {
		status, h, raw := r.ask(http.MethodPost, "/v1/recordings", writer, strings.NewReader(html), "Content-Type", kind)
		r.problem(policy.UnsupportedMediaType, status, h, raw)
	}
	for _, header := range [][]string{{"Content-Type", "application/json"}, {"Content-Type", "audio/wav", "Content-Encoding", "gzip"}} {
		status, h, raw := r.ask(http.MethodPost, "/v1/recordings", writer, bytes.NewReader(wav(1000, 1)), header...)
		r.problem(policy.UnsupportedMediaType, status, h, raw)
	}
	status, h, raw := r.ask(http.MethodPost, "/v1/recordings?call_id=CA"+strings.Repeat("0", 32), writer, bytes.NewReader(wav(1000, 1)), "Content-Type", "audio/wav")
	r.problem(policy.NotFound, status, h, raw)
	r.refusal(policy.InvalidArgument, http.MethodPost, "/v1/recordings?number=1", writer, "")
	r.refusal(policy.InvalidArgument, http.MethodGet, "/v1/recordings?call_id=nonsense", reader, "")
	var list data.Recordings
	if r.get("/v1/recordings", reader, &list); len(list.Recordings) != 0 {
		t.Errorf("refused content is listed: %+v", list)
	}
}

func TestINV10INV11AnotherTenantsRecordingLooksAbsent(t *testing.T) {
	r := start(t)
	mine := r.record(writer, "?call_id="+r.newCall(writer, "one"), wav(1000, 1))
	absent := "RE" + strings.Repeat("e", 32)
	for _, at := range []string{"", "/media"} {
		foreign := r.refusal(policy.NotFound, http.MethodGet, "/v1/recordings/"+mine.ID+at, other, "")
		for _, id := range []string{absent, "nonsense"} {
			if p := r.refusal(policy.NotFound, http.MethodGet, "/v1/recordings/"+id+at, other, ""); p.Detail != foreign.Detail || len(p.Metadata) != len(foreign.Metadata) {
				t.Errorf("foreign %+v and absent %+v differ", foreign, p)
			}
		}
	}
	_, _, raw := r.ask(http.MethodGet, "/v1/recordings?call_id="+mine.CallID, other, nil)
	if strings.Contains(string(raw), mine.ID) {
		t.Errorf("another tenant's list shows %s", raw)
	}
}

// tus sends one request of the protocol.
func (r *region) tus(method, at, key string, body []byte, header ...string) (int, http.Header, []byte) {
	r.t.Helper()
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
		header = append(header, "Content-Type", "application/offset+octet-stream")
	}
	return r.ask(method, at, key, in, append(header, "Tus-Resumable", "1.0.0")...)
}

func TestResumableUpload(t *testing.T) {
	r := start(t)
	call := r.newCall(writer, "one")
	sound := wav(2<<20+9, 3)
	metadata := "filename " + base64.StdEncoding.EncodeToString([]byte("Aoife Canary.wav")) + ",call_id " + base64.StdEncoding.EncodeToString([]byte(call))
	status, h, raw := r.tus(http.MethodPost, "/v1/uploads", writer, nil, "Upload-Length", strconv.Itoa(len(sound)), "Upload-Metadata", metadata)
	at := h.Get("Location")
	if status != http.StatusCreated || !strings.HasPrefix(at, "/v1/uploads/UP") || h.Get("Upload-Expires") == "" || h.Get("Tus-Resumable") != "1.0.0" {
		t.Fatalf("%d %v %s", status, h, raw)
	}
	offset := 0
	for _, n := range []int{600, 1 << 20, 65_537} {
		status, h, raw := r.tus(http.MethodPatch, at, writer, sound[offset:offset+n], "Upload-Offset", strconv.Itoa(offset))
		offset += n
		if status != http.StatusNoContent || h.Get("Upload-Offset") != strconv.Itoa(offset) || h.Get("Content-Location") != "" {
			t.Fatalf("at %d: %d %v %s", offset, status, h, raw)
		}
	}
	status, h, raw = r.tus(http.MethodPatch, at, writer, sound[10:20], "Upload-Offset", "10")
	if r.problem(policy.AlreadyExists, status, h, raw); status != http.StatusConflict { // the protocol's own status
		t.Errorf("wrong offset: %d", status)
	}
	if status, h, _ := r.tus(http.MethodHead, at, writer, nil); status != 200 || h.Get("Upload-Offset") != strconv.Itoa(offset) || h.Get("Upload-Length") != strconv.Itoa(len(sound)) || h.Get("Cache-Control") != "no-store" {
		t.Errorf("HEAD: %d %v", status, h)
	}
	if status, _, _ := r.tus(http.MethodHead, at, key("ie1", "b", policy.RoleIngest), nil); status != http.StatusNotFound {
		t.Errorf("another tenant's HEAD: %d", status)
	}
	status, h, raw = r.tus(http.MethodPatch, at, writer, sound[offset:], "Upload-Offset", strconv.Itoa(offset))
	done := h.Get("Content-Location")
	if status != http.StatusNoContent || !strings.HasPrefix(done, "/v1/recordings/RE") {
		t.Fatalf("the last part: %d %v %s", status, h, raw)
	}
	if status, h, _ := r.tus(http.MethodHead, at, writer, nil); status != 200 || h.Get("Upload-Offset") != strconv.Itoa(len(sound)) || h.Get("Content-Location") != done {
		t.Errorf("HEAD of a finished upload: %d %v", status, h)
	}
	if _, _, got := r.ask(http.MethodGet, done+"/media", reader, nil); !bytes.Equal(got, sound) {
		t.Error("other sound comes back")
	}
	var rec data.Recording
	if r.get(done, reader, &rec); rec.CallID != call {
		t.Errorf("%+v", rec)
	}
	// The whole in the first request, its length deferred; the same content.
	status, h, raw = r.tus(http.MethodPost, "/v1/uploads", writer, sound, "Upload-Length", strconv.Itoa(len(sound)), "Upload-Metadata", metadata)
	if status != http.StatusCreated || h.Get("Content-Location") != done {
		t.Errorf("with bytes: %d %v %s", status, h, raw)
	}
	_, h, _ = r.tus(http.MethodPost, "/v1/uploads", writer, nil, "Upload-Defer-Length", "1")
	at = h.Get("Location")
	_, h, _ = r.tus(http.MethodPatch, at, writer, sound[:1000], "Upload-Offset", "0")
	if h.Get("Upload-Defer-Length") != "1" || h.Get("Content-Location") != "" {
		t.Errorf("deferred: %v", h)
	}
	if status, h, raw = r.tus(http.MethodPatch, at, writer, sound[1000:2000], "Upload-Offset", "1000", "Upload-Length", "2000"); status != http.StatusNoContent || h.Get("Content-Location") == "" {
		t.Errorf("length said late: %d %v %s", status, h, raw)
	}
}

func TestResumableUploadRefusals(t *testing.T) {
	r := start(t)
	status, h, raw := r.ask(http.MethodPost, "/v1/uploads", writer, nil, "Upload-Length", "10")
	if r.problem(policy.ETagMismatch, status, h, raw); h.Get("Tus-Version") != "1.0.0" {
		t.Errorf("%v", h)
	}
	for _, header := range [][]string{{}, {"Upload-Length", "-5"}, {"Upload-Length", "x"}, {"Upload-Length", "0"}, {"Upload-Length", "5", "Upload-Metadata", "call_id !"}} {
		status, h, raw := r.tus(http.MethodPost, "/v1/uploads", writer, nil, header...)
		r.problem(policy.InvalidArgument, status, h, raw)
	}
	status, h, raw = r.tus(http.MethodPost, "/v1/uploads", writer, nil, "Upload-Length", fmt.Sprint(3<<30))
	r.problem(policy.PayloadTooLarge, status, h, raw)
	_, h, _ = r.tus(http.MethodPost, "/v1/uploads", writer, nil, "Upload-Length", "5000")
	at := h.Get("Location")
	status, h, raw = r.tus(http.MethodPatch, at, writer, []byte(strings.Repeat("text", 1000)), "Upload-Offset", "0")
	r.problem(policy.UnsupportedMediaType, status, h, raw)
	status, h, raw = r.tus(http.MethodPatch, at, writer, wav(6000, 1), "Upload-Offset", "0")
	r.problem(policy.PayloadTooLarge, status, h, raw)
	if status, _, _ := r.tus(http.MethodDelete, at, writer, nil); status != http.StatusNoContent {
		t.Errorf("delete: %d", status)
	}
	status, h, raw = r.tus(http.MethodPatch, at, writer, wav(600, 1), "Upload-Offset", "0")
	r.problem(policy.NotFound, status, h, raw)
	if status, h, _ := r.ask(http.MethodOptions, "/v1/uploads", writer, nil); status != http.StatusNoContent || !strings.Contains(h.Get("Tus-Extension"), "termination") {
		t.Errorf("options: %d %v", status, h)
	}
	r.refusal(policy.PermissionDenied, http.MethodPost, "/v1/uploads", reader, "")
}
