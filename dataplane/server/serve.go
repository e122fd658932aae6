package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/policy"
)

// freshWait is how long a data call waits for the policy that its
// X-Policy-Token names.
const freshWait = 2 * time.Second

// serve is the whole chain of one request: whatever is decided before a route's
// handler runs is decided from the headers.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	x := &exchange{s: s, w: &answerWriter{ResponseWriter: w}, r: r, id: newRequestID(), route: noRoute, since: began}
	x.trace()
	x.w.Header().Set("X-Request-Id", x.id)
	defer x.finish(began)
	_, admitting := telemetry.Start(x.r.Context(), telemetry.Admit)
	err := x.admit()
	admitting.End()
	if err != nil {
		x.refuse(err)
		return
	}
	if x.route.public != nil {
		x.route.public(x)
		return
	}
	if x.place, err = s.admits.Enter(r.Context(), x.demand()); err != nil {
		x.overloaded(err)
		x.refuse(err)
		return
	}
	defer x.place.Leave()
	if err := x.route.serve(x); err != nil {
		x.fail(err)
	}
}

// trace begins the request's trace. What the caller says of traces is not looked at.
func (x *exchange) trace() {
	ctx, span := x.s.o.Traces.Start(x.r.Context(), telemetry.Request)
	if span != (telemetry.Span{}) {
		x.span, x.r = span, x.r.WithContext(ctx)
	}
}

// admit decides whether the request is served at all, in the contract's order.
func (x *exchange) admit() error {
	if !x.s.hosts.serves(x.r) {
		return x.misdirected()
	}
	x.match()
	if x.route.public != nil {
		return nil
	}
	var err error
	if x.who, err = x.authenticate(); err != nil {
		return err
	}
	egress.Attribute(connIn(x.r.Context()), x.who.Tenant)
	if x.route == noRoute {
		return x.nothing()
	}
	if err := x.who.May(x.route.action); err != nil {
		return err
	}
	if x.route.feature != everyRegion {
		if err := x.s.o.Gate.Offers(x.route.feature); err != nil {
			return err
		}
	}
	return x.fresh()
}

// match finds the request's row and its path values.
func (x *exchange) match() {
	_, pattern := x.s.mux.Handler(x.r)
	row, ok := routeByPattern[pattern]
	if !ok || path.Clean(x.r.URL.Path) != x.r.URL.Path {
		return // the mux would answer an unclean path with a redirect
	}
	x.route = row
	if strings.Contains(pattern, "{") {
		x.s.mux.ServeHTTP(x.w, x.r) // sets the path values; the mux's handlers do nothing
	}
}

// methods are those that some route takes.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// nothing is the refusal of what has no route. The contract's table has no 405,
// so that a path under another method is 404 like every other absence; it says
// in Allow, and in the problem, which methods the path takes.
func (x *exchange) nothing() error {
	e := policy.Errorf(policy.NotFound, "there is nothing at this path and method; see /docs of the control plane")
	if twilio.Serves(x.r.URL.Path) {
		return errAbsent
	}
	if path.Clean(x.r.URL.Path) != x.r.URL.Path {
		return e
	}
	var allowed []string
	for _, m := range methods {
		other := *x.r
		other.Method = m
		if _, pattern := x.s.mux.Handler(&other); routeByPattern[pattern] != nil {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) == 0 {
		return e
	}
	list := strings.Join(allowed, ", ")
	x.w.Header().Set("Allow", list)
	e.Message = "this path does not take this method; it takes " + list
	return e.With("allow", list)
}

// fresh waits for the policy revision that the caller has already seen.
func (x *exchange) fresh() error {
	token, err := single(x.r.Header, "X-Policy-Token")
	if err != nil || token == "" {
		return err
	}
	return x.s.fresh(x.r.Context(), token)
}

func (s *Server) fresh(ctx context.Context, token string) error {
	revision, err := api.ParsePolicyToken(token)
	if err != nil {
		return invalid([]policy.FieldError{{Field: "X-Policy-Token", Message: "is malformed; send the token of an earlier answer unchanged"}})
	}
	ctx, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	return s.o.Bundle.Wait(ctx, revision)
}

// misdirected is the refusal of a host that is not ours. The right base URL is
// that of the region whose credential was shown, else our own.
func (x *exchange) misdirected() error {
	_, err := x.authenticate() // whoever guesses here is counted, and told nothing
	return x.s.misdirected(err)
}

func (s *Server) misdirected(err error) error {
	var e *policy.Error
	if !errors.As(err, &e) || e.Reason != policy.WrongRegion {
		e = s.o.Gate.WrongRegion(s.o.Region)
	}
	e.Message = "this listener does not serve the host that was asked for; use the region's own base URL"
	return e
}

// refuse answers a request whose body is not to be read.
func (x *exchange) refuse(err error) {
	x.w.status = api.MappingOf(api.AsError(err).Reason).HTTP
	x.log(err)
	x.refuseUnread(err)
}

// fail answers a request whose handler gave up. If the answer has begun, the
// connection is cut, so that half an answer never looks whole.
func (x *exchange) fail(err error) {
	x.log(err)
	if x.w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	if !x.began && x.r.Body != http.NoBody {
		x.w.status = api.MappingOf(api.AsError(err).Reason).HTTP
		x.refuseUnread(err)
		return
	}
	x.w.deadline(writeTimeout)
	writeProblem(x.w, x.r, err, x.id)
}

// log notes failures with what is needed to find their cause. Nothing that the
// client sent is in it: no path, query, header or body.
func (x *exchange) log(err error) {
	e := api.AsError(err)
	x.span.Reason(e.Reason)
	if api.MappingOf(e.Reason).HTTP < http.StatusInternalServerError {
		return
	}
	x.s.log.Warn("request failed", "request_id", x.id, "trace_id", x.span.ID(), "route", x.route.pattern, "tenant", string(x.who.Tenant),
		"reason", string(e.Reason), "cause", causeOf(e))
}

// refusedFor is a tenant and what there was too much of.
type refusedFor struct {
	tenant policy.TenantID
	cause  string
}

// overloaded notes, once a minute, whose requests are refused: metrics do not name
// tenants.
func (x *exchange) overloaded(err error) { x.s.overloaded(x.who.Tenant, x.id, err) }

func (s *Server) overloaded(tenant policy.TenantID, id string, err error) {
	e := api.AsError(err)
	of := refusedFor{tenant, e.Metadata["cause"]}
	if _, told := s.refused.Get(of); told || e.Reason != policy.Overloaded {
		return
	}
	s.refused.Add(of, struct{}{})
	s.log.Warn("requests of a tenant are refused", "tenant", string(of.tenant), "cause", of.cause, "request_id", id)
}

func causeOf(e *policy.Error) string {
	if e.Cause == nil {
		return ""
	}
	return e.Cause.Error()
}

// finish counts the request, and turns a programming error into a 500 that
// says nothing but the request id.
func (x *exchange) finish(began time.Time) {
	p := recover()
	if p != nil && !isAbort(p) {
		x.s.metrics.panics.Inc()
		x.s.log.Error("request panicked", "request_id", x.id, "route", x.route.pattern, "panic", panicWords(p), "stack", string(debug.Stack()))
		if x.w.status == 0 {
			x.w.Header().Set("Connection", "close")
			writeProblem(x.w, x.r, fmt.Errorf("panic"), x.id)
			p = nil
		} else {
			p = http.ErrAbortHandler
		}
	}
	status := x.w.status
	if status == 0 {
		status = http.StatusOK
	}
	x.s.metrics.answered(x.route.pattern, status, time.Since(began))
	x.span.Route(x.route.pattern)
	x.span.Status(status)
	x.span.End()
	if p != nil {
		panic(p) // net/http cuts the connection without a word
	}
}

func isAbort(p any) bool {
	err, ok := p.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// panicWords names a panic without repeating a value that may hold data.
func panicWords(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}
