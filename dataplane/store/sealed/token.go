package sealed

import (
	"encoding/base64"
	"encoding/binary"
	"io"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A page token is sealed, and bound to the tenant and to what was asked: it
// shows nothing and opens nothing else.

var errToken = policy.Errorf(policy.InvalidArgument, "the page token is not of this tenant and query; start again without one")

func (s *Store) sealToken(t tenantRaw, scope, position []byte) (string, error) {
	var nonce [12]byte
	if _, err := io.ReadFull(s.rand, nonce[:]); err != nil {
		return "", err
	}
	b := s.tokens.Seal(nonce[:], nonce[:], position, append(t[:], scope...))
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// openToken gives the position, nil for the empty token.
func (s *Store) openToken(t tenantRaw, scope []byte, token string, size int) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 12+size+16 {
		return nil, errToken
	}
	position, err := s.tokens.Open(nil, b[:12], b[12:], append(t[:], scope...))
	if err != nil {
		return nil, errToken
	}
	return position, nil
}

// listScope is what a token of List is bound to; the page size may change.
func listScope(q store.Query) []byte {
	b := []byte("calls\x00")
	for _, s := range [...]string{string(q.Status), string(q.Direction), q.Number, q.Subject} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	if q.AnyVersion {
		b = append(b, 1)
	}
	if q.Newest {
		b = append(b, 2)
	}
	for _, t := range [...]int64{q.Start.UnixNano(), q.End.UnixNano()} {
		b = binary.BigEndian.AppendUint64(b, uint64(t))
	}
	return b
}
