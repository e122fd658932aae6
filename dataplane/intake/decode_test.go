package intake

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/policy"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func reasonOf(err error) policy.Reason {
	var e *policy.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func decode(t *testing.T, encoding string, body io.Reader, max int64) ([]byte, error) {
	t.Helper()
	r, err := Decode(encoding, body, max)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestDecode(t *testing.T) {
	text := bytes.Repeat([]byte(`{"native_id":"n"}`+"\n"), 1000)
	size := int64(len(text))
	zeros := make([]byte, 8<<20)
	bigWindow, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		encoding string
		body     []byte
		max      int64
		want     policy.Reason // "" is success
	}{
		"no encoding":             {"", text, size, ""},
		"identity, one too many":  {"identity", text, size - 1, policy.PayloadTooLarge},
		"gzip, exactly the limit": {"gzip", gzipped(text), size, ""},
		"gzip, one too many":      {"GZIP", gzipped(text), size - 1, policy.PayloadTooLarge},
		"gzip, two members":       {"gzip", append(gzipped(text[:17]), gzipped(text[17:])...), size, ""},
		"gzip, cut off":           {"gzip", gzipped(text)[:40], size, policy.InvalidArgument},
		"gzip, cut before it":     {"gzip", nil, size, policy.InvalidArgument},
		"gzip, no gzip":           {"gzip", text, size, policy.InvalidArgument},
		"gzip, bad checksum":      {"gzip", append(gzipped(text)[:len(gzipped(text))-1], 0xaa), size, policy.InvalidArgument},
		"gzip bomb":               {"gzip", gzipped(zeros), 1 << 40, policy.PayloadTooLarge},
		"zstd, exactly the limit": {"zstd", zstded(text), size, ""},
		"zstd, one too many":      {"zstd", zstded(text), size - 1, policy.PayloadTooLarge},
		"zstd, cut off":           {"zstd", zstded(text)[:20], size, policy.InvalidArgument},
		"zstd, no zstd":           {"zstd", text, size, policy.InvalidArgument},
		"zstd bomb":               {"zstd", zstded(zeros), 1 << 40, policy.PayloadTooLarge},
		"zstd, window too big":    {"zstd", bigWindow.EncodeAll(zeros, nil), 1 << 40, policy.InvalidArgument},
		"unknown":                 {"br", text, size, policy.UnsupportedMediaType},
		"two":                     {"gzip, gzip", text, size, policy.UnsupportedMediaType},
	} {
		t.Run(name, func(t *testing.T) {
			for _, body := range []io.Reader{bytes.NewReader(c.body), iotest.OneByteReader(bytes.NewReader(c.body))} {
				got, err := decode(t, c.encoding, body, c.max)
				if reasonOf(err) != c.want || c.want == "" && err != nil {
					t.Fatalf("error %v, want reason %q", err, c.want)
				}
				if c.want == "" && !bytes.Equal(got, text) {
					t.Fatal("the bytes differ")
				}
				if int64(len(got)) > c.max || len(got) > RatioFloor+MaxRatio*len(c.body)+64<<10 {
					t.Fatalf("%d bytes got out", len(got))
				}
			}
		})
	}
}

// The connection's own error must not be blamed on the encoding: a client that
// went away is not a client that cannot compress.
func TestDecodeKeepsTheBodysError(t *testing.T) {
	gone := errors.New("gone")
	for _, encoding := range []string{"identity", "gzip", "zstd"} {
		body := map[string][]byte{"identity": []byte("abc"), "gzip": gzipped([]byte("abc"))[:12], "zstd": zstded([]byte("abc"))[:6]}[encoding]
		r, err := Decode(encoding, io.MultiReader(bytes.NewReader(body), iotest.ErrReader(gone)), 100)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, gone) {
			t.Errorf("%s: %v, want the body's error", encoding, err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, gone) {
			t.Errorf("%s: a second read forgot the error: %v", encoding, err)
		}
		_ = r.Close()
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("gzip", gzipped([]byte("a")), int64(10))
	f.Add("zstd", zstded([]byte("a")), int64(0))
	f.Add("", []byte("a"), int64(1))
	f.Fuzz(func(t *testing.T, encoding string, body []byte, max int64) {
		max = min(maxIn(max), 1<<20)
		got, err := decode(t, encoding, bytes.NewReader(body), max)
		if int64(len(got)) > max {
			t.Fatal("more than allowed got out")
		}
		if err != nil && reasonOf(err) == "" {
			t.Fatalf("an error without a reason: %v", err)
		}
		if again, _ := decode(t, strings.ToUpper(encoding), bytes.NewReader(body), max); !bytes.Equal(got, again) {
			t.Fatal("decoding twice differs")
		}
	})
}

func maxIn(n int64) int64 { return max(n, 0) }
