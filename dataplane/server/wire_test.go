package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// countedConn counts the writes to a connection, and fails them when told so.
type countedConn struct {
	net.Conn
	mu     sync.Mutex
	writes int
	broken error
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	broken := c.broken
	c.mu.Unlock()
	if broken != nil {
		return 0, broken
	}
	return c.Conn.Write(b)
}

func (c *countedConn) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

func (c *countedConn) breakWith(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
}

// A piece of a file goes to the system in one write, whatever TLS makes of it, arrives
// as it is, and is not said to be written when it was not.
func TestAPieceIsWrittenTogether(t *testing.T) {
	authority := httptest.NewUnstartedServer(http.NotFoundHandler())
	authority.StartTLS() // for its certificate
	defer authority.Close()
	near, far := net.Pipe()
	counted := &countedConn{Conn: near}
	server := spoken{tls.Server(&wire{Conn: counted}, &tls.Config{Certificates: authority.TLS.Certificates})}
	client := tls.Client(far, &tls.Config{RootCAs: authority.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(client) // ends when the connection breaks
		got <- b
	}()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i, size := range []int{exportPiece, 1, tlsRecord + 1, exportPiece} {
		piece := bytes.Repeat([]byte{byte('a' + i)}, size)
		want = append(want, piece...)
		before := counted.count()
		if n, err := server.Write(piece); n != size || err != nil {
			t.Fatalf("%d of %d bytes, %v", n, size, err)
		}
		if n := counted.count() - before; n != 1 {
			t.Errorf("%d bytes were given to the system in %d writes, want 1", size, n)
		}
	}
	broken := errors.New("the client is gone")
	counted.breakWith(broken)
	if n, err := server.Write(make([]byte, exportPiece)); n != 0 || !errors.Is(err, broken) {
		t.Errorf("a piece that could not be sent: %d, %v", n, err)
	}
	_ = near.Close()
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("%d bytes arrived, want %d, or others", len(b), len(want))
	}
}
