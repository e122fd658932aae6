package sealed

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
)

// testEntry is an entry as ingest makes them.
func testEntry(rnd *rand.ChaCha8, n int) *entry {
	subject := func() string {
		var id [16]byte
		_, _ = rnd.Read(id[:])
		return subjectID(id)
	}
	e := &entry{kind: versionAndView, call: ref{7, 1, uint16(n)}, ingest: 9, listed: int64(n), first: 9, count: 1}
	_, _ = rnd.Read(e.salt[:])
	e.record = record.Record{Key: record.Key{Source: record.Native, NativeID: fmt.Sprintf("call-%d", n)}, Start: time.UnixMicro(int64(n)).UTC(),
		From: record.Party{E164: fmt.Sprintf("+353861%06d", n), Subject: subject()}, To: record.Party{Raw: "sip:desk@example.org", Subject: subject()},
		Native: fmt.Appendf(nil, `{"native_id":"call-%d","to":"sip:desk@example.org"}`, n)}
	return e
}

// testPlain is the plaintext of a frame of n entries, and their salts.
func testPlain(n int) (plain record.Form, entries []*entry) {
	rnd := rand.NewChaCha8([32]byte{1})
	plain.Noise = frameHead(nil, [16]byte{5}, 100)
	for i := range n {
		e := testEntry(rnd, i)
		switch i % 5 {
		case 2:
			e.kind = viewOnly
			e.salt = [16]byte{}
		case 3:
			e.redacted, e.salt, e.record.To.Subject = true, [16]byte{}, ""
		case 4:
			*e = entry{kind: goneVersion, ingest: 9}
		}
		plain = appendSized(plain, e, ref{7, 1, uint16(i)}, 9)
		entries = append(entries, e)
	}
	return plain, entries
}

// A frame gives each entry back with the noise that is its own, whether the noise was
// compressed with the texts or by itself.
func TestFramesKeepNoiseApart(t *testing.T) {
	for _, n := range []int{1, 2, 5, 200} {
		plain, want := testPlain(n)
		raw, err := zstdDecoder.DecodeAll(pack(zstdEncoder, nil, &plain), nil)
		if err != nil {
			t.Fatal(err)
		}
		f := &frame{chunk: 7, number: 1, ingest: 9}
		if err := f.split(raw, n); err != nil || f.writer != [16]byte{5} || f.firstN != 100 {
			t.Fatalf("%d entries: %v, writer %x, first %d", n, err, f.writer, f.firstN)
		}
		for i := range want {
			if got, err := f.entry(uint16(i)); err != nil || !reflect.DeepEqual(&got, want[i]) {
				t.Fatalf("entry %d of %d: %+v, %v; want %+v", i, n, got, err, want[i])
			}
		}
	}
}

// What is random takes as many bytes as it has, and what is not compresses as if it
// were alone.
func TestNoiseSpoilsNoText(t *testing.T) {
	plain, _ := testPlain(200)
	noise, alone := len(plain.Noise), len(zstdEncoder.EncodeAll(plain.Text, nil))
	if packed := len(pack(zstdEncoder, nil, &plain)); packed > alone+noise+32 {
		t.Errorf("%d bytes of noise and a text of %d compressed bytes take %d together", noise, alone, packed)
	}
}

// An id that comes again, as one's own number does in each of a tenant's calls, is not
// stored again.
func TestNoiseThatComesAgainIsShort(t *testing.T) {
	e := testEntry(rand.NewChaCha8([32]byte{2}), 1)
	same := record.Form{Noise: frameHead(nil, [16]byte{5}, 100)}
	for i := range 200 {
		e.redacted = i > 0
		same = appendSized(same, e, ref{7, 1, uint16(i)}, 9)
	}
	if noise, packed := len(same.Noise), len(pack(zstdEncoder, nil, &same)); noise < 200*32 || packed > noise/3 {
		t.Errorf("200 times the same ids, %d bytes, take %d with their texts", noise, packed)
	}
}

// FuzzFrame reads what stands in a frame and in a cover: what is read is written as
// the same, and no byte makes the process fail.
func FuzzFrame(f *testing.F) {
	for _, n := range []int{1, 5, 40} {
		plain, _ := testPlain(n)
		raw, err := zstdDecoder.DecodeAll(pack(zstdEncoder, nil, &plain), nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint16(n))
		one := &frame{chunk: 7, number: 1, ingest: 9}
		if err := one.split(raw, n); err != nil {
			f.Fatal(err)
		}
		plain = (&cover{at: one.place(), frames: []*frame{one}}).plain()
		pack(zstdEncoder, nil, &plain)
		f.Add(append(plain.Noise[:len(plain.Noise):len(plain.Noise)], plain.Text...), uint16(0))
	}
	f.Fuzz(func(t *testing.T, raw []byte, count uint16) {
		one := &frame{chunk: 7, number: 1, ingest: 9}
		if one.split(raw, int(count)) == nil {
			again := &frame{chunk: 7, number: 1, ingest: 9}
			if err := again.split(unpacked(t, one.plain()), int(count)); err != nil || !sameFrame(one, again) {
				t.Fatalf("a frame of %d entries is another when it is written again: %v", count, err)
			}
			for i := range one.entries {
				_, _ = one.entry(uint16(i))
			}
		}
		c := &cover{at: framePlace{7, 1}}
		if c.split(raw) == nil {
			again := &cover{at: c.at}
			if err := again.split(unpacked(t, c.plain())); err != nil || len(again.frames) != len(c.frames) {
				t.Fatalf("a cover of %d frames is another when it is written again: %v", len(c.frames), err)
			}
			for i, f := range c.frames {
				if !sameFrame(f, again.frames[i]) {
					t.Fatalf("frame %d of a cover is another when it is written again", i)
				}
			}
		}
	})
}

func unpacked(t *testing.T, plain record.Form) []byte {
	raw, err := zstdDecoder.DecodeAll(pack(zstdEncoder, nil, &plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(raw)
}

func sameFrame(a, b *frame) bool {
	if a.place() != b.place() || a.ingest != b.ingest || a.writer != b.writer || a.firstN != b.firstN || len(a.entries) != len(b.entries) {
		return false
	}
	for i := range a.entries {
		if !a.entries[i].Equal(b.entries[i]) {
			return false
		}
	}
	return true
}
