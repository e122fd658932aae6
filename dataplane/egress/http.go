package egress

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Bounds of one HTTP client.
const (
	httpHandshake = 10 * time.Second
	httpIdle      = 90 * time.Second
	httpPerHost   = 16
)

// Client sends requests through the door. Only HTTP makes one that works.
type Client struct{ c *http.Client }

// Do sends a request, as http.Client does.
func (c *Client) Do(r *http.Request) (*http.Response, error) { return c.c.Do(r) }

// CloseIdleConnections closes what is kept for the next request.
func (c *Client) CloseIdleConnections() { c.c.CloseIdleConnections() }

// HTTP makes a client whose every connection is one of route r: through the door,
// in the ledger, to declared destinations only. It uses no proxy, follows no
// redirect (where one leads nobody has declared), and speaks in the clear only to
// this machine and to its cloud's metadata address. A nil TLS configuration is
// refused.
func (d *Door) HTTP(r Route, config *tls.Config) (*Client, error) {
	if config == nil {
		return nil, fmt.Errorf("make an HTTP client for %s: no TLS configuration, and nothing leaves in the clear", r.Class)
	}
	t := &http.Transport{DialContext: d.Dialer(r), TLSClientConfig: config, TLSHandshakeTimeout: httpHandshake,
		IdleConnTimeout: httpIdle, MaxIdleConnsPerHost: httpPerHost, ForceAttemptHTTP2: true}
	return &Client{&http.Client{Transport: sealedTransport{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// sealedTransport refuses http: to anything but this machine and its metadata.
type sealedTransport struct{ t *http.Transport }

func (s sealedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !ownMachine(r.URL) {
		return nil, policy.Errorf(policy.EgressDenied, "a request to %s would leave in the clear; give an https address", r.URL.Host)
	}
	return s.t.RoundTrip(r)
}

// CloseIdleConnections lets http.Client close what is idle.
func (s sealedTransport) CloseIdleConnections() { s.t.CloseIdleConnections() }

func ownMachine(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return ip != nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast())
}

// HostPort is the destination that an URL leads to, as Allow wants it; "" when
// it has no host.
func HostPort(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		if port = "443"; u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
