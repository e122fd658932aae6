package twilio

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// proxy is an ordinary CONNECT proxy (RFC 9110 section 9.3.6) that leads names of
// that API to regions' nodes, as an operator's resolver or proxy does. It sees names
// and ciphertext.
type proxy struct {
	url   string
	nodes map[string]string // region → host:port

	mu    sync.Mutex
	asked map[string]int // names
}

func startProxy(t *testing.T, nodes map[string]string) *proxy {
	t.Helper()
	p := &proxy{nodes: nodes, asked: map[string]int{}}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// regionOf reads api.<region>.twilio.com and api.<edge>.<region>.twilio.com.
func regionOf(host string) (string, error) {
	name, ok := strings.CutSuffix(host, ".twilio.com:443")
	part := strings.Split(name, ".")
	if !ok || part[0] != "api" || len(part) < 2 || len(part) > 3 {
		return "", fmt.Errorf("%s is led nowhere", host)
	}
	return part[len(part)-1], nil
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	region, err := regionOf(r.Host)
	if r.Method != http.MethodConnect || err != nil || p.nodes[region] == "" {
		http.Error(w, fmt.Sprint("no way: ", err), http.StatusForbidden)
		return
	}
	p.mu.Lock()
	p.asked[strings.TrimSuffix(r.Host, ":443")]++
	p.mu.Unlock()
	far, err := net.Dial("tcp", p.nodes[region])
	if err != nil {
		http.Error(w, "the node does not answer", http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, near)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
	<-done
}

func (p *proxy) names() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for name, n := range p.asked {
		out[name] = n
	}
	return out
}
