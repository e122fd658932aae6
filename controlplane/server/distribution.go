package server

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// maxQueued bounds the pushes that wait for one node; a snapshot may be longer.
const maxQueued = 64

// Why a stream ends from our side.
var (
	errSlow       = errors.New("the node does not keep up")
	errNotLeading = errors.New("this voter does not lead any more")
)

// session is one node's stream.
type session struct {
	mu     sync.Mutex
	wait   []*controlv1.Push
	nonce  uint64
	wake   chan struct{} // holds one token
	done   chan struct{}
	reason error // why it ended; set before done is closed
}

func newSession() *session {
	return &session{wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// queue hands pushes to the sender; false when too many wait already.
func (s *session) queue(pushes []*controlv1.Push) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wait) >= maxQueued {
		return false
	}
	for _, p := range pushes {
		s.nonce++
		p.Nonce = s.nonce
		s.wait = append(s.wait, p)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

func (s *session) next() *controlv1.Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wait) == 0 {
		return nil
	}
	p := s.wait[0]
	s.wait = s.wait[1:]
	return p
}

func (s *session) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		s.reason = reason
		close(s.done)
	}
}

// send writes what is queued until the stream or the session ends.
func (s *session) send(ctx context.Context, out grpc.ServerStreamingServer[controlv1.Push]) error {
	for {
		for p := s.next(); p != nil; p = s.next() {
			if err := out.Send(p); err != nil {
				return err
			}
		}
		select {
		case <-s.wake:
		case <-s.done:
			return s.reason
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type distributionService struct {
	controlv1.UnimplementedDistributionServiceServer
	*core
}

// Subscribe implements controlv1.DistributionServiceServer. The region is the
// certificate's, so that a node cannot ask for another.
func (s distributionService) Subscribe(stream grpc.BidiStreamingServer[controlv1.NodeMessage, controlv1.Push]) error {
	ctx, node := stream.Context(), callOf(stream.Context()).node
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return fieldError("hello", "must be the first message of the stream")
	}
	if err := s.leading(ctx); err != nil {
		return err
	}
	if _, err := s.store.Region(node.Region); err != nil {
		return policy.Errorf(policy.PermissionDenied, "the certificate's region is not a region of this cluster; add it with PUT /v1/regions/%s", node.Region)
	}
	feed, session := s.hub.feedOf(node.Region), newSession()
	disconnect := s.hub.connect(node.Node, node.Region)
	defer disconnect()
	defer feed.leave(session)
	if err := feed.join(session, hello, s.hub.until()); err != nil {
		return err
	}
	go func() { session.end(s.listen(stream, node.Node, feed, session)) }()
	switch err := session.send(ctx, stream); {
	case errors.Is(err, errNotLeading):
		return s.follow()
	case errors.Is(err, errSlow):
		return policy.Errorf(policy.NotReady, "the node did not keep up with its bundle; subscribe again to resync")
	case errors.Is(err, io.EOF), ctx.Err() != nil:
		return nil // the node left
	default:
		return err
	}
}

// listen reads acknowledgements until the stream ends. A first refusal is
// answered with the whole bundle; after a second the node must come again, so
// that two sides that disagree do not spin.
func (s distributionService) listen(stream grpc.BidiStreamingServer[controlv1.NodeMessage, controlv1.Push], id policy.NodeID, f *feed, ss *session) error {
	nacks := 0
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch {
		case m.GetAck() != nil:
			s.hub.ack(id, m.GetAck().GetRevision())
		case m.GetNack() != nil:
			nacks++
			s.log.Warn("a node refused its bundle", "node", string(id), "region", string(f.region), "reason", nackReason(m.GetNack().GetReason()), "last_good", m.GetNack().GetLastGood())
			if m.GetNack().GetReason() != nackGap {
				s.hub.violations.add(categoryOf(m.GetNack().GetReason()), id, m.GetNack().GetLastGood())
			}
			if nacks > 1 {
				return policy.Errorf(policy.NotReady, "the node refused its bundle twice; see GET /v1/violations")
			}
			f.resync(ss, s.hub.until())
		default:
			return fieldError("message", "must be an ack or a nack after the hello")
		}
	}
}

// nackGap asks for a snapshot: the push does not follow what the node holds.
// Nothing is wrong with either side.
const nackGap = "GAP"

// nackReason keeps the closed list; what a node invents is not logged.
func nackReason(r string) string {
	switch r {
	case "BAD_SIGNATURE", "BELOW_FLOOR", "BAD_ROW", "STATE_HASH", "STORAGE", nackGap:
		return r
	}
	return "OTHER"
}

func categoryOf(reason string) string {
	if reason == "STORAGE" {
		return "STALENESS"
	}
	return "ENCRYPTION" // of the closed list the one about what signatures and hashes guard
}

// leading verifies that we lead, and by that how long a bundle is fresh.
func (s distributionService) leading(ctx context.Context) error {
	if !s.replica.IsLeader() {
		return s.follow()
	}
	if err := s.hub.verify(ctx); err != nil {
		return s.follow()
	}
	return nil
}

// follow tells a node where the leader is.
func (s distributionService) follow() error {
	e := policy.Errorf(policy.NotReady, "this voter does not lead; subscribe at the leader")
	if leader, ok := s.replica.Leader(); ok && leader != s.name {
		e.With("leader", s.voters[leader].GRPCAddress)
	}
	return e
}
