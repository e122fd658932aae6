// Package loopback draws free ports on 127.0.0.1 for `domicile dev` and for
// tests that start listeners by address.
//
// A port that the kernel picks (port 0) is free now, but the kernel may give it
// to anybody's outgoing connection before it is listened on. These ports lie
// below the range from which systems take those, none is drawn twice in a
// process, and processes that run at once begin in different places.
package loopback

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// Ports are drawn from [First, Last).
const (
	First = 20000
	Last  = 32000

	places = 16 // where processes begin, spread over the range
)

var drawn atomic.Int64

// Port is a port that nobody listens on now.
func Port() (int, error) {
	begin := os.Getpid() % places * ((Last - First) / places)
	for range Last - First {
		port := First + (begin+int(drawn.Add(1)))%(Last-First)
		if Free(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1 between %d and %d: end programs that listen there", First, Last)
}

// Free reports whether one could listen on a port now.
func Free(port int) bool {
	l, err := net.Listen("tcp", Address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Address is a port's address.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
