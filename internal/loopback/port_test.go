package loopback_test

import (
	"net"
	"testing"

	"github.com/domicile-io/domicile/internal/loopback"
)

func TestPortsAreFreeAndDrawnOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := loopback.Port()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < loopback.First || port >= loopback.Last {
			t.Fatalf("port %d was drawn twice or lies outside the range", port)
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
