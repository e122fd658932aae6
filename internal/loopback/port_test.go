package loopback_test

import (
	"net"
	"testing"

	"github.com/domicile-io/domicile/internal/loopback"
)

func TestPortsAreFreeAndDrawnOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 120 { // more than two blocks
		port, err := loopback.Port()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < loopback.First || port >= loopback.Last {
			t.Fatalf("port %d was drawn twice or lies outside the range", port)
		}
		if first := port - (port-loopback.First)%50; loopback.Free(first) {
			t.Fatalf("port %d is drawn, and nobody guards its block at %d", port, first)
		}
		seen[port] = true
		l, err := net.Listen("tcp", loopback.Address(port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if loopback.Free(port) {
			t.Fatalf("port %d is said to be free while we listen on it", port)
		}
	}
}
