package media_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// fixture is a library over a real store, keyring and folder of blobs.
type fixture struct {
	t     testing.TB
	dir   string
	clock *storetest.Clock
	keys  *local.Keyring
	store *localstore.Store
	blobs store.Blobs
	media *media.Library
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), clock: &storetest.Clock{}}
	f.clock.Advance(storetest.Epoch.Sub(time.Time{}))
	f.open()
	t.Cleanup(f.close)
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	f.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(f.dir, "keys"), Region: storetest.Region})
	f.must(err)
	f.store, err = localstore.Open(localstore.Options{Dir: filepath.Join(f.dir, "records"), Region: storetest.Region, Keys: f.keys, Now: f.clock.Now})
	f.must(err)
	f.blobs, err = local.OpenBlobs(filepath.Join(f.dir, "media"))
	f.must(err)
	f.media, err = media.New(media.Options{Region: storetest.Region, Keys: f.keys, Store: f.store, Blobs: f.blobs, Now: f.clock.Now, PartSize: 1 << 20})
	f.must(err)
}

func (f *fixture) close() {
	if err := errors.Join(f.store.Close(), f.blobs.Close(), f.keys.Close()); err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) ask(tenant policy.TenantID) media.Ask {
	return func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return storetest.PermitOf(f.t, tenant, op, class), nil
	}
}

// call stores a call and tells its id.
func (f *fixture) call(tenant policy.TenantID, n int) string {
	f.t.Helper()
	out, err := f.store.Append(context.Background(), storetest.Permit(f.t, tenant, policy.Ingest), []record.Record{storetest.Native(n)})
	f.must(err)
	return out[0].ID
}

func wantReason(t testing.TB, err error, want policy.Reason) {
	t.Helper()
	if !errors.Is(err, &policy.Error{Reason: want}) {
		t.Fatalf("got error %v, want reason %s", err, want)
	}
}

// wav is a file of size bytes: 16 bit, two channels, 8 kHz, noise.
func wav(size int, seed byte) []byte {
	out := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(out)
	copy(out, "RIFF")
	binary.LittleEndian.PutUint32(out[4:], uint32(size-8))
	copy(out[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(out[16:], 16)
	for i, v := range []uint16{1, 2} {
		binary.LittleEndian.PutUint16(out[20+2*i:], v)
	}
	binary.LittleEndian.PutUint32(out[24:], 8000)
	binary.LittleEndian.PutUint32(out[28:], 32000)
	binary.LittleEndian.PutUint16(out[32:], 4)
	binary.LittleEndian.PutUint16(out[34:], 16)
	copy(out[36:], "data")
	binary.LittleEndian.PutUint32(out[40:], uint32(size-44))
	return out
}

// upload sends data in pieces.
func (f *fixture) upload(tenant policy.TenantID, call string, data []byte, pieces ...int) (media.Recording, bool) {
	f.t.Helper()
	ctx, ask := context.Background(), f.ask(tenant)
	u, err := f.media.Begin(ctx, ask, call, int64(len(data)))
	f.must(err)
	rest := data
	for _, n := range append(pieces, len(data)) {
		n = min(n, len(rest))
		u, err = f.media.Append(ctx, ask, u.ID, u.Offset, bytes.NewReader(rest[:n]))
		f.must(err)
		rest = rest[n:]
	}
	r, duplicate, err := f.media.Finish(ctx, ask, u.ID)
	f.must(err)
	return r, duplicate
}

func (f *fixture) read(tenant policy.TenantID, id string, from, n int64) ([]byte, error) {
	f.t.Helper()
	_, r, err := f.media.Open(context.Background(), f.ask(tenant), id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := r.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	if n < 0 {
		return io.ReadAll(r)
	}
	out := make([]byte, n)
	got, err := io.ReadFull(r, out)
	return out[:got], err
}

// grep finds the files under dir that hold one of the words.
func grep(t testing.TB, dir string, words ...string) (hits []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, w := range words {
			if bytes.Contains(data, []byte(w)) {
				hits = append(hits, filepath.Base(path)+" holds "+w)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

func (f *fixture) blobCount() int {
	f.t.Helper()
	list, err := f.blobs.List(context.Background(), "", "", store.MaxPageSize)
	f.must(err)
	return len(list)
}

// TestINV33_RecordingSurvives: sent whole or in pieces of any size, what is read
// is what was sent, whole and in ranges, also after a restart.
func TestINV33_RecordingSurvives(t *testing.T) {
	f := newFixture(t)
	call := f.call(storetest.TenantA, 1)
	for n, c := range []struct {
		size   int
		pieces []int
	}{{600, nil}, {64 << 10, nil}, {64<<10 + 1, nil}, {3<<20 + 77, nil}, {3<<20 + 78, []int{512, 64 << 10, 1, 1<<20 + 3, 65537}}} {
		data := wav(c.size, byte(n))
		r, duplicate := f.upload(storetest.TenantA, call, data, c.pieces...)
		if duplicate || r.Format != media.WAV || r.Size != int64(c.size) || r.Call != call || r.Channels != 2 || r.Duration != time.Duration(float64(c.size-44)/32000*1000+0.5)*time.Millisecond {
			t.Fatalf("kept as %+v", r)
		}
		f.close()
		f.open()
		got, err := f.read(storetest.TenantA, r.ID, 0, -1)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back as %d, %v", c.size, len(got), err)
		}
		random := rand.New(rand.NewPCG(1, uint64(n)))
		for range 40 {
			from := random.Int64N(int64(c.size))
			length := random.Int64N(int64(c.size)-from) + 1
			if got, err := f.read(storetest.TenantA, r.ID, from, length); err != nil || !bytes.Equal(got, data[from:from+length]) {
				t.Fatalf("range %d+%d of %d: %v", from, length, c.size, err)
			}
		}
	}
	list, next, err := f.media.Recordings(context.Background(), f.ask(storetest.TenantA), media.Query{Call: call})
	if err != nil || next != "" || len(list) != 5 {
		t.Errorf("%d recordings of the call, %v", len(list), err)
	}
}

// The same content of the same call is one recording; of another call, or
// tenant, another.
func TestSameContentIsOneRecording(t *testing.T) {
	f := newFixture(t)
	call, other := f.call(storetest.TenantA, 1), f.call(storetest.TenantA, 2)
	data := wav(2<<20, 1)
	first, _ := f.upload(storetest.TenantA, call, data)
	blobs := f.blobCount()
	again, duplicate := f.upload(storetest.TenantA, call, data, 1000)
	if !duplicate || again.ID != first.ID || f.blobCount() != blobs {
		t.Errorf("sent again: %s is a duplicate (%t) of %s; %d blobs, were %d", again.ID, duplicate, first.ID, f.blobCount(), blobs)
	}
	if r, duplicate := f.upload(storetest.TenantA, other, data); duplicate || r.ID == first.ID {
		t.Error("another call's recording is taken for this one's")
	}
	if r, duplicate := f.upload(storetest.TenantB, "", data); duplicate || r.ID == first.ID {
		t.Error("another tenant's recording is taken for this one's")
	}
	f.must(f.media.Delete(context.Background(), f.ask(storetest.TenantA), first.ID))
	if r, duplicate := f.upload(storetest.TenantA, call, data); duplicate || r.ID == first.ID {
		t.Error("a deleted recording is taken for one that is there")
	}
}

// brokenOff breaks off after its data.
type brokenOff struct{ io.Reader }

func (b brokenOff) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// What arrived before a client broke off is kept; a wrong offset is refused; the
// state is there after a restart; an expired upload is gone, with all its bytes.
func TestUploadsGoOn(t *testing.T) {
	f := newFixture(t)
	ctx, ask := context.Background(), f.ask(storetest.TenantA)
	data := wav(5<<20/2, 3)
	u, err := f.media.Begin(ctx, ask, "", int64(len(data)))
	f.must(err)
	u, err = f.media.Append(ctx, ask, u.ID, 0, brokenOff{bytes.NewReader(data[:3<<19])})
	if !errors.Is(err, io.ErrUnexpectedEOF) || u.Offset != 3<<19 {
		t.Fatalf("kept %d bytes, %v", u.Offset, err)
	}
	_, err = f.media.Append(ctx, ask, u.ID, 0, bytes.NewReader(data))
	wantReason(t, err, policy.AlreadyExists)
	_, _, err = f.media.Finish(ctx, ask, u.ID)
	wantReason(t, err, policy.InvalidArgument)
	f.close()
	f.open()
	_, err = f.media.Upload(ctx, f.ask(storetest.TenantB), u.ID)
	wantReason(t, err, policy.NotFound)
	if u, err = f.media.Upload(ctx, ask, u.ID); err != nil || u.Offset != 3<<19 || u.Length != int64(len(data)) {
		t.Fatalf("after a restart: %+v, %v", u, err)
	}
	_, err = f.media.Append(ctx, ask, u.ID, u.Offset, bytes.NewReader(append(data[u.Offset:len(data):len(data)], 0)))
	wantReason(t, err, policy.PayloadTooLarge)
	r, _, err := f.media.Finish(ctx, ask, u.ID)
	f.must(err)
	if got, err := f.read(storetest.TenantA, r.ID, 0, -1); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	if done, err := f.media.Upload(ctx, ask, u.ID); err != nil || done.Recording != r.ID || done.Offset != int64(len(data)) {
		t.Errorf("a finished upload shows as %+v, %v", done, err)
	}

	late, err := f.media.Begin(ctx, ask, "", -1)
	f.must(err)
	_, err = f.media.Append(ctx, ask, late.ID, 0, bytes.NewReader(data))
	f.must(err)
	kept := f.blobCount()
	if swept, err := f.media.Sweep(ctx, ask); err != nil || swept != (media.Swept{}) {
		t.Fatalf("swept %+v, %v", swept, err)
	}
	f.clock.Advance(24*time.Hour + time.Second)
	_, err = f.media.Upload(ctx, ask, late.ID)
	wantReason(t, err, policy.NotFound)
	if swept, err := f.media.Sweep(ctx, ask); err != nil || swept.Uploads != 1 || f.blobCount() >= kept {
		t.Errorf("swept %+v, %d blobs of %d are left, %v", swept, f.blobCount(), kept, err)
	}
	if _, err := f.read(storetest.TenantA, r.ID, 0, -1); err != nil {
		t.Errorf("the sweep took a recording: %v", err)
	}
}

// A part of a request that a crash cut off before it was noted is nobody's.
func TestPartsThatNothingNamesAreSwept(t *testing.T) {
	f := newFixture(t)
	ctx, ask := context.Background(), f.ask(storetest.TenantA)
	data := wav(1<<20, 4)
	u, err := f.media.Begin(ctx, ask, "", int64(len(data)))
	f.must(err)
	_, err = f.blobs.Create(ctx, string(storetest.TenantA)+"/RE"+u.ID[2:]+"/stray", bytes.NewReader([]byte("cut off")))
	f.must(err)
	_, err = f.blobs.Create(ctx, string(storetest.TenantA)+"/RE00000000000000000000000000000000/p", bytes.NewReader([]byte("its key is gone")))
	f.must(err)
	_, err = f.media.Append(ctx, ask, u.ID, 0, bytes.NewReader(data))
	f.must(err)
	_, _, err = f.media.Finish(ctx, ask, u.ID)
	f.must(err)
	if n := f.blobCount(); n != 2 {
		t.Errorf("%d blobs after the upload's end, want 2", n)
	}
	if swept, err := f.media.Sweep(ctx, ask); err != nil || swept.Blobs != 1 || f.blobCount() != 1 {
		t.Errorf("swept %+v, %v", swept, err)
	}
}

// TestINV10_RecordingsAreIsolated: a foreign recording looks absent.
func TestINV10_RecordingsAreIsolated(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	r, _ := f.upload(storetest.TenantA, "", wav(1000, 1))
	_, foreign := f.read(storetest.TenantB, r.ID, 0, -1)
	_, absent := f.read(storetest.TenantB, "RE000102030405060708090a0b0c0d0e0f", 0, -1)
	wantReason(t, foreign, policy.NotFound)
	if foreign.Error() != absent.Error() {
		t.Errorf("foreign %v and absent %v differ", foreign, absent)
	}
	wantReason(t, f.media.Delete(ctx, f.ask(storetest.TenantB), r.ID), policy.NotFound)
	_, err := f.media.Begin(ctx, f.ask(storetest.TenantB), f.call(storetest.TenantA, 1), -1)
	wantReason(t, err, policy.NotFound)
	if list, _, err := f.media.Recordings(ctx, f.ask(storetest.TenantB), media.Query{}); err != nil || len(list) != 0 {
		t.Errorf("B sees %v, %v", list, err)
	}
	if n, err := f.media.Purge(ctx, storetest.TenantB); n != 0 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if _, err := f.read(storetest.TenantA, r.ID, 0, -1); err != nil {
		t.Error(err)
	}
}

// TestINV34_ChangedMediaIsNotServed: a byte flipped, a frame cut off, doubled,
// swapped, or a blob put in another's place is an error, never other sound.
func TestINV34_ChangedMediaIsNotServed(t *testing.T) {
	f := newFixture(t)
	const frame = 64<<10 + 16
	data := wav(4*64<<10, 5)
	r, _ := f.upload(storetest.TenantA, "", data)
	other, _ := f.upload(storetest.TenantA, "", wav(4*64<<10, 6))
	ctx := context.Background()
	blob := func(id string) (string, []byte) {
		list, err := f.blobs.List(ctx, string(storetest.TenantA)+"/"+id+"/", "", 10)
		f.must(err)
		in, err := f.blobs.Open(ctx, list[0].Name, 0, -1)
		f.must(err)
		defer in.Close()
		sealed, err := io.ReadAll(in)
		f.must(err)
		return list[0].Name, sealed
	}
	name, sealed := blob(r.ID)
	_, foreign := blob(other.ID)
	flipped := bytes.Clone(sealed)
	flipped[2*frame+100] ^= 1
	for what, changed := range map[string][]byte{
		"flipped":          flipped,
		"cut to 3 frames":  sealed[:3*frame],
		"cut in a frame":   sealed[:3*frame+5],
		"first frame lost": sealed[frame:],
		"swapped":          bytes.Join([][]byte{sealed[frame : 2*frame], sealed[:frame], sealed[2*frame:]}, nil),
		"another's":        foreign,
		"empty":            nil,
	} {
		f.must(f.blobs.Delete(ctx, name))
		_, err := f.blobs.Create(ctx, name, bytes.NewReader(changed))
		f.must(err)
		got, err := f.read(storetest.TenantA, r.ID, 0, -1)
		wantReason(t, err, policy.Internal)
		if !bytes.HasPrefix(data, got) {
			t.Errorf("%s: other bytes were served before the error", what)
		}
	}
	f.must(f.blobs.Delete(ctx, name))
	_, err := f.read(storetest.TenantA, r.ID, 0, -1)
	wantReason(t, err, policy.Internal)
}

// TestINV01_MediaIsSealed: nothing of the sound, nor of its call, is in a file.
func TestINV01_MediaIsSealed(t *testing.T) {
	f := newFixture(t)
	data := wav(1<<20, 7)
	copy(data[5000:], "canary in the audio")
	copy(data[1<<20-50:], "canary in the audio")
	f.upload(storetest.TenantA, f.call(storetest.TenantA, 1), data)
	if hits := grep(t, f.dir, "canary in the audio", "WAVEfmt", `"sha256"`); hits != nil {
		t.Errorf("in clear: %v", hits)
	}
	_, err := f.blobs.Create(context.Background(), "planted", bytes.NewReader([]byte("a canary in the audio b")))
	f.must(err)
	if len(grep(t, f.dir, "canary in the audio")) != 1 {
		t.Fatal("the scan does not find a planted canary")
	}
}

// TestINV21_DeletedRecordingLeavesNoKey: whoever copied the blobs before has
// nothing after.
func TestINV21_DeletedRecordingLeavesNoKey(t *testing.T) {
	f := newFixture(t)
	ctx, ask := context.Background(), f.ask(storetest.TenantA)
	r, _ := f.upload(storetest.TenantA, "", wav(200<<10, 8))
	perm := storetest.PermitOf(t, storetest.TenantA, policy.View, policy.Recording)
	item, err := f.store.Item(ctx, perm, store.RecordingItem, r.ID)
	f.must(err)
	_, open, err := f.media.Open(ctx, ask, r.ID)
	f.must(err)
	defer open.Close()
	f.must(f.media.Delete(ctx, ask, r.ID))
	if f.blobCount() != 0 {
		t.Error("blobs are left")
	}
	_, err = f.keys.Open(item.Keys[0])
	wantReason(t, err, policy.Destroyed)
	_, err = f.read(storetest.TenantA, r.ID, 0, -1)
	wantReason(t, err, policy.NotFound)
	wantReason(t, f.media.Delete(ctx, ask, r.ID), policy.NotFound)
	if n, err := io.Copy(io.Discard, open); err == nil {
		t.Errorf("a reader that was open before reads %d bytes after", n)
	}
}

// What is not a recording is refused before anything is kept.
func TestContentDecidesTheFormat(t *testing.T) {
	f := newFixture(t)
	ctx, ask := context.Background(), f.ask(storetest.TenantA)
	for name, c := range map[string]struct {
		data []byte
		want policy.Reason
	}{
		"html":          {append([]byte("<html>"), make([]byte, 5000)...), policy.UnsupportedMediaType},
		"noise":         {bytes.Repeat([]byte{0xA7}, 5000), policy.UnsupportedMediaType},
		"zip":           {append([]byte("PK\x03\x04"), make([]byte, 5000)...), policy.UnsupportedMediaType},
		"riff avi":      {append([]byte("RIFF\x00\x00\x01\x00AVI LIST"), make([]byte, 5000)...), policy.UnsupportedMediaType},
		"ogg vorbis":    {append([]byte("OggS\x00\x02"), make([]byte, 5000)...), policy.UnsupportedMediaType},
		"one mp3 frame": {append([]byte{0xFF, 0xFB, 0x90, 0x00}, bytes.Repeat([]byte{1}, 5000)...), policy.UnsupportedMediaType},
		"short":         {[]byte("RIFF"), policy.InvalidArgument},
	} {
		u, err := f.media.Begin(ctx, ask, "", -1)
		f.must(err)
		if _, err = f.media.Append(ctx, ask, u.ID, 0, bytes.NewReader(c.data)); !errors.Is(err, &policy.Error{Reason: c.want}) {
			t.Errorf("%s: %v", name, err)
		}
		f.must(f.media.Abort(ctx, ask, u.ID))
	}
	if n := f.blobCount(); n != 0 {
		t.Errorf("%d blobs of refused content", n)
	}
	for format, data := range map[media.Format][]byte{media.Opus: oggOpus(), media.MP3: mp3(20)} {
		r, _ := f.upload(storetest.TenantA, "", data)
		if r.Format != format || r.Channels != 2 || format == media.Opus && r.Duration != 3*time.Second {
			t.Errorf("%s is taken for %+v", format, r)
		}
	}
	_, err := f.media.Begin(ctx, ask, "", media.MaxRecording+1)
	wantReason(t, err, policy.PayloadTooLarge)
}

// oggOpus is a stream of two pages: its head, and an end at 3 s.
func oggOpus() []byte {
	page := func(flags byte, granule uint64, body []byte) []byte {
		b := append([]byte("OggS\x00"), flags)
		b = binary.LittleEndian.AppendUint64(b, granule)
		b = append(b, make([]byte, 12)...) // serial, sequence, checksum: nobody looks at them here
		return append(append(b, 1, byte(len(body))), body...)
	}
	head := append([]byte("OpusHead\x01\x02\x38\x01"), make([]byte, 7)...) // 2 channels, pre-skip 312
	return append(page(2, 0, head), page(4, 3*48000+312, bytes.Repeat([]byte{9}, 200))...)
}

// mp3 is so many silent frames of 128 kbit/s, 44.1 kHz, joint stereo.
func mp3(frames int) []byte {
	frame := append([]byte{0xFF, 0xFB, 0x90, 0x40}, make([]byte, 413)...)
	return bytes.Repeat(frame, frames)
}

func TestPurgeTakesMedia(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	f.upload(storetest.TenantA, "", wav(1000, 1))
	b, _ := f.upload(storetest.TenantB, "", wav(1000, 1))
	if _, err := f.store.Purge(ctx, storetest.TenantA); err != nil {
		t.Fatal(err)
	}
	if n, err := f.media.Purge(ctx, storetest.TenantA); err != nil || n != 1 || f.blobCount() != 1 {
		t.Errorf("purged %d blobs, %v", n, err)
	}
	if _, err := f.read(storetest.TenantB, b.ID, 0, -1); err != nil {
		t.Error(err)
	}
	_, err := f.media.Begin(ctx, f.ask(storetest.TenantA), "", 1)
	wantReason(t, err, policy.Destroyed)
}
