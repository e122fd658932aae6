package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
)

// Pooler stands between a node and its server, as PgBouncer does. Armed, it passes
// the next commit on, has it carried out, and answers that the server is gone: an
// error of the protocol's own kind, and then the end of the connection.
type Pooler struct {
	Code  string // SQLSTATE of the error; "": 08P01, PgBouncer's
	armed atomic.Bool
}

// Arm lets the answer to the next commit get lost.
func (p *Pooler) Arm() { p.armed.Store(true) }

// Armed reports whether no commit has come since.
func (p *Pooler) Armed() bool { return p.armed.Load() }

// Dial connects through the pooler.
func (p *Pooler) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &pooled{Conn: c, p: p}, err
}

type pooled struct {
	net.Conn
	p     *Pooler
	lost  bool // the answer to what was written last is
	error []byte
}

// Write implements net.Conn.
func (c *pooled) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("commit\x00")) && c.p.armed.CompareAndSwap(true, false) {
		c.lost = true
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *pooled) Read(b []byte) (int, error) {
	if !c.lost {
		return c.Conn.Read(b)
	}
	if c.error == nil {
		if err := c.swallow(); err != nil {
			return 0, err
		}
		fields := []byte("SFATAL\x00VFATAL\x00C" + cmp.Or(c.p.Code, "08P01") + "\x00Mserver conn crashed?\x00\x00")
		c.error = append(binary.BigEndian.AppendUint32([]byte("E"), uint32(4+len(fields))), fields...)
	}
	n := copy(b, c.error)
	if c.error = c.error[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// swallow reads the server's answer to its end, ReadyForQuery.
func (c *pooled) swallow() error {
	for kind := [5]byte{}; kind[0] != 'Z'; {
		if _, err := io.ReadFull(c.Conn, kind[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c.Conn, int64(binary.BigEndian.Uint32(kind[1:]))-4); err != nil {
			return err
		}
	}
	return nil
}
