package server

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

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
	st, err := s.stand(ctx, node, hello)
	if err != nil {
		return err
	}
	feed, session := s.hub.feedOf(node.Region, st.level), newSession(st)
	disconnect := s.hub.connect(session)
	defer disconnect()
	defer feed.leave(session)
	s.hub.judge(session) // an eviction between the look and now has not seen the session
	sent := make(chan error, 1)
	go func() {
		push, err := feed.join(ctx, session, hello, s.hub.until())
		if err == nil {
			err = session.run(ctx, feed, push, stream)
		}
		sent <- err
	}()
	go func() { session.end(s.listen(stream, node.Node, feed, session)) }()
	// A send to a node that does not read ends only with the stream, so the stream
	// does not wait for it.
	select {
	case err = <-sent:
	case <-session.done:
		err = session.reason
	}
	switch {
	case errors.Is(err, errEvicted):
		return policy.Errorf(policy.PermissionDenied, "this node was evicted and is not served any more; give its machine a certificate with another node id, or admit this one anew: domicile nodes admit %s", node.Node)
	case errors.Is(err, errStands):
		return policy.Errorf(policy.NotReady, "the node's admission has changed; subscribe again")
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
	nacks, acks := 0, 0
	kept := keptBy{hub: s.hub, node: callOf(stream.Context()).node}
	found := foundBy{hub: s.hub, node: string(id)}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch {
		case m.GetAck() != nil:
			ss.answer(m.GetAck().GetNonce())
			s.hub.ack(id, m.GetAck())
			kept.ack(m.GetAck())
			if acks++; acks == 1 { // since the stream began, or since a refusal
				s.hub.recorder.resolve("ENCRYPTION", string(id))
				s.hub.recorder.resolve("STALENESS", string(id))
			}
			found.ack(m.GetAck())
		case m.GetNack() != nil:
			nacks, acks, found.told = nacks+1, 0, false
			s.log.Warn("a node refused its bundle", "node", string(id), "region", string(f.region), "reason", nackReason(m.GetNack().GetReason()), "last_good", m.GetNack().GetLastGood())
			if m.GetNack().GetReason() != nackGap {
				reason := nackReason(m.GetNack().GetReason())
				s.hub.recorder.see(sighting{category: categoryOf(reason), cause: reason, resource: string(id), revision: m.GetNack().GetLastGood()})
			}
			if nacks > 1 {
				return policy.Errorf(policy.NotReady, "the node refused its bundle twice; see GET /v1/violations")
			}
			f.refused(m.GetNack().GetReason())
			ss.refused()
		default:
			return fieldError("message", "must be an ack or a nack after the hello")
		}
	}
}

// refused drops a snapshot that nodes may have been given damaged. What was
// changed while it is on its way is in none.
func (f *feed) refused(reason string) {
	if reason == nackGap || reason == "STORAGE" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropSpool()
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
		if a, known := s.directory.Announced(leader); known {
			e.With("leader", a.GRPC)
		}
	}
	return e
}
