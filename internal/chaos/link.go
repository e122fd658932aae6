package chaos

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Link is a TCP proxy for one who-dials-whom.
type Link struct {
	listener net.Listener
	target   string
	out      *way // what the side that dials says
	back     *way // what it is answered

	connections, resets atomic.Int64 // refused by a block; ended by Reset

	mu    sync.Mutex
	open  map[*joint]bool
	ended chan struct{}
	all   sync.WaitGroup
}

// joint is one connection through a link.
type joint struct {
	near, far net.Conn // far is nil until dialled
	ended     chan struct{}
	once      sync.Once
}

// end closes both sides with a reset, so that neither takes it for a polite end.
func (j *joint) end() {
	j.once.Do(func() {
		close(j.ended)
		for _, c := range []net.Conn{j.near, j.far} {
			if c != nil {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			}
		}
	})
}

// dialLimit bounds the connecting to a target that is down.
const dialLimit = 2 * time.Second

// NewLink listens on loopback for connections to target. jitter draws a time up
// to its argument.
func NewLink(target string, jitter func(time.Duration) time.Duration) (*Link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a link: %w", err)
	}
	k := &Link{listener: l, target: target, out: newWay(jitter), back: newWay(jitter), open: map[*joint]bool{}, ended: make(chan struct{})}
	k.all.Go(k.serve)
	return k, nil
}

// Address is where to dial instead of the target.
func (k *Link) Address() string { return k.listener.Addr().String() }

// Set changes the rules of both directions, open connections included.
func (k *Link) Set(out, back Rule) {
	k.out.set(out)
	k.back.set(back)
}

// Reset ends every open connection with a TCP reset, and counts them.
func (k *Link) Reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for j := range k.open {
		j.end()
		k.resets.Add(1)
	}
}

// Counts of both directions together.
func (k *Link) Counts() Counts {
	c := k.out.counts().add(k.back.counts())
	c.Connections, c.Resets = k.connections.Load(), k.resets.Load()
	return c
}

// Close ends every connection and waits for them.
func (k *Link) Close() error {
	err := k.listener.Close()
	k.mu.Lock()
	close(k.ended)
	for j := range k.open {
		j.end()
	}
	k.mu.Unlock()
	k.all.Wait()
	return err
}

func (k *Link) serve() {
	for {
		near, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.all.Go(func() { k.join(near) })
	}
}

// join carries one connection. While a direction is blocked no connection can be
// made: the one that dials waits, as for a SYN that is not answered.
func (k *Link) join(near net.Conn) {
	j := &joint{near: near, ended: make(chan struct{})}
	defer j.end()
	if !k.keep(j) {
		return
	}
	defer k.forget(j)
	out, _ := k.out.now()
	back, _ := k.back.now()
	if out.Blocked || back.Blocked {
		k.connections.Add(1)
		if !k.out.open(j.ended) || !k.back.open(j.ended) {
			return
		}
	}
	far, err := net.DialTimeout("tcp", k.target, dialLimit)
	if err != nil {
		return
	}
	k.mu.Lock()
	j.far = far
	k.mu.Unlock()
	select {
	case <-j.ended: // reset while we dialled
		_ = far.Close()
		return
	default:
	}
	var both sync.WaitGroup
	both.Go(func() { k.half(k.out, far, near, j) })
	both.Go(func() { k.half(k.back, near, far, j) })
	both.Wait()
}

// half carries one direction; a clean end of it is passed on, any other ends both.
func (k *Link) half(w *way, dst, src net.Conn, j *joint) {
	if err := w.carry(dst, src, j.ended); err != nil {
		j.end()
		return
	}
	_ = dst.(*net.TCPConn).CloseWrite()
}

func (k *Link) keep(j *joint) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.ended:
		return false
	default:
	}
	k.open[j] = true
	return true
}

func (k *Link) forget(j *joint) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, j)
}
