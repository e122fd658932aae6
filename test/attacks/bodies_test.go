package attacks

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/dataplane/server"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

var longBodies = flag.Bool("attacks.bodies", false, "the long form: more attackers, and whoever drips is waited for until it is cut")

const (
	bodyRSS    = 512 << 20        // bytes of memory that a node has at most, whatever is sent (docs/operations/load.md)
	bodyAnswer = 40 * time.Second // until a body that is sent as fast as it is taken is answered
	bodyEnough = 16 << 20         // of a body without an end: what no single object may have
)

// hostile is a body that nobody means well with.
type hostile struct {
	name     string
	encoding string // Content-Encoding
	length   string // Content-Length; "" chunked
	write    func(w io.Writer) error
	want     []policy.Reason // of a route that reads one object
}

// again writes a piece until it is not taken any more, or it was enough.
func again(begin, piece string, times int) func(io.Writer) error {
	return func(w io.Writer) error {
		block := strings.Repeat(piece, max(1, 32<<10/len(piece)))
		_, err := io.WriteString(w, begin)
		for n := 0; err == nil && n < times*len(piece); n += len(block) {
			_, err = io.WriteString(w, block)
		}
		return err
	}
}

func bytesOf(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

func zipped(levels int, size int) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	var in io.Writer = w
	var nested []io.Closer
	for range levels - 1 {
		z := gzip.NewWriter(in)
		nested = append(nested, z)
		in = z
	}
	zero := make([]byte, 1<<20)
	for range size >> 20 {
		_, _ = in.Write(zero) // a bytes.Buffer does not fail
	}
	slices.Reverse(nested)
	for _, z := range nested {
		_ = z.Close()
	}
	_ = w.Close()
	return out.Bytes()
}

func zstdBomb(size int) []byte {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	zero := make([]byte, 1<<20)
	for range size >> 20 {
		_, _ = w.Write(zero)
	}
	_ = w.Close()
	return out.Bytes()
}

// hostiles are the bodies. What a feed's source sends is quarantined or refused as
// the feed's rules say; everywhere else the reasons must be these.
func hostiles() []hostile {
	bad, large := policy.InvalidArgument, policy.PayloadTooLarge
	refused := []policy.Reason{bad, large}
	bomb, nested, frames := zipped(1, 256<<20), zipped(2, 256<<20), zstdBomb(256<<20)
	window := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8}, make([]byte, 64)...) // a window of two gibibytes
	return []hostile{
		{"deep arrays", "", "", again("", "[", bodyEnough), refused},
		{"deep objects", "", "", again("", `{"from":`, bodyEnough/8), refused},
		{"an array without an end", "", "", again("[0", ",0", bodyEnough/2), refused},
		{"millions of keys", "", "", func(w io.Writer) error {
			b := bufio.NewWriter(w)
			_, err := b.WriteString(`{"native_id":"a"`)
			for i := 0; err == nil && i < 1_000_000; i++ {
				_, err = fmt.Fprintf(b, `,"k%d":0`, i)
			}
			return err
		}, refused},
		{"one key again and again", "", "", again(`{"native_id":"a"`, `,"native_id":"a"`, bodyEnough/16), refused},
		{"one line without an end", "", "", again(`{"native_id":"`, "a", bodyEnough), refused},
		{"white space without an end", "", "", again("", " ", bodyEnough), refused},
		{"numbers without an end", "", "", again(`{"duration_ms":1`, "0", bodyEnough), refused},
		{"escapes without an end", "", "", again(`{"native_id":"`, `\u0000`, bodyEnough/6), refused},
		{"a gzip bomb", "gzip", strconv.Itoa(len(bomb)), bytesOf(bomb), refused},
		{"a gzip bomb in gzip", "gzip", strconv.Itoa(len(nested)), bytesOf(nested), refused},
		{"gzip twice", "gzip, gzip", strconv.Itoa(len(nested)), bytesOf(nested), []policy.Reason{policy.UnsupportedMediaType, large}},
		{"a zstd bomb", "zstd", strconv.Itoa(len(frames)), bytesOf(frames), refused},
		{"a zstd window of gibibytes", "zstd", strconv.Itoa(len(window)), bytesOf(window), refused},
		{"an encoding of nobody", "br", "4", bytesOf([]byte("[[[[")), []policy.Reason{policy.UnsupportedMediaType}},
		{"an exbibyte is declared", "", strconv.Itoa(1 << 60), again("", "[", 64<<10), []policy.Reason{bad, large, policy.UnsupportedMediaType}},
	}
}

// intakes are the routes that read a body, as paths; nothing that the server has is
// left out.
func intakes(t *testing.T) (out []string) {
	t.Helper()
	fill := strings.NewReplacer("{source}", "kamailio", "{name}", "switch", "{part}", "cdr", "{id}", "CA"+strings.Repeat("0", 32), "{index}", "0")
	for _, p := range server.Patterns() {
		method, path, ok := strings.Cut(p, " ")
		if !ok || method != "POST" && method != "PUT" && method != "PATCH" {
			continue
		}
		if path == "/v1/feeds/{source}/{name}" && method == "POST" {
			for _, source := range []string{"freeswitch", "kamailio", "asterisk", "twilio"} {
				out = append(out, method+" "+strings.Replace(fill.Replace(path), "kamailio", source, 1))
			}
			continue
		}
		out = append(out, method+" "+fill.Replace(path))
	}
	if len(out) < 20 {
		t.Fatalf("only %d routes take a body: %v", len(out), out)
	}
	return out
}

// kindOf is the Content-Type that a route is asked with.
func kindOf(path string) string {
	switch {
	case strings.Contains(path, "/recordings"):
		return "audio/wav"
	case strings.Contains(path, "/uploads/"):
		return "application/offset+octet-stream"
	case strings.Contains(path, ":batch"):
		return "application/x-ndjson"
	case strings.Contains(path, "/asterisk/"):
		return "text/csv"
	case strings.Contains(path, "/twilio/"):
		return "application/x-www-form-urlencoded"
	}
	return "application/json"
}

type bodies struct {
	*region
	conf *tls.Config
}

// send sends one body as fast as it is taken, and gives what was answered: the
// status, and the reason of a refusal. Cut without an answer is an error.
func (b *bodies) send(ctx context.Context, route string, h *hostile) (status int, reason policy.Reason, err error) {
	method, path, _ := strings.Cut(route, " ")
	c, err := (&tls.Dialer{Config: b.conf}).DialContext(ctx, "tcp", b.tenants)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	head := method + " " + path + " HTTP/1.1\r\nHost: " + b.tenants + "\r\nAuthorization: Bearer " + b.bad.Key + "\r\nContent-Type: " + kindOf(path) + "\r\nConnection: close\r\n"
	if h.encoding != "" {
		head += "Content-Encoding: " + h.encoding + "\r\n"
	}
	if strings.Contains(path, "/uploads") {
		head += "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
	}
	if h.length != "" {
		head += "Content-Length: " + h.length + "\r\n\r\n"
	} else {
		head += "Transfer-Encoding: chunked\r\n\r\n"
	}
	if _, err := io.WriteString(c, head); err != nil {
		return 0, "", err
	}
	go func() { // what is refused early is not taken to its end
		if h.length != "" {
			_ = h.write(c)
			return
		}
		w := bufio.NewWriterSize(chunked{c}, 64<<10)
		if h.write(w) == nil && w.Flush() == nil {
			_, _ = io.WriteString(c, "0\r\n\r\n")
		}
	}()
	return answerOf(bufio.NewReader(c))
}

// chunked frames each write.
type chunked struct{ c net.Conn }

func (w chunked) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	_, err := fmt.Fprintf(w.c, "%x\r\n%s\r\n", len(b), b)
	return len(b), err
}

func answerOf(r *bufio.Reader) (status int, reason policy.Reason, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, "", fmt.Errorf("no answer: %w", err)
	}
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		return 0, "", fmt.Errorf("%q: %w", line, err)
	}
	rest, _ := io.ReadAll(io.LimitReader(r, 1<<20)) // the end of a connection that is cut may be a reset
	_, body, _ := bytes.Cut(rest, []byte("\r\n\r\n"))
	var problem struct{ Reason policy.Reason }
	if status >= 400 && json.Unmarshal(body, &problem) != nil {
		return status, "", fmt.Errorf("%d without a problem: %q", status, body)
	}
	return status, problem.Reason, nil
}

// judge says what is wrong with an answer.
func (h *hostile) judge(route string, status int, reason policy.Reason) error {
	switch {
	case status >= 500 && reason != policy.NotYet:
		return fmt.Errorf("%d %s: the node gave up", status, reason)
	case strings.HasSuffix(route, "/v1/exports:run"):
		return nil // it takes no body and reads none
	case reason == policy.Overloaded || reason == policy.NotFound || reason == policy.NotYet:
		return nil // told to come back, or nothing to send it to; nothing of it was read for long
	case strings.Contains(route, "/v1/feeds/") && strings.HasPrefix(route, "POST"), strings.HasSuffix(route, ":batch"), strings.Contains(route, "/recordings"), strings.Contains(route, "/uploads"):
		if status == 200 && (h.name == "a gzip bomb" || h.name == "a zstd bomb") && !strings.Contains(route, "/recordings") && !strings.Contains(route, "/uploads") {
			return errors.New("a bomb was taken for a body") // one in another is a small body of noise
		}
		if status == 200 || reason == policy.InvalidArgument || reason == policy.PayloadTooLarge || reason == policy.UnsupportedMediaType {
			return nil // quarantined, or refused by rules of its own
		}
	case slices.Contains(h.want, reason):
		return nil
	}
	return fmt.Errorf("answered %d %s, want one of %v", status, reason, h.want)
}

// Whatever body a tenant sends to whatever route, it is refused with the right
// reason in bounded time, the node's memory stays below its bound, and another
// tenant is served as if nothing were.
func TestINV41_HostileBodies(t *testing.T) {
	b := &bodies{region: openRegion(t)}
	roots, err := mtls.LoadRoots(b.Env.CAFile())
	check(t, err)
	b.conf = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	attackers, limit := 6, 3*time.Minute // half a minute on a busy machine; each body has bodyAnswer
	if *longBodies {
		attackers, limit = 48, 10*time.Minute
	}
	routes, all := intakes(t), hostiles()
	v := victim{process: b.Process("ie1"), ask: b.work, state: func() string { return "" }, secrets: []string{b.good.Key, b.bad.Key, b.foreign}, lasts: limit, most: bodyRSS}
	v.attack(t, "every body to every route", func(ctx context.Context) string {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var dripping sync.WaitGroup
		for _, route := range routes { // beside them, who sends a byte a second
			dripping.Go(func() { b.drip(ctx, t, route) })
		}
		type attempt struct {
			route string
			body  *hostile
		}
		todo := make(chan attempt)
		var workers sync.WaitGroup
		var answers sync.Map
		var sent atomic.Int64
		for range attackers {
			workers.Go(func() {
				for a := range todo {
					one, stop := context.WithTimeout(ctx, bodyAnswer)
					status, reason, err := b.send(one, a.route, a.body)
					for range 3 { // who reads late has lost the answer to a reset: a client asks again
						if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
							status, reason, err = b.send(one, a.route, a.body)
						}
					}
					stop()
					sent.Add(1)
					if err == nil {
						err = a.body.judge(a.route, status, reason)
					}
					if err != nil {
						t.Errorf("%s to %s: %v", a.body.name, a.route, err)
					}
					answers.Store(fmt.Sprint(status, " ", reason), true)
				}
			})
		}
		times := 1
		if *longBodies {
			times = 8
		}
		for range times {
			for i := range all {
				for _, route := range routes {
					todo <- attempt{route, &all[i]}
				}
			}
		}
		close(todo)
		workers.Wait()
		if !*longBodies {
			cancel()
		}
		dripping.Wait()
		var kinds []string
		answers.Range(func(k, _ any) bool { kinds = append(kinds, fmt.Sprint(k)); return true })
		slices.Sort(kinds)
		return fmt.Sprintf("%d bodies to %d routes: %s", sent.Load(), len(routes), strings.Join(kinds, ", "))
	})
}

// drip sends a byte a second until it is cut, which must be in time, or the attack ends.
func (b *bodies) drip(ctx context.Context, t *testing.T, route string) {
	method, path, _ := strings.Cut(route, " ")
	c, err := (&tls.Dialer{Config: b.conf}).DialContext(ctx, "tcp", b.tenants)
	if err != nil {
		return
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	began := time.Now()
	_, err = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: 1000000\r\n\r\n", method, path, b.tenants, b.bad.Key, kindOf(path))
	over := make(chan struct{})
	go func() { defer close(over); _, _ = io.Copy(io.Discard, c) }()
	for err == nil {
		select {
		case <-over:
			err = io.EOF
		case <-time.After(time.Second):
			_, err = io.WriteString(c, " ")
		}
	}
	if took := time.Since(began); took > cutWithin && !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("%s: who sent a byte a second was cut after %v", route, took)
	}
}
