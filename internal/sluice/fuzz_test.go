package sluice

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// canned is a connection that says what it was given and then ends.
type canned struct {
	net.Conn
	r *bytes.Reader
}

func (c canned) Read(b []byte) (int, error) { return c.r.Read(b) }
func (canned) Close() error                 { return nil }

// FuzzConn: gRPC gets the bytes that the client sent, in their order and never past
// the end of a frame, or the connection ends with one of our reasons.
func FuzzConn(f *testing.F) {
	hello := make([]byte, preface)
	f.Add(append(bytes.Clone(hello), appendHead(nil, head{kind: frameSettings})...))
	f.Add(append(append(bytes.Clone(hello), appendHead(nil, head{length: 4, kind: frameData, flags: flagPadded, stream: 1})...), 9, 0, 0, 0))
	f.Add(append(append(bytes.Clone(hello), appendHead(nil, head{length: 1, kind: frameData, stream: 3})...), 7))
	f.Add(hello[:3])
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := newConn(canned{r: bytes.NewReader(raw)}, func() time.Time { return time.Unix(1, 0) })
		var got []byte
		b := make([]byte, 1<<10)
		for {
			n, err := c.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errUnasked) && !errors.Is(err, errCrumbs) && !errors.Is(err, errIdle) {
					t.Fatal(err)
				}
				break
			}
			if n == 0 {
				t.Fatal("nothing was read and nothing failed")
			}
		}
		if !bytes.HasPrefix(raw, got) {
			t.Fatalf("%x was sent and %x handed out", raw, got)
		}
	})
}
