package attacks

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/mtls"
)

// cutWithin is how long a client that reads a byte a second may hold a connection:
// the longest of the listeners' own limits is a minute for a whole answer.
const cutWithin = 90 * time.Second

// trickle is a connection that gives a byte a second once it is slow. Its window
// and segments are small, so that an answer does not fit into the kernel's buffers.
type trickle struct {
	net.Conn
	slow atomic.Bool
	end  context.Context
}

func dialTrickle(ctx context.Context, address string) (*trickle, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		control := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err == nil {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 536)
			}
		})
		if control != nil {
			return control
		}
		return err
	}}
	c, err := d.DialContext(ctx, "tcp4", address)
	if err != nil {
		return nil, err
	}
	return &trickle{Conn: c, end: ctx}, nil
}

func (c *trickle) Read(b []byte) (int, error) {
	if !c.slow.Load() || len(b) == 0 {
		return c.Conn.Read(b)
	}
	select {
	case <-c.end.Done():
		return 0, c.end.Err()
	case <-time.After(time.Second):
	}
	return c.Conn.Read(b[:1])
}

// held reports whether the other side's process still holds the connection: what
// its kernel has taken over may trickle on for hours after that.
func (c *trickle) held() bool {
	raw, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(raw), "\n") {
		f := strings.Fields(line)
		if len(f) > 9 && f[1] == inProc(c.RemoteAddr()) && f[2] == inProc(c.LocalAddr()) {
			return f[3] == "01" // established
		}
	}
	return false
}

func inProc(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return ""
	}
	ip := t.IP.To4()
	return strings.ToUpper(hex.EncodeToString([]byte{ip[3], ip[2], ip[1], ip[0]})) + fmt.Sprintf(":%04X", t.Port)
}

// cut waits until the other side lets go, and gives how long that took.
func (c *trickle) cut(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if !c.held() {
		return 0, fmt.Errorf("the connection was over before it was slow")
	}
	for c.held() {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("still held after %v", time.Since(began))
		case <-time.After(100 * time.Millisecond):
		}
	}
	return time.Since(began), nil
}

// read asks over TLS and reads the answer a byte a second from its first byte on.
func read(ctx context.Context, address string, conf *tls.Config, ask func(net.Conn) error) (time.Duration, error) {
	raw, err := dialTrickle(ctx, address)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	c := tls.Client(raw, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		return 0, err
	}
	if err := ask(c); err != nil {
		return 0, err
	}
	line, err := bufio.NewReaderSize(io.LimitReader(c, 12), 16).ReadString(' ')
	if conf.NextProtos == nil && (err != nil || line != "HTTP/1.1 ") {
		return 0, fmt.Errorf("no answer: %q %w", line, err)
	}
	raw.slow.Store(true)
	go func() { _, _ = io.Copy(io.Discard, c) }()
	return raw.cut(ctx)
}

func get(host, path, token string) func(net.Conn) error {
	return func(c net.Conn) error {
		_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, host, token)
		return err
	}
}

// slowly is one client that reads a byte a second.
type slowly struct {
	name string
	run  func(context.Context) (time.Duration, error)
}

// all runs them at once, each several times, and demands that each is cut.
func all(t *testing.T, ctx context.Context, times int, clients ...slowly) string {
	t.Helper()
	var wait sync.WaitGroup
	var mu sync.Mutex
	took := map[string]time.Duration{}
	for _, c := range clients {
		for range times {
			wait.Go(func() {
				d, err := c.run(ctx)
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				mu.Lock()
				took[c.name] = max(took[c.name], d)
				mu.Unlock()
			})
		}
	}
	wait.Wait()
	return fmt.Sprintf("%d of each, the last was cut after %v", times, took)
}

func TestINV41_WhoReadsAByteASecondIsCut(t *testing.T) {
	s := open(t)
	for batch := range 4 {
		var many []*controlv1.CreateTenantRequest
		for n := range 250 {
			many = append(many, &controlv1.CreateTenantRequest{Slug: fmt.Sprintf("many-%d-%d", batch, n), HomeRegion: "ie1", BillingCountry: "IE"})
		}
		_, err := s.control.CreateTenants(t.Context(), many)
		check(t, err)
	}
	// A node that is heard for the first time is a change; so it has been heard.
	check(t, s.watch(t.Context(), func(*trickle) error { return nil }))
	s.eventually("every change at cp1", func() bool { return s.changes() == 1+len(s.Env.Voters())+1000+1 })
	roots, err := mtls.LoadRoots(s.ca)
	check(t, err)
	h1 := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	v := victim{process: s.Process("cp1"), state: s.checkpoint, secrets: []string{s.Env.Token()}, lasts: cutWithin, ask: func(ctx context.Context) error {
		_, err := s.control.Regions(ctx)
		return err
	}}
	v.attack(t, "answers and streams of a voter", func(ctx context.Context) string {
		return all(t, ctx, 4,
			slowly{"list", func(ctx context.Context) (time.Duration, error) {
				return read(ctx, s.rest, h1, get(s.rest, "/v1/tenants?page_size=1000", s.Env.Token()))
			}},
			slowly{"document", func(ctx context.Context) (time.Duration, error) {
				return read(ctx, s.rest, h1, get(s.rest, "/openapi.json", s.Env.Token()))
			}},
			slowly{"watch", func(ctx context.Context) (took time.Duration, err error) {
				err = s.watch(ctx, func(c *trickle) (err error) {
					c.slow.Store(true)
					took, err = c.cut(ctx)
					return err
				})
				return took, err
			}})
	})
}

// watch subscribes to the bundle of ie1 as its node, at the leader, and does
// something once the first push is here.
func (s *site) watch(ctx context.Context, do func(*trickle) error) error {
	config, err := s.Env.RegionConfig("ie1")
	if err != nil {
		return err
	}
	m, err := mtls.Load(config.TLS)
	if err != nil {
		return err
	}
	for {
		for _, voter := range s.Env.Voters() {
			leads, err := subscribe(ctx, s.Env.VoterConfig(voter).GRPCAddress, m, do)
			if leads || ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
		}
	}
}

// subscribe reports whether the voter leads, and what came of do.
func subscribe(ctx context.Context, address string, m *mtls.Material, do func(*trickle) error) (leads bool, err error) {
	var raw *trickle
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(m.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))),
		grpc.WithContextDialer(func(c context.Context, a string) (_ net.Conn, err error) {
			raw, err = dialTrickle(ctx, a)
			return raw, err
		}))
	if err != nil {
		return false, err
	}
	defer conn.Close()
	stream, err := controlv1.NewDistributionServiceClient(conn).Subscribe(ctx)
	if err != nil {
		return false, err
	}
	if err := stream.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{}}}); err != nil {
		return false, err
	}
	if _, err := stream.Recv(); err != nil {
		return false, err
	}
	return true, do(raw)
}

func TestINV41_WhoReadsAByteASecondOfARegionIsCut(t *testing.T) {
	r := openRegion(t)
	var body strings.Builder
	at := time.Date(2026, 3, 16, 10, 0, 0, 0, time.UTC)
	for n := range 20_000 {
		line, err := json.Marshal(data.NewCall{NativeID: "many-" + strconv.Itoa(n), From: "+35319100100", To: "+35319100099", Direction: "inbound", Status: "completed", StartTime: &at})
		check(t, err)
		body.Write(append(line, '\n'))
	}
	got, err := r.bad.Batch(t.Context(), client.Upload{Body: strings.NewReader(body.String())})
	check(t, err)
	if got.Accepted != 20_000 {
		t.Fatalf("%d calls were stored", got.Accepted)
	}
	roots, err := mtls.LoadRoots(r.Env.CAFile())
	check(t, err)
	h1 := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	v := victim{process: r.Process("ie1"), state: r.kept, secrets: []string{r.good.Key, r.bad.Key}, lasts: cutWithin, ask: r.work}
	u, err := url.Parse(r.bad.BaseURL)
	check(t, err)
	v.attack(t, "answers and exports of a region", func(ctx context.Context) string {
		return all(t, ctx, 8,
			slowly{"list", func(ctx context.Context) (time.Duration, error) {
				return read(ctx, u.Host, h1, get(u.Host, "/v1/calls?page_size=1000", r.bad.Key))
			}},
			slowly{"export", func(ctx context.Context) (time.Duration, error) {
				return read(ctx, u.Host, h1, get(u.Host, "/v1/calls:export?format=ndjson", r.bad.Key))
			}})
	})
}
