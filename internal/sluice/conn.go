package sluice

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"
)

// Limits of one connection.
const (
	// Window is what a stream may send once it is open, before any of it was read:
	// gRPC's least, and the first window of an HTTP/2 connection.
	Window = 65535

	readBuffer   = 16 << 10
	writeTimeout = 30 * time.Second // for a client to take what is written
	slack        = 1024             // frames of a body that may be there in excess of one for each spare bytes
	spare        = 64
	idleFrames   = 10_000 // a second, that carry no body
	idleBurst    = 20_000
	headersCost  = 100
	settingsCost = 20
	resetCost    = 10
)

// What ends a connection.
var (
	errUnasked = errors.New("sluice: the client sent more bodies than it was asked for")
	errCrumbs  = errors.New("sluice: the client sends its body in too many too small frames")
	errIdle    = errors.New("sluice: the client sends too many frames that carry no body")
)

// conn is one connection above TLS, between the client and gRPC.
type conn struct {
	net.Conn
	now func() time.Time

	r    *bufio.Reader // of one goroutine, gRPC's reader
	left int           // bytes of the frame, or the preface, that is handed out

	writing sync.Mutex
	out     tracker
	greeted bool
	due     []byte // frames of ours that wait for the end of one of gRPC's

	mu      sync.Mutex
	current uint32             // whose headers came last
	streams map[uint32]*Stream // those that Tap has told of and that have not ended
	late    int64              // bytes that may still come of streams that were open
	unasked int64              // bytes of bodies that came for streams that were not
	frames  float64            // that may still come without a body
	counted time.Time
}

func newConn(c net.Conn, now func() time.Time) *conn {
	return &conn{Conn: c, now: now, r: bufio.NewReaderSize(c, readBuffer), left: preface, streams: map[uint32]*Stream{}, frames: idleBurst, counted: now()}
}

// Read gives at most the rest of one frame, so that who reads is never ahead of it.
func (c *conn) Read(b []byte) (int, error) {
	if c.left == 0 {
		raw, err := c.r.Peek(headBytes)
		if err != nil {
			return 0, err
		}
		h := readHead(raw)
		body := h.length
		if h.kind == frameData && h.flags&flagPadded != 0 {
			if raw, err = c.r.Peek(headBytes + 1); err != nil {
				return 0, err
			}
			body = max(0, h.length-1-int(raw[headBytes]))
		}
		if err := c.meet(h, int64(body)); err != nil {
			return 0, errors.Join(err, c.Close())
		}
		c.left = headBytes + h.length
	}
	n, err := c.r.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// meet looks at the head of a frame that has come, and at how much body it has.
func (c *conn) meet(h head, body int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.kind == frameData && body > 0 {
		return c.body(h, body)
	}
	cost := 1.0
	switch h.kind {
	case frameHeaders:
		c.current = h.stream
		cost = headersCost
	case frameSettings:
		cost = settingsCost
	case frameReset:
		cost = resetCost
	}
	if !c.spend(cost) {
		return errIdle
	}
	return nil
}

// body counts a frame of a body.
func (c *conn) body(h head, n int64) error {
	s := c.streams[h.stream]
	switch {
	case s != nil && s.open:
		s.arrived += n
		if s.crumbs++; s.crumbs > slack+(s.arrived-s.taken)/spare {
			return errCrumbs
		}
		return nil
	case s == nil && c.late >= n: // it was on its way when its stream ended
		c.late -= n
		return nil
	case s != nil:
		s.unasked += n
	}
	if c.unasked += n; c.unasked > Window {
		return errUnasked
	}
	return nil
}

// spend takes from the frames without a body that a client may send. Those that
// cost more to answer count for more: a hundred new streams a second are many.
func (c *conn) spend(cost float64) bool {
	now := c.now()
	c.frames = min(idleBurst, c.frames+now.Sub(c.counted).Seconds()*idleFrames)
	c.counted = now
	c.frames -= cost
	return c.frames >= 0
}

// Write passes gRPC's frames on; the greeting goes before the first, and frames of
// ours between two of them. A client that does not take them loses the connection.
func (c *conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.greeted {
		c.greeted = true
		if err := c.send(greeting); err != nil {
			return 0, err
		}
	}
	if err := c.send(b); err != nil {
		return 0, err
	}
	c.out.pass(b)
	return len(b), c.flush()
}

// say writes a frame of ours as soon as it may stand there.
func (c *conn) say(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.due = append(c.due, frame...)
	return c.flush()
}

// flush writes what is due. The caller holds writing.
func (c *conn) flush() error {
	if len(c.due) == 0 || !c.greeted || !c.out.between() {
		return nil
	}
	frames := c.due
	c.due = nil
	return c.send(frames)
}

// send writes; gRPC does not end a connection whose writes fail while its client
// still sends, so that this does.
func (c *conn) send(b []byte) error {
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.Conn.Write(b); err != nil {
		return errors.Join(err, c.Conn.Close())
	}
	return nil
}
