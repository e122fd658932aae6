package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// How long a call waits: for an election before it is refused as definitely
// not done, and for the state that its policy token names.
const (
	leaderPatience    = 3 * time.Second
	freshnessPatience = 2 * time.Second
)

// elsewhere decides where a call is answered, and finds out who calls before
// anything is done for them. Handled here: forwarded is false, and the call holds
// its caller. Otherwise the leader answered it, once: a call that a voter
// forwarded is never forwarded again.
//
// Whoever is not believed costs no wait and nothing in the Raft log. Our state may
// be behind the leader's, so that a credential that we do not believe is shown to
// the leader, at once or not at all; one that none could believe is refused here,
// and when there is no leader, so is one that has ended by our own state. Nor does a
// token wait for a leader to be told what its role may never do.
func (s *Server) elsewhere(ctx context.Context, p permission, c *call, req any) (resp any, forwarded bool, err error) {
	seen, d := s.identify(ctx, p, c)
	if d.final() {
		return nil, false, s.auth.refuse(ctx, d)
	}
	local, err := s.localRead(ctx, p, d)
	if err != nil {
		return nil, false, err
	}
	if local {
		return nil, false, s.again(ctx, p, c, seen, d)
	}
	hop, err := incoming(ctx, mdForwarded)
	if err != nil {
		return nil, false, err
	}
	mayForward := hop == "" // set by voters only: the gateway lets no such header through
	deadline := time.NewTimer(leaderPatience)
	defer deadline.Stop()
	for {
		changed := s.replica.LeaderChanged()
		if s.replica.IsLeader() {
			if !d.none() {
				return nil, false, s.auth.refuse(ctx, d)
			}
			if err := s.linearize(ctx, p); err != nil {
				return nil, false, err
			}
			return nil, false, s.again(ctx, p, c, seen, d)
		}
		leader, known := s.replica.Leader()
		if known && leader != s.name && mayForward {
			resp, err := s.forwardDoubted(ctx, *c, leader, req, p, d)
			if err == nil || !definitelyNotDone(err) {
				return resp, true, err
			}
		}
		if mayForward && d.settled() {
			return nil, false, s.auth.refuse(ctx, d)
		}
		if mayForward {
			if err := forbiddenForGood(p, *c, d); err != nil {
				return nil, false, err
			}
		}
		if !mayForward || !d.none() {
			return nil, true, s.noLeader(leader)
		}
		retry := time.NewTimer(50 * time.Millisecond) // the leader that we know may not know yet that it leads
		select {
		case <-changed:
			retry.Stop()
		case <-retry.C:
		case <-deadline.C:
			retry.Stop()
			return nil, true, s.noLeader(leader)
		case <-ctx.Done():
			retry.Stop()
			return nil, true, s.noLeader(leader)
		}
	}
}

// forbiddenForGood refuses what no leader could allow: what a token of ours may do is
// fixed when it is made, so all that a newer state can know of it is that it ended. A
// login may have been bound to another role since, and waits.
func forbiddenForGood(p permission, c call, d doubt) error {
	if !p.ofPersons(c.node) || !d.none() || c.credential != byToken {
		return nil
	}
	return p.allow(c.caller)
}

// identify finds the caller of a call by our state, and says of which revision
// that was at least.
func (s *Server) identify(ctx context.Context, p permission, c *call) (seen uint64, d doubt) {
	if !p.ofPersons(c.node) {
		return 0, doubt{}
	}
	seen = s.store.Revision()
	who, d := s.auth.look(ctx, time.Now())
	who.node = c.node
	c.caller = who
	return seen, d
}

// again asks once more who calls when our state has moved since: what was
// revoked before the call is then revoked for it, too.
func (s *Server) again(ctx context.Context, p permission, c *call, seen uint64, d doubt) error {
	if p.ofPersons(c.node) && s.store.Revision() != seen {
		_, d = s.identify(ctx, p, c)
	}
	if d.none() {
		return nil
	}
	return s.auth.refuse(ctx, d)
}

// forwardDoubted forwards; of an address from which too much came that does not
// work, only what we believe ourselves.
func (s *Server) forwardDoubted(ctx context.Context, c call, leader string, req any, p permission, d doubt) (any, error) {
	from := clientAddress(ctx)
	if d.why != "" && s.auth.limits.Exhausted(from) {
		return nil, s.auth.refuse(ctx, d)
	}
	resp, err := s.forward(ctx, c, leader, req, p)
	if err != nil && reasonOf(err) == policy.Unauthenticated {
		s.auth.limits.Allow(from)
	}
	return resp, err
}

// localRead reports whether this voter may answer by itself: what is about
// itself, a read that asked for least latency, and a read at least as fresh as
// a token once we are that far. Nothing is waited for on behalf of somebody whom
// we do not believe: the leader needs no wait to see what the token names.
func (s *Server) localRead(ctx context.Context, p permission, d doubt) (bool, error) {
	if p.local {
		return true, nil
	}
	mode, err := incoming(ctx, mdConsistency)
	if err != nil {
		return false, err
	}
	token, err := incoming(ctx, mdPolicyToken)
	if err != nil {
		return false, err
	}
	if token != "" && !d.none() {
		return false, nil
	}
	if token != "" {
		if err := s.waitFor(ctx, token); err != nil {
			return false, err
		}
	}
	switch mode {
	case "", "fully_consistent":
		return false, nil
	case "minimize_latency":
		return !p.write, nil
	case "at_least_as_fresh":
		if token == "" {
			return false, fieldError("X-Policy-Token", "is required with X-Consistency: at_least_as_fresh")
		}
		return !p.write, nil
	}
	return false, fieldError("X-Consistency", "must be minimize_latency, at_least_as_fresh or fully_consistent")
}

// waitFor waits until our own state holds the token's revision.
func (s *Server) waitFor(ctx context.Context, token string) error {
	revision, err := api.ParsePolicyToken(token)
	if err != nil {
		return fieldError("X-Policy-Token", "must be one that an earlier answer gave")
	}
	ctx, cancel := context.WithTimeout(ctx, freshnessPatience)
	defer cancel()
	return s.replica.WaitRevision(ctx, revision)
}

// linearize makes reads of our state linearizable. Writes are by themselves.
func (s *Server) linearize(ctx context.Context, p permission) error {
	if p.write {
		return nil
	}
	return s.replica.VerifyLeader(ctx)
}

func (c *core) noLeader(leader string) error {
	e := policy.Errorf(policy.NotReady, "there is no leader that this voter can reach, so nothing was done; retry, or ask another voter")
	if a, ok := c.directory.Announced(leader); ok {
		e.With("leader", a.GRPC)
	}
	return e
}

// definitelyNotDone: the leader refused before it did anything.
func definitelyNotDone(err error) bool { return reasonOf(err) == policy.NotReady }

// forward asks the leader with the caller's own authorization.
func (s *Server) forward(ctx context.Context, c call, leader string, req any, p permission) (any, error) {
	conn, err := s.peers.to(leader)
	if err != nil {
		return nil, err
	}
	if !connected(ctx, conn) {
		return nil, s.noLeader(leader)
	}
	out, err := answerOf(c.method)
	if err != nil {
		return nil, err
	}
	md := metadata.Pairs(mdForwarded, s.name, mdRequestID, c.requestID)
	md.Set(mdClient, clientAddress(ctx))
	for _, key := range []string{mdAuthorization, mdIfMatch, mdIdempotency} {
		if v := metadata.ValueFromIncomingContext(ctx, key); len(v) > 0 {
			md.Set(key, v...)
		}
	}
	var header metadata.MD
	err = conn.Invoke(metadata.NewOutgoingContext(ctx, md), c.method, req, out, grpc.Header(&header))
	for _, key := range []string{mdPolicyToken, mdETag, mdStatus, mdReadMask} {
		if v := header.Get(key); len(v) == 1 && err == nil {
			err = setHeader(ctx, key, v[0])
		}
	}
	return out, lost(err, p)
}

// lost turns a broken connection into what it means: for a write, that nobody
// knows; for a read, that nothing was done.
func lost(err error, p permission) error {
	st, ok := status.FromError(err)
	if err == nil || !ok || len(st.Details()) > 0 {
		return err
	}
	switch st.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		if p.write {
			return policy.Errorf(policy.OutcomeUnknown, "the leader was lost while it answered, so the write may or may not have happened; retry with the same Idempotency-Key")
		}
		return policy.Errorf(policy.NotReady, "the leader was lost while it answered; retry")
	}
	return api.FromGRPC(err)
}

// connected waits shortly for the connection, so that a call that could not be
// sent is known not to have happened.
func connected(ctx context.Context, conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return true
		case connectivity.Idle:
			conn.Connect()
		case connectivity.TransientFailure, connectivity.Shutdown:
			return false
		}
		if !conn.WaitForStateChange(ctx, state) {
			return false
		}
	}
}

// answerOf makes an empty answer of a method.
func answerOf(method string) (proto.Message, error) {
	service, name, err := splitMethod(method)
	if err != nil {
		return nil, err
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("find service of %s: %w", method, err)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok || sd.Methods().ByName(protoreflect.Name(name)) == nil {
		return nil, fmt.Errorf("no method %s", method)
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(sd.Methods().ByName(protoreflect.Name(name)).Output().FullName())
	if err != nil {
		return nil, fmt.Errorf("find answer of %s: %w", method, err)
	}
	return t.New().Interface(), nil
}
