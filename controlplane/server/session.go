package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// Why a stream ends from our side.
var (
	errSlow       = errors.New("the node does not keep up")
	errNotLeading = errors.New("this voter does not lead any more")
)

// ackPatience is how long a node may leave pushes unanswered. It makes each one
// durable before it answers, so a slow disk needs some of it.
const ackPatience = time.Minute

// session is one node's stream. It reads its feed at its own pace: nothing is
// queued for it, so it costs the same memory however slow it is.
type session struct {
	// Of the sending goroutine alone.
	next     uint64 // number in the feed's tail of what comes next
	at       uint64 // revision of what was sent last
	download *download
	holds    bool // a slot of the feed's snapshots

	stand standing // of the node when the stream began; never changes

	done chan struct{}
	wake chan struct{} // holds one token: look again

	mu       sync.Mutex
	nonce    uint64    // of the latest push
	answered uint64    // nonce of the latest answer
	progress time.Time // when something was last answered, or sent with nothing outstanding
	behind   uint64    // pushes of the tail that it has not been sent
	again    bool      // the node refused a push and needs everything
	reason   error     // why it ended; set before done is closed
}

func newSession(st standing) *session {
	return &session{stand: st, done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// sent counts a push and gives its nonce.
func (s *session) sent() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered == s.nonce {
		s.progress = time.Now()
	}
	s.nonce++
	return s.nonce
}

// answer notes an Ack or a Nack.
func (s *session) answer(nonce uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if nonce > s.answered && nonce <= s.nonce {
		s.answered, s.progress = nonce, time.Now()
	}
}

// stuck reports whether the node has left pushes unanswered for too long.
func (s *session) stuck(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered < s.nonce && now.Sub(s.progress) > ackPatience
}

// depth counts the pushes that the node has not answered, sent or not.
func (s *session) depth() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nonce - s.answered + s.behind
}

// refused asks for the whole bundle. What is on its way is not answered: the
// node waits for the first part.
func (s *session) refused() {
	s.mu.Lock()
	s.again, s.answered, s.progress = true, s.nonce, time.Now()
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) takeAgain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.again
	s.again = false
	return again
}

func (s *session) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		s.reason = reason
		close(s.done)
	}
}

// run sends the first push, if there is one, and then what the feed has for the
// session, until the stream or the session ends. Sending blocks while the node
// does not read, and then blocks nobody else.
func (s *session) run(ctx context.Context, f *feed, push []byte, out grpc.ServerStream) error {
	defer f.release(s)
	var wait <-chan struct{}
	var err error
	for {
		if push != nil {
			if err := out.SendMsg(s.sending(push)); err != nil {
				return err
			}
		}
		if push, wait, err = f.next(ctx, s); err != nil {
			return err
		}
		if wait == nil {
			if s.ended() {
				return s.reason
			}
			continue
		}
		select {
		case <-wait:
		case <-s.wake:
		case <-s.done:
			return s.reason
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}
