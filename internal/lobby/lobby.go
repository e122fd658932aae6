package lobby

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Options of a Listener. Only TLS is required.
type Options struct {
	TLS      *tls.Config
	Waiting  int           // connections at once that have not shaken hands; 0: 256
	Open     int           // connections at once that have; 0: no bound. The next one goes on waiting
	Patience time.Duration // for one handshake; 0: 5 s
	Grace    time.Duration // what a waiting connection is sure of when the lobby is full; 0: 250 ms

	Below   func(net.Conn) net.Conn // puts something between the socket and TLS; nil: nothing
	Admit   func(*tls.Conn) error   // a last look, after the handshake; nil: none
	Plain   []byte                  // said to whoever does not speak TLS; nil: nothing
	Refused func(error)             // told of each connection that did not get in, from many goroutines; nil: nobody
}

// Defaults of Options.
const (
	defaultWaiting  = 256
	defaultPatience = 5 * time.Second
	defaultGrace    = 250 * time.Millisecond
)

// errPutOut is what a connection gets that had to make room.
var errPutOut = errors.New("the lobby was full and others were behind it: the connection was closed before it had shaken hands")

// Listener accepts connections that have shaken hands.
//
// When the lobby is full, a newcomer puts out the connection that has waited
// longest of the address that has most of them there, once that has had its
// grace; until then the newcomer waits, and everybody behind it in the kernel's
// queue. So silent connections delay a newcomer by the grace for each lobby full
// of them before it, and none can keep it out; handshakes that go on are not
// disturbed by a thousand that begin at once.
type Listener struct {
	net.Listener
	o       Options
	greeted chan net.Conn
	failed  chan error
	places  chan struct{} // of open connections; nil: no bound
	left    chan struct{} // holds one when somebody has left the lobby
	closed  chan struct{}
	begin   sync.Once
	end     sync.Once

	mu      sync.Mutex
	waiting []*guest // in the order of their arrival
}

var _ net.Listener = (*Listener)(nil)

// guest is a connection in the lobby.
type guest struct {
	seat  *seat
	from  string // its address without the port
	since time.Time
	out   bool // put out
}

// New makes a listener of one that accepts plain connections. The first Accept
// begins to take them.
func New(l net.Listener, o Options) *Listener {
	o.Waiting, o.Patience, o.Grace = cmp.Or(o.Waiting, defaultWaiting), cmp.Or(o.Patience, defaultPatience), cmp.Or(o.Grace, defaultGrace)
	n := &Listener{Listener: l, o: o, greeted: make(chan net.Conn), failed: make(chan error), left: make(chan struct{}, 1), closed: make(chan struct{})}
	if o.Open > 0 {
		n.places = make(chan struct{}, o.Open)
	}
	return n
}

// Accept gives a *tls.Conn whose handshake is done.
func (l *Listener) Accept() (net.Conn, error) {
	l.begin.Do(func() { go l.receive() })
	select {
	case c := <-l.greeted:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener and everybody in the lobby. Connections that were
// accepted stay.
func (l *Listener) Close() error {
	l.end.Do(func() { close(l.closed) })
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.waiting {
		_ = g.seat.Close()
	}
	return err
}

// receive takes connections in until the listener ends.
func (l *Listener) receive() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			select {
			case l.failed <- err: // whoever serves knows whether to go on, and when
			case <-l.closed:
				return
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		g := &guest{seat: &seat{Conn: c, places: l.places}, from: host(c.RemoteAddr())}
		if !l.seated(g) {
			_ = c.Close()
			return
		}
		go l.greet(g)
	}
}

// greet shakes hands and hands the connection on.
func (l *Listener) greet(g *guest) {
	defer l.leave(g)
	c, err := l.shake(g)
	if err == nil {
		select {
		case l.greeted <- c:
			return
		case <-l.closed:
			err = net.ErrClosed
		}
	}
	_ = g.seat.Close()
	if l.o.Refused != nil && !errors.Is(err, net.ErrClosed) {
		l.o.Refused(err)
	}
}

// shake is everything that a connection must do within the patience.
func (l *Listener) shake(g *guest) (net.Conn, error) {
	raw := net.Conn(g.seat)
	if l.o.Below != nil {
		raw = l.o.Below(raw)
	}
	ctx, cancel := context.WithDeadline(context.Background(), g.since.Add(l.o.Patience))
	defer cancel()
	c := tls.Server(raw, l.o.TLS)
	err := c.HandshakeContext(ctx)
	var spoken tls.RecordHeaderError
	if errors.As(err, &spoken) && spoken.Conn != nil && l.o.Plain != nil {
		_ = raw.SetWriteDeadline(g.since.Add(l.o.Patience))
		_, _ = spoken.Conn.Write(l.o.Plain)
	}
	if err == nil && l.o.Admit != nil {
		err = l.o.Admit(c)
	}
	if err == nil {
		err = g.seat.take(ctx, l.closed)
	}
	if err != nil && l.putOut(g) {
		err = errPutOut
	}
	return c, err
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

// seat is a connection below TLS; once it is open it holds a place.
type seat struct {
	net.Conn
	places chan struct{}

	mu   sync.Mutex
	held bool
	shut bool
}

// take waits for a place.
func (s *seat) take(ctx context.Context, closed <-chan struct{}) error {
	if s.places == nil {
		return nil
	}
	select {
	case s.places <- struct{}{}:
	case <-closed:
		return net.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("no place came free: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut { // put out meanwhile
		<-s.places
		return net.ErrClosed
	}
	s.held = true
	return nil
}

// Close closes the connection and gives its place back.
func (s *seat) Close() error {
	s.mu.Lock()
	if s.held {
		<-s.places
	}
	s.held, s.shut = false, true
	s.mu.Unlock()
	return s.Conn.Close()
}

// NetConn is the connection below, for whoever counts there.
func (s *seat) NetConn() net.Conn { return s.Conn }
