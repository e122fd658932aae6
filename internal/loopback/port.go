// Package loopback draws free ports on 127.0.0.1 for `domicile dev` and for
// tests that start listeners by address.
//
// A port that the kernel picks (port 0) is free now, but the kernel may give it
// to anybody's outgoing connection before it is listened on. These ports lie
// below the range from which systems take those, none is drawn twice in a
// process, and processes that run at once draw from different blocks: a process
// has a block while it listens on the block's first port.
package loopback

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports are drawn from [First, Last).
const (
	First = 20000
	Last  = 32000

	block = 50 // ports, the guard's included
)

var (
	mu    sync.Mutex
	guard []net.Listener // of the blocks that this process has, never closed
	next  = Last         // to be drawn
	end   = Last         // of the newest block
)

// Port is a port that nobody listens on now.
func Port() (int, error) {
	mu.Lock()
	defer mu.Unlock()
	for {
		if next == end {
			if err := take(); err != nil {
				return 0, err
			}
		}
		port := next
		next++
		if Free(port) {
			return port, nil
		}
	}
}

// take makes a block that no process has this one's.
func take() error {
	const blocks = (Last - First) / block
	for n := range blocks {
		begin := First + (os.Getpid()*7+n)%blocks*block
		if l, err := net.Listen("tcp", Address(begin)); err == nil {
			guard = append(guard, l)
			next, end = begin+1, begin+block
			return nil
		}
	}
	return fmt.Errorf("no free ports on 127.0.0.1 between %d and %d: end programs that listen there", First, Last)
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
