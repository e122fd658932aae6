package controlplane_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
)

// games are writes whose callers go away, each with an idempotency key of its own.
// Whatever an answer says, each has one effect or none, and one when it is sent again.
type games struct {
	t     *testing.T
	p     *processes
	mu    sync.Mutex
	keys  map[string]string // slug → key
	cut   atomic.Int64      // whose caller did not wait
	whole atomic.Int64      // that were answered
}

func (g *games) next(kind string) (slug, key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	slug, key = fmt.Sprintf("%s-%s", kind, letters(len(g.keys))), uuid()
	g.keys[slug] = key
	return slug, key
}

// letters writes a number as a slug may hold it.
func letters(n int) string {
	return string([]byte{'a' + byte(n/676%26), 'a' + byte(n/26%26), 'a' + byte(n%26)})
}

func creation(slug string) *controlv1.CreateTenantRequest {
	return &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "ie1", BillingCountry: "IE"}
}

// count keeps how a call went; what was neither made nor cut is a fault.
func (g *games) count(what string, err error) {
	switch status.Code(err) {
	case codes.OK:
		g.whole.Add(1)
	case codes.DeadlineExceeded, codes.Canceled, codes.Unavailable:
		g.cut.Add(1)
	default:
		g.t.Errorf("%s: %v", what, err)
	}
}

// cutShort calls over gRPC, and goes away after d: by its deadline, which the voter
// hears of too, or by a cancellation.
func (g *games) cutShort(conn *grpc.ClientConn, d time.Duration, byDeadline func(context.Context, time.Duration) (context.Context, context.CancelFunc)) {
	slug, key := g.next("cut")
	ctx, cancel := byDeadline(metadata.NewOutgoingContext(context.Background(), metadata.Pairs("authorization", "Bearer "+operatorToken, "idempotency-key", key)), d)
	defer cancel()
	_, err := controlv1.NewTenantServiceClient(conn).CreateTenant(ctx, creation(slug))
	g.count(fmt.Sprintf("cut after %v", d), err)
}

// cancelled is a context that says nothing of its end to the other side.
func cancelled(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(d, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

// overREST does the same by a request over HTTP/2.
func (g *games) overREST(client *http.Client, voter int, d time.Duration) {
	slug, key := g.next("web")
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "https://"+g.p.c.configs[voter].RESTAddress+"/v1/tenants",
		strings.NewReader(`{"slug":"`+slug+`","home_region":"ie1","billing_country":"IE"}`))
	if err != nil {
		g.t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		g.cut.Add(1)
		return
	}
	defer resp.Body.Close()
	g.whole.Add(1)
	if resp.StatusCode != 201 && resp.StatusCode != 503 {
		g.t.Errorf("a request that had %v: %d", d, resp.StatusCode)
	}
}

// frames speaks HTTP/2 to the gRPC port itself.
func (g *games) frames(voter int, config *tls.Config) (*tls.Conn, *http2.Framer) {
	conn, err := tls.Dial("tcp", g.p.c.configs[voter].GRPCAddress, config)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err != nil || f.WriteSettings() != nil {
		g.t.Fatal("the voter does not speak HTTP/2", err)
	}
	return conn, f
}

// say writes a call with that grpc-timeout, however it is written.
func say(f *http2.Framer, id uint32, key string, timeouts []string, message []byte) error {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	fields := [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "control"}, {":path", controlv1.TenantService_CreateTenant_FullMethodName},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"authorization", "Bearer " + operatorToken}, {"idempotency-key", key}}
	for _, t := range timeouts {
		fields = append(fields, [2]string{"grpc-timeout", t})
	}
	for _, h := range fields {
		if err := e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	body := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(body[1:], uint32(len(message)))
	return f.WriteData(id, true, append(body, message...))
}

// said reads until a call has ended, and gives its grpc-status; "" when it has none.
func said(f *http2.Framer, id uint32) (string, error) {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return "", err
		}
		switch x := frame.(type) {
		case *http2.MetaHeadersFrame:
			if x.StreamID != id || !x.StreamEnded() {
				continue
			}
			for _, h := range x.Fields {
				if h.Name == "grpc-status" {
					return h.Value, nil
				}
			}
			return "", nil
		case *http2.RSTStreamFrame:
			if x.StreamID == id {
				return "", nil
			}
		}
	}
}

// strange are values of grpc-timeout, and the statuses that answer them: gRPC's
// specification has a positive integer of at most eight digits, and a unit.
func (g *games) strange(voter int, config *tls.Config) {
	done, late, never := []string{"0"}, []string{"", "4", "14"}, []string{"", "13", "3", "0", "4", "14"}
	for _, x := range []struct {
		values []string
		want   []string
	}{{nil, done}, {[]string{"99999999H"}, done}, {[]string{"10S"}, done}, {[]string{"0n"}, late}, {[]string{"0H"}, late}, {[]string{"00000000S"}, late}, {[]string{"1n"}, late}, {[]string{"1u"}, late},
		{[]string{"-1S"}, never}, {[]string{"-99999999H"}, never}, {[]string{"999999999H"}, never}, {[]string{"9223372036854775808n"}, never}, {[]string{"1"}, never}, {[]string{"S"}, never},
		{[]string{"1x"}, never}, {[]string{"1.5S"}, never}, {[]string{"+1S"}, never}, {[]string{" 1S"}, never}, {[]string{"1S,1S"}, never}, {[]string{"1e3S"}, never}, {[]string{"0x1S"}, never},
		{[]string{"٣S"}, never}, {[]string{""}, never}, {[]string{private}, never}, {[]string{"10S", "0n"}, never}, {[]string{strings.Repeat("9", 4000) + "S"}, never}} {
		conn, f := g.frames(voter, config)
		slug, key := g.next("odd")
		message, err := proto.Marshal(creation(slug))
		if err == nil {
			err = say(f, 1, key, x.values, message)
		}
		got := ""
		if err == nil {
			got, err = said(f, 1)
		}
		_ = conn.Close()
		if err != nil {
			got = "" // the connection was ended, which is an answer
		}
		if !contains(x.want, got) {
			g.t.Errorf("grpc-timeout %.40q is answered %q (%v), want one of %q", x.values, got, err, x.want)
		}
	}
	// Calls that are taken back as soon as all of them has been sent.
	conn, f := g.frames(voter, config)
	defer conn.Close()
	for id := uint32(1); id < 80; id += 2 {
		slug, key := g.next("back")
		message, err := proto.Marshal(creation(slug))
		if err == nil {
			err = say(f, id, key, nil, message)
		}
		if err == nil {
			err = f.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			g.t.Errorf("call %d: %v", id, err)
			return
		}
		g.cut.Add(1)
	}
	if err := f.WritePing(false, [8]byte{1}); err != nil { // answered once all of it was read
		g.t.Error(err)
	}
	for {
		if frame, err := f.ReadFrame(); err != nil {
			g.t.Errorf("calls that were taken back end the connection: %v", err)
			return
		} else if x, ok := frame.(*http2.PingFrame); ok && x.IsAck() {
			return
		}
	}
}

func contains(list []string, s string) bool {
	return strings.Contains("|"+strings.Join(list, "|")+"|", "|"+s+"|")
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

func (p *processes) goroutines(t *testing.T, i int) int {
	t.Helper()
	_, text := plainGet(t, "http://"+p.c.configs[i].OpsAddress+"/metrics")
	m := goroutines.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no go_goroutines")
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestINV31_CallersThatGoAwayHaveOneEffectOrNone(t *testing.T) {
	t.Parallel() // it waits for the most part
	c := newCluster(t, 3)
	p := c.becomeProcesses()
	g := &games{t: t, p: p, keys: map[string]string{}}
	asked := c.good()
	asked.uris[0] = strings.Replace(asked.uris[0], "/role/cp/", "/role/gw/", 1)
	cert := c.forge(asked)
	for next := range p.run { // each has led, so that connections between all of them stand
		p.handOver(next)
		for i := range p.run {
			c.want(c.do(i, "GET", "/v1/regions", nil, nil), 200, "")
		}
	}
	leader := p.leading()
	before := []int{p.goroutines(t, 0), p.goroutines(t, 1), p.goroutines(t, 2)}

	follower := (leader + 1) % 3
	transport := c.client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	client := &http.Client{Transport: transport}
	conns := []*grpc.ClientConn{c.dial(leader, mtls.ControlRegion, mtls.Gateway), c.dial(follower, mtls.ControlRegion, mtls.Gateway)}
	for n, voter := range []int{leader, follower} {
		g.strange(voter, c.shown(&cert))
		var all sync.WaitGroup
		for i := range 40 {
			d := time.Duration(i*i) * 300 * time.Microsecond // half a second at most
			all.Go(func() { g.cutShort(conns[n], d, context.WithTimeout) })
			all.Go(func() { g.cutShort(conns[n], d, cancelled) })
			all.Go(func() { g.overREST(client, voter, d) })
		}
		all.Wait()
	}
	// Nothing can be committed, and whoever asks waits for less than that lasts.
	p.pause(follower)
	p.pause((leader + 2) % 3)
	unanswered := g.cut.Load()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { g.cutShort(conns[0], 100*time.Millisecond, context.WithTimeout) })
	}
	all.Wait()
	if n := g.cut.Load() - unanswered; n != 20 {
		t.Errorf("%d of 20 writes were not answered while nothing could be committed", n)
	}
	p.resume(follower)
	p.resume((leader + 2) % 3)
	p.ready()

	g.once()
	for _, conn := range conns {
		_ = conn.Close()
	}
	transport.CloseIdleConnections()
	c.client.CloseIdleConnections()
	for i, was := range before {
		eventually(t, func() error {
			if now := p.goroutines(t, i); now > was+8 { // connections of this test and between voters come and go
				return fmt.Errorf("%d goroutines, and %d before", now, was)
			}
			return nil
		}, "goroutines of voter %d stay", i+1)
	}
	p.unharmed(t)
}

// once sends everything again and sees that each was done once.
func (g *games) once() {
	g.t.Helper()
	c, t := g.p.c, g.t
	at := g.p.leading()
	there := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	gate := make(chan struct{}, 16)
	for slug, key := range g.keys {
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			was, err := c.settled(at, "GET", "/v1/tenants/"+slug, nil, nil)
			again, err2 := c.settled(at, "POST", "/v1/tenants", map[string]any{"slug": slug, "home_region": "ie1", "billing_country": "IE"}, headers{"Idempotency-Key": key})
			if err != nil || err2 != nil || again.Status != 201 || was.Status == 200 && was.str("id") != again.str("id") {
				t.Errorf("%s, sent again: %v %v %d %s, and before %s", slug, err, err2, again.Status, again.Raw, was.Raw)
			}
			mu.Lock()
			defer mu.Unlock()
			if was.Status == 200 {
				there++
			}
		})
	}
	all.Wait()
	a := c.want(c.do(at, "GET", "/v1/tenants?page_size=1000", nil, nil), 200, "")
	if list, _ := a.Body["tenants"].([]any); len(list) != len(g.keys) {
		t.Errorf("%d tenants, and %d keys", len(list), len(g.keys))
	}
	t.Logf("%d writes: %d callers went away, %d were answered; %d had their effect, the others when they were sent again", len(g.keys), g.cut.Load(), g.whole.Load(), there)
	if there == 0 || there == len(g.keys) || g.cut.Load() == 0 || g.whole.Load() == 0 {
		t.Error("these games show nothing")
	}
}
