package server

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// A push goes to many nodes and differs between them in its nonce alone. So it
// is encoded once, without one; a protobuf message is the sum of its fields in
// whatever order, so that each node's nonce is a few bytes behind the shared ones.

// sending is an encoded push and the nonce of one session.
type sending struct {
	push  []byte // shared between sessions: never written again
	nonce []byte
}

// encode gives a push's wire form, without a nonce.
func encode(p *controlv1.Push) ([]byte, error) {
	p.Nonce = 0
	b, err := proto.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode a push: %w", err)
	}
	return b, nil
}

// sending gives a push the session's next nonce. A notice to wait is not
// answered and has none.
func (s *session) sending(push []byte) *sending {
	if bytes.Equal(push, waiting) {
		return &sending{push: push}
	}
	const field = 2 // Push.nonce; TestSharedPushesDecode holds it to the descriptor
	b := protowire.AppendTag(make([]byte, 0, 12), field, protowire.VarintType)
	return &sending{push: push, nonce: protowire.AppendVarint(b, s.sent())}
}

// wireCodec is gRPC's own, but for what is encoded already.
type wireCodec struct{ encoding.CodecV2 }

func newWireCodec() wireCodec { return wireCodec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if s, ok := v.(*sending); ok {
		return mem.BufferSlice{mem.SliceBuffer(s.push), mem.SliceBuffer(s.nonce)}, nil
	}
	return c.CodecV2.Marshal(v)
}
