package subject

import (
	"bytes"
	"context"
	"encoding/binary"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// wav is a small file that is told to be one by its content.
func wav(mark string) []byte {
	out := make([]byte, 44, 2048)
	copy(out, "RIFF")
	copy(out[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(out[16:], 16)
	binary.LittleEndian.PutUint16(out[20:], 1)
	binary.LittleEndian.PutUint16(out[22:], 1)
	binary.LittleEndian.PutUint32(out[24:], 8000)
	binary.LittleEndian.PutUint32(out[28:], 16000)
	binary.LittleEndian.PutUint16(out[32:], 2)
	binary.LittleEndian.PutUint16(out[34:], 16)
	copy(out[36:], "data")
	for len(out) < 2000 {
		out = append(out, mark...)
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	binary.LittleEndian.PutUint32(out[40:], uint32(len(out)-44))
	return out
}

// Recordings, transcripts and uploads that nobody finished go with the call, and
// those of others' calls stay.
func TestEraseDestroysMedia(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	theirs := r.append(r.call("theirs", person, friend, epoch))[0].ID
	others := r.append(r.call("others", "+353862222222", friend, epoch))[0].ID
	ask := regionMedia{r}.ask(tenant)
	for _, call := range []string{theirs, others} {
		sound := wav("of " + call)
		u, err := r.media.Begin(ctx, ask, call, int64(len(sound)))
		must(t, err)
		_, err = r.media.Append(ctx, ask, u.ID, 0, bytes.NewReader(sound))
		must(t, err)
		_, _, err = r.media.Finish(ctx, ask, u.ID)
		must(t, err)
		half, err := r.media.Begin(ctx, ask, call, 100_000)
		must(t, err)
		_, _ = r.media.Append(ctx, ask, half.ID, 0, bytes.NewReader(wav("half of "+call)))
		_, _, err = r.media.PutTranscript(ctx, ask, media.Transcript{Call: call, Language: "en-IE"}, []media.Segment{{Speaker: "caller", EndMS: 900, Text: "my name is " + name}})
		must(t, err)
	}
	count := func(call string) (n int) {
		for _, kind := range []store.ItemKind{store.RecordingItem, store.TranscriptItem, store.UploadItem} {
			permit, err := ask(policy.Process, kind.Class())
			must(t, err)
			page, err := r.store.Items(ctx, permit, store.ItemQuery{Kind: kind, Call: call, PageSize: 100})
			must(t, err)
			n += len(page.Items)
		}
		return n
	}
	blobs := func() (n int) {
		must(t, filepath.WalkDir(filepath.Join(r.dir, "media"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return err
		}))
		return n
	}
	if count(theirs) != 3 || count(others) != 3 {
		t.Fatalf("%d and %d items", count(theirs), count(others))
	}
	before := blobs()
	c := r.erase(r.who(person))
	if c.Counts.Recordings != 1 || c.Counts.Transcripts != 1 {
		t.Errorf("%+v", c.Counts)
	}
	if count(theirs) != 0 || count(others) != 3 {
		t.Errorf("%d and %d items are left", count(theirs), count(others))
	}
	if after := blobs(); after >= before || after == 0 {
		t.Errorf("%d of %d files are left", after, before)
	}
}
