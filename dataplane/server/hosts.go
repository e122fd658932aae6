package server

import (
	"net"
	"net/http"
	"strings"
)

// hosts is what this listener answers to.
type hosts struct {
	names map[string]bool // lower case, without a trailing dot
	addrs map[string]bool // canonical form of IP addresses
}

func newHosts(declared []string) hosts {
	h := hosts{names: map[string]bool{}, addrs: map[string]bool{}}
	for _, d := range declared {
		if ip := net.ParseIP(strings.Trim(d, "[]")); ip != nil {
			h.addrs[ip.String()] = true
		} else {
			h.names[canonicalName(d)] = true
		}
	}
	return h
}

// serves reports whether a request came to this listener by a declared name or
// address. A name must have stood in the TLS handshake too, so that a request
// cannot be routed by one name and answered under another; an address cannot
// stand there. The port is not looked at: a forwarder may change it.
func (h hosts) serves(r *http.Request) bool {
	sni := ""
	if r.TLS != nil {
		sni = r.TLS.ServerName
	}
	return h.serve(r.Host, sni)
}

func (h hosts) serve(asked, sni string) bool {
	sni = canonicalName(sni)
	host := bareHost(asked)
	if ip := net.ParseIP(host); ip != nil {
		return sni == "" && h.addrs[ip.String()]
	}
	name := canonicalName(host)
	return name != "" && name == sni && h.names[name]
}

// bareHost is a Host header without its port and brackets; "" when malformed.
func bareHost(hostport string) string {
	if strings.HasPrefix(hostport, "[") {
		end := strings.IndexByte(hostport, ']')
		if end < 0 {
			return ""
		}
		return hostport[1:end]
	}
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

func canonicalName(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".")
}
