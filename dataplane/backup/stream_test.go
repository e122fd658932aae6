package backup

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestStreams(t *testing.T) {
	s := &sealer{key: [32]byte{1}, whom: "ie1\x00CL1"}
	for _, n := range []int{0, 1, frameSize - 1, frameSize, frameSize + 1, 3*frameSize + 7, 4 * frameSize} {
		plain := bytes.Repeat([]byte("0123456789abcde"), n/15+1)[:n]
		sealed := func() []byte {
			var out bytes.Buffer
			w, err := s.seal(&out, "p")
			must(t, err)
			for rest := plain; len(rest) > 0; {
				k := min(len(rest), 40_000)
				_, err := w.Write(rest[:k])
				must(t, err)
				rest = rest[k:]
			}
			must(t, w.Close())
			return out.Bytes()
		}
		b := sealed()
		open := func(s *sealer, purpose string, b []byte) ([]byte, error) {
			r, err := s.open(bytes.NewReader(b), purpose)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		if got, err := open(s, "p", b); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
		if bytes.Equal(b, sealed()) {
			t.Errorf("%d bytes: sealed twice, it is the same: a key was used twice", n)
		}
		for what, f := range map[string]func() ([]byte, error){
			"another purpose": func() ([]byte, error) { return open(s, "q", b) },
			"another region":  func() ([]byte, error) { return open(&sealer{key: s.key, whom: "us1\x00CL1"}, "p", b) },
			"another key":     func() ([]byte, error) { return open(&sealer{whom: s.whom}, "p", b) },
			"cut by a byte":   func() ([]byte, error) { return open(s, "p", b[:len(b)-1]) },
			"cut by a frame":  func() ([]byte, error) { return open(s, "p", b[:max(saltSize, len(b)-frameSize-overhead)]) },
			"longer":          func() ([]byte, error) { return open(s, "p", append(bytes.Clone(b), 0)) },
		} {
			if _, err := f(); !errors.Is(err, errSealed) {
				t.Errorf("%d bytes, %s: %v", n, what, err)
			}
		}
	}
}
