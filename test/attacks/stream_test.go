package attacks

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/internal/mtls"
)

// The port of streams is HTTP/2, with all that can be done to that.
func TestINV41_FloodsOfStreamsLeaveTheOthersAlone(t *testing.T) {
	r := openRegion(t)
	roots, err := mtls.LoadRoots(r.Env.CAFile())
	check(t, err)
	address := r.Env.IngestAddress("ie1")
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	}
	plain := func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", address) }
	as := func(key string, do func(context.Context, *http2.Framer, []byte) int) func(context.Context) string {
		block := streamHead(address, key)
		return func(ctx context.Context) string {
			return frames(ctx, dial, func(ctx context.Context, f *http2.Framer) int { return do(ctx, f, block) })
		}
	}

	r.attack("connections that say nothing", func(ctx context.Context) string { return crowd(ctx, 600, dial, nil) })
	r.attack("connections without a handshake", func(ctx context.Context) string { return crowd(ctx, 600, plain, nil) })
	r.attack("a preface that drips", func(ctx context.Context) string { return crowd(ctx, 300, dial, drip("PRI * ", "H")) })
	r.attack("rapid reset", as(r.bad.Key, rapidStreams))
	r.attack("rapid refusals", as(r.foreign, rapidStreams))
	r.attack("guesses by stream", as("sk_ie1_"+fmt.Sprintf("%032d_%064d", 0, 0), rapidStreams))
	r.attack("CONTINUATION without an end", func(ctx context.Context) string { return frames(ctx, dial, endlessHeaders) })
	r.attack("SETTINGS and PING floods", func(ctx context.Context) string { return frames(ctx, dial, pings) })
	r.attack("bodies that nobody asked for", as(r.foreign, unasked))
	r.attack("a message in single bytes", as(r.bad.Key, crumbs))
	r.attack("empty frames", as(r.bad.Key, empties))
	r.attack("giant messages", as(r.bad.Key, giants))
	r.attack("streams that say nothing", as(r.bad.Key, silentStreams))
	r.attack("batches that never end", as(r.bad.Key, unfinished))
	r.attack("acknowledgements that nobody reads", as(r.bad.Key, unread))
}

// streamHead is the header block of a stream.
func streamHead(host, key string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", host}, {":path", ingestv1.IngestService_Stream_FullMethodName},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"authorization", "Bearer " + key}} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return b.Bytes()
}

func begin(f *http2.Framer, stream uint32, block []byte) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true})
}

// envelope is a StreamRequest with these records, as gRPC sends it.
func envelope(sequence byte, records []byte) []byte {
	body := append([]byte{0x08, sequence, 0x12}, binary.AppendUvarint(nil, uint64(len(records)))...)
	body = append(body, records...)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

// until sends until the connection or the attack ends.
func sending(ctx context.Context, f *http2.Framer, one func(n int) error) int {
	go drain(f)
	n := 0
	for ; ctx.Err() == nil && one(n) == nil; n++ {
	}
	return n
}

func rapidStreams(ctx context.Context, f *http2.Framer, block []byte) int {
	return sending(ctx, f, func(n int) error {
		id := uint32(2*n + 1)
		if err := begin(f, id, block); err != nil {
			return err
		}
		return f.WriteRSTStream(id, http2.ErrCodeCancel)
	})
}

func unasked(ctx context.Context, f *http2.Framer, block []byte) int {
	piece := bytes.Repeat([]byte(private), 500)
	return sending(ctx, f, func(n int) error {
		if n%4 == 0 {
			if err := begin(f, uint32(n/2+1), block); err != nil {
				return err
			}
		}
		return f.WriteData(uint32(n/4*2+1), false, piece)
	})
}

func crumbs(ctx context.Context, f *http2.Framer, block []byte) int {
	_ = begin(f, 1, block)
	time.Sleep(50 * time.Millisecond) // until the stream is open
	_ = f.WriteData(1, false, []byte{0, 0, 15, 0, 0})
	return sending(ctx, f, func(int) error { return f.WriteData(1, false, []byte{0x12}) })
}

func empties(ctx context.Context, f *http2.Framer, block []byte) int {
	_ = begin(f, 1, block)
	return sending(ctx, f, func(int) error { return f.WriteData(1, false, nil) })
}

func giants(ctx context.Context, f *http2.Framer, block []byte) int {
	return sending(ctx, f, func(n int) error {
		id := uint32(2*n + 1)
		if err := begin(f, id, block); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		return f.WriteData(id, false, []byte{0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3})
	})
}

func silentStreams(ctx context.Context, f *http2.Framer, block []byte) int {
	return sending(ctx, f, func(n int) error {
		time.Sleep(2 * time.Millisecond)
		return begin(f, uint32(2*n+1), block)
	})
}

func unfinished(ctx context.Context, f *http2.Framer, block []byte) int {
	piece := envelope(1, make([]byte, 1<<20))[:60<<10]
	return sending(ctx, f, func(n int) error {
		id := uint32(2*n + 1)
		if err := begin(f, id, block); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		for rest := piece; len(rest) > 0; {
			part := min(len(rest), 16<<10)
			if err := f.WriteData(id, false, rest[:part]); err != nil {
				return err
			}
			rest = rest[part:]
		}
		return nil
	})
}

// unread sends empty batches and reads none of the answers.
func unread(ctx context.Context, f *http2.Framer, block []byte) int {
	_ = begin(f, 1, block)
	time.Sleep(50 * time.Millisecond)
	n := 0
	for ; ctx.Err() == nil && f.WriteData(1, false, envelope(byte(n%127)+1, nil)) == nil; n++ {
	}
	return n
}
