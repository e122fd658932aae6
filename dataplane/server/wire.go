package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// errSealed is what a read of a refused connection gets.
var errSealed = errors.New("the connection was refused; nothing more is read from it")

// wire is an accepted connection below TLS. It counts what the process reads,
// so that "the body was not read" is measured where it counts, and once sealed
// it reads nothing more, whoever asks.
type wire struct {
	net.Conn
	read   atomic.Int64
	mark   atomic.Int64 // read, when the last request ended
	sealed atomic.Bool

	gathering sync.Mutex
	gathered  *[]byte // what is written goes here; nil: to the connection
}

func (c *wire) Read(b []byte) (int, error) {
	if c.sealed.Load() {
		return 0, errSealed
	}
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

func (c *wire) Write(b []byte) (int, error) {
	c.gathering.Lock()
	defer c.gathering.Unlock()
	if c.gathered == nil {
		return c.Conn.Write(b)
	}
	*c.gathered = append(*c.gathered, b...)
	return len(b), nil
}

// gatherSpaces hold records of TLS until they are written together.
var gatherSpaces = sync.Pool{New: func() any { b := make([]byte, 0, 2*exportPiece); return &b }}

// together writes what TLS makes of one piece in one go: it gives away 16 KiB at a
// time, and what a system call and its packet cost does not depend on how much that is.
func (c *wire) together(write func() (int, error)) (int, error) {
	space, _ := gatherSpaces.Get().(*[]byte)
	c.gather(space)
	n, err := write()
	c.gather(nil)
	if _, failed := c.Conn.Write(*space); failed != nil {
		n, err = 0, errors.Join(err, failed)
	}
	if *space = (*space)[:0]; cap(*space) <= 4*exportPiece {
		gatherSpaces.Put(space)
	}
	return n, err
}

func (c *wire) gather(space *[]byte) {
	c.gathering.Lock()
	defer c.gathering.Unlock()
	c.gathered = space
}

// NetConn is the connection below, for whoever counts there.
func (c *wire) NetConn() net.Conn { return c.Conn }

// seal ends all reading.
func (c *wire) seal() { c.sealed.Store(true) }

// sinceMark is how many bytes the process has read since the last request
// ended: for a refused request, TLS, headers and body together, and therefore
// never less than what was read of the body.
func (c *wire) sinceMark() int64 { return c.read.Load() - c.mark.Load() }

func (c *wire) endOfRequest() { c.mark.Store(c.read.Load()) }

// CloseWrite ends our half; the peer can still send, and nobody reads it.
func (c *wire) CloseWrite() error {
	for conn := c.Conn; conn != nil; {
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	return nil
}

// wireOf finds the connection below TLS.
func wireOf(conn net.Conn) *wire {
	switch c := conn.(type) {
	case spoken:
		return wireOf(c.NetConn())
	case *wire:
		return c
	}
	return &wire{Conn: conn}
}

type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connIn finds the connection of a request.
func connIn(ctx context.Context) net.Conn {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	return conn
}
