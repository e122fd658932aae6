package system

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
)

// front is what stands before the nodes of a region under its one name: it gives
// each connection to the next node that takes it, and passes TLS through.
type front struct {
	listener net.Listener
	nodes    []string
	at       func(node string) string // its address

	mu   sync.Mutex
	turn int
	last string            // who got the newest connection
	who  map[string]string // a client's address → the node that it got
	open map[net.Conn]bool // both ends
	ends bool
	all  sync.WaitGroup
}

func newFront(t *testing.T, nodes []string, at func(node string) string) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	f := &front{listener: l, nodes: nodes, at: at, who: map[string]string{}, open: map[net.Conn]bool{}}
	f.all.Go(f.serve)
	t.Cleanup(func() {
		check(t, l.Close())
		f.mu.Lock()
		f.ends = true
		f.mu.Unlock()
		f.cut()
		f.all.Wait()
	})
	return f
}

func (f *front) address() string { return f.listener.Addr().String() }

func (f *front) serve() {
	for {
		near, err := f.listener.Accept()
		if err != nil {
			return
		}
		far := f.dial(near.RemoteAddr().String())
		if far == nil || !f.keep(near, far) {
			_ = near.Close()
			continue
		}
		f.all.Go(func() { f.join(near, far) })
	}
}

// dial takes the next node that answers; nil when none does.
func (f *front) dial(from string) net.Conn {
	for range f.nodes {
		f.mu.Lock()
		node := f.nodes[f.turn%len(f.nodes)]
		f.turn++
		f.mu.Unlock()
		if far, err := net.DialTimeout("tcp", f.at(node), 5*time.Second); err == nil {
			f.mu.Lock()
			f.who[from], f.last = node, node
			f.mu.Unlock()
			return far
		}
	}
	return nil
}

func (f *front) keep(ends ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range ends {
		f.open[c] = true
	}
	return !f.ends
}

// join passes on what both say until either has ended.
func (f *front) join(near, far net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = near.Close(), far.Close()
		})
	}
	both.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, near)
	delete(f.open, far)
}

// cut ends every connection, as balancers do with old ones.
func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		_ = c.Close()
	}
}

func (f *front) newest() string { f.mu.Lock(); defer f.mu.Unlock(); return f.last }

// node is who got the connection of a client's address.
func (f *front) node(from string) string { f.mu.Lock(); defer f.mu.Unlock(); return f.who[from] }

// caller asks a region by its name, over a connection of its own for each request,
// and notes which node answered.
type caller struct {
	front *front
	next  http.RoundTripper

	mu       sync.Mutex
	last     string
	answered map[string]int
}

// newCaller trusts the authority; it asks nobody where the name is.
func newCaller(t *testing.T, f *front, authority string) *caller {
	t.Helper()
	trust, err := client.HTTPOptions{CAFile: authority}.TLS()
	check(t, err)
	return &caller{front: f, answered: map[string]int{}, next: &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust, ExpectContinueTimeout: time.Second,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", f.address())
		}}}
}

func (c *caller) RoundTrip(r *http.Request) (*http.Response, error) {
	var mu sync.Mutex
	node := ""
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		mu.Lock()
		defer mu.Unlock()
		node = c.front.node(i.Conn.LocalAddr().String())
		c.note(node, 0)
	}}
	resp, err := c.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err == nil {
		mu.Lock()
		defer mu.Unlock()
		c.note(node, 1)
	}
	return resp, err
}

func (c *caller) note(node string, answers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = node
	c.answered[node] += answers
}

// lately is the node that got, or answered, the newest request.
func (c *caller) lately() string { c.mu.Lock(); defer c.mu.Unlock(); return c.last }

// counts is how many requests each node has answered.
func (c *caller) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.answered)
}
