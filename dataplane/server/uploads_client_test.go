package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/domicile-io/domicile/api/client"
)

// cutter breaks the first upload off after some bytes, as a line does, and reads on
// in what the first was to send while the second is under way, as transports may.
type cutter struct {
	http.RoundTripper
	patches atomic.Int32
	first   io.Reader
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.Method != http.MethodPatch:
	case c.patches.Add(1) > 1:
		_, _ = c.first.Read(make([]byte, 1000))
	default:
		c.first = r.Body
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 3<<19), broken{}))
	}
	return c.RoundTripper.RoundTrip(r)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("injected: the line is cut") }

// The typed client goes on with an upload that broke off, from where it was.
func TestClientGoesOnWithAnUpload(t *testing.T) {
	r := start(t)
	cut := &cutter{RoundTripper: r.client.Transport}
	c := &client.Region{BaseURL: "https://" + r.addr, Key: admin, HTTP: &http.Client{Transport: cut}}
	sound := wav(4<<20, 9)
	var seen []int64
	rec, err := c.UploadRecording(context.Background(), r.newCall(writer, "one"), bytes.NewReader(sound), int64(len(sound)), func(n int64) { seen = append(seen, n) })
	must(t, err)
	between := slices.ContainsFunc(seen, func(n int64) bool { return n > 0 && n < int64(len(sound)) })
	if cut.patches.Load() < 2 || !between {
		t.Errorf("%d requests, progress %v: it began anew, or was not cut", cut.patches.Load(), seen)
	}
	in, err := c.RecordingMedia(context.Background(), rec.ID, 0)
	must(t, err)
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, sound) {
		t.Errorf("other sound comes back: %d bytes, %v", len(got), err)
	}
}

// A file that is shorter than was said when its upload began, because somebody cut
// it off meanwhile, is no recording: the client says so.
func TestClientSaysThatAFileEndedEarly(t *testing.T) {
	r := start(t)
	c := &client.Region{BaseURL: "https://" + r.addr, Key: admin, HTTP: r.client}
	sound := wav(64<<10, 9)
	rec, err := c.UploadRecording(context.Background(), "", bytes.NewReader(sound[:32<<10]), int64(len(sound)), nil)
	if err == nil {
		t.Fatalf("half of a recording was uploaded, and the client says that %q is stored", rec.ID)
	}
}
