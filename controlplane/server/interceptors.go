package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// Limits of calls.
const (
	callTimeout = 10 * time.Second // the longest that a unary call may take, whatever its caller asks
	maxInFlight = 256              // unary calls at once; more are refused with OVERLOADED
)

// unary is the chain of every unary call. Its order is the package comment's.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	c := call{requestID: requestID(ctx), method: info.FullMethod}
	begin := time.Now()
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, s.panicked(c, p)
		}
		s.finish(c, begin, err)
		err = toStatus(err)
	}()
	select {
	case s.inFlight <- struct{}{}:
		defer func() { <-s.inFlight }()
	default:
		return nil, policy.Errorf(policy.Overloaded, "more than %d calls are in flight; retry after a moment", maxInFlight)
	}
	p, ok := permissions[info.FullMethod]
	if !ok {
		return nil, denied()
	}
	ctx, cancel := context.WithTimeout(ctx, max(callTimeout, p.patience))
	defer cancel()
	if c.node, err = connection(ctx); err != nil {
		return nil, err
	}
	if err := p.admit(c.node); err != nil {
		return nil, err
	}
	resp, forwarded, err := s.elsewhere(ctx, p, &c, req)
	if forwarded || err != nil {
		return resp, err
	}
	if p.ofPersons(c.node) {
		if err := p.allow(c.caller); err != nil {
			return nil, err
		}
	}
	if err := s.valid.check(ctx, req); err != nil {
		return nil, err
	}
	if !p.write {
		// Before the read: what it sees is at least this.
		if err := s.answerAt(ctx, s.store.Revision()); err != nil {
			return nil, err
		}
	}
	return shaped(withCall(ctx, c), c, req, handle)
}

// person finds who calls, and whether they may.
func (s *Server) person(ctx context.Context, p permission, c call) (caller, error) {
	who, err := s.auth.caller(ctx, time.Now())
	if err == nil {
		err = p.allow(who)
	}
	who.node = c.node
	return who, err
}

// stream is the chain of streams: of nodes, by their certificate, and of people.
// A stream is answered by the voter that was asked.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	c := call{requestID: requestID(ss.Context()), method: info.FullMethod}
	begin := time.Now()
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(c, p)
		}
		s.finish(c, begin, err)
		err = toStatus(err)
	}()
	p, ok := permissions[info.FullMethod]
	if !ok {
		return denied()
	}
	if c.node, err = connection(ss.Context()); err != nil {
		return err
	}
	if err := p.admit(c.node); err != nil {
		return err
	}
	if p.ofPersons(c.node) {
		if c.caller, err = s.person(ss.Context(), p, c); err != nil {
			return err
		}
	}
	return handle(srv, &checkedStream{ServerStream: ss, ctx: withCall(ss.Context(), c), valid: s.valid})
}

// checkedStream validates every message that arrives.
type checkedStream struct {
	grpc.ServerStream
	ctx   context.Context
	valid *validation
}

func (s *checkedStream) Context() context.Context { return s.ctx }

func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.valid.check(s.ctx, m)
}

// panicked logs a panic with its stack, never with the message that caused it,
// and answers INTERNAL.
func (s *Server) panicked(c call, p any) error {
	s.log.Error("a call panicked", "method", c.method, "request_id", c.requestID, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	return &policy.Error{Reason: policy.Internal, Message: "the request failed inside; quote the request id to the operator"}
}

// finish counts and logs a call: method, outcome, who. Never what was asked.
func (s *Server) finish(c call, begin time.Time, err error) {
	reason := ""
	if err != nil {
		reason = string(reasonOf(err))
	}
	s.metrics.call(c.method, reason, time.Since(begin))
	level := slog.LevelDebug
	attrs := []any{"method", c.method, "request_id", c.requestID, "principal", c.principal, "node", string(c.node.Node),
		"reason", reason, "duration_ms", time.Since(begin).Milliseconds()}
	if reason == string(policy.Internal) {
		level = slog.LevelError
		attrs = append(attrs, "cause", causeOf(err))
	}
	s.log.Log(context.Background(), level, "call", attrs...)
}

func reasonOf(err error) policy.Reason {
	if st, ok := status.FromError(err); ok && st.Code() != codes.Unknown {
		err = api.FromGRPC(err)
	}
	return api.AsError(err).Reason
}

func causeOf(err error) string {
	if cause := api.AsError(err).Cause; cause != nil {
		return cause.Error()
	}
	return err.Error()
}
