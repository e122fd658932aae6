package intake

import (
	"compress/gzip"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/policy"
)

// A compressed body may become RatioFloor bytes, and MaxRatio times what it
// was beyond that; call records in bulk reach about 20 times.
const (
	MaxRatio   = 200
	RatioFloor = 1 << 20

	maxWindow = 8 << 20 // of zstd: what RFC 8878 asks every decoder to support
)

// Decode undoes a Content-Encoding: "" and "identity", "gzip", "zstd". The
// reader yields at most max bytes, then PAYLOAD_TOO_LARGE; a body that expands
// beyond MaxRatio is refused in the same way; bad or truncated data is
// INVALID_ARGUMENT; another encoding is UNSUPPORTED_MEDIA_TYPE. Errors of the
// body itself stay within reach of errors.As. Close releases the decoder, not
// the body.
func Decode(encoding string, body io.Reader, max int64) (io.ReadCloser, error) {
	in := &counter{r: body}
	d := &decoder{in: in, max: max}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		d.out, d.plain = in, true
	case "gzip", "x-gzip":
		// The header is read with the first Read, so that a slow client does not
		// hold its handler here.
		d.open = func() (io.Reader, error) { return gzip.NewReader(in) }
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, badEncoding(err)
		}
		d.out, d.close = z, z.Close
	default:
		return nil, policy.Errorf(policy.UnsupportedMediaType, "the Content-Encoding is not supported; send identity, gzip or zstd, and only one of them")
	}
	return d, nil
}

// counter counts what was read of the body, and keeps its error apart from the decoder's.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

type decoder struct {
	in    *counter
	open  func() (io.Reader, error)
	out   io.Reader
	close func()
	plain bool
	max   int64
	n     int64
	err   error
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.out == nil {
		out, err := d.open()
		if err != nil {
			d.err = d.failure(err)
			return 0, d.err
		}
		d.out = out
	}
	// One byte more than allowed tells a body of exactly max from a longer one.
	if left := d.max - d.n + 1; int64(len(p)) > left {
		p = p[:left]
	}
	n, err := d.out.Read(p)
	d.n += int64(n)
	switch {
	case d.n > d.max:
		n -= int(d.n - d.max)
		d.err = policy.Errorf(policy.PayloadTooLarge, "the body has more than %d bytes; send it in several requests", d.max)
	case !d.plain && d.n > RatioFloor+MaxRatio*d.in.n:
		n = 0
		d.err = policy.Errorf(policy.PayloadTooLarge, "the body expands more than %d times; send it less compressed", MaxRatio)
	case err != nil:
		d.err = d.failure(err)
	}
	return n, d.err
}

func (d *decoder) failure(err error) error {
	if d.in.err != nil {
		return d.in.err // the connection's, or a limit's, and no fault of the encoding
	}
	if d.plain || d.out != nil && errors.Is(err, io.EOF) {
		return err
	}
	return badEncoding(err)
}

func (d *decoder) Close() error {
	if d.close != nil {
		d.close()
	}
	return nil
}

func badEncoding(cause error) error {
	return &policy.Error{Reason: policy.InvalidArgument, Cause: cause,
		Message: "the body is not what its Content-Encoding says, or breaks off; compress it again and send all of it"}
}
