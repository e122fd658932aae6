package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// Limits of REST.
const (
	maxHeader = 16 << 10
	maxBody   = 1 << 20
)

// passed are the only headers that reach gRPC; everything else a client sends
// is dropped before the gateway sees it: metadata by Grpc-Metadata-*, timeouts
// by Grpc-Timeout, other methods by X-HTTP-Method-Override, forwarded names.
var passed = []string{"Authorization", "If-Match", "Idempotency-Key", "X-Policy-Token", "X-Consistency", "X-Request-Id"}

// known are the query parameters by path.
var known = newQueries()

// gateway is the REST handler: our own checks, then grpc-gateway over a real
// connection to our own gRPC listener.
func (s *Server) gateway() (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newRESTJSON()),
		runtime.WithIncomingHeaderMatcher(func(h string) (string, bool) {
			// The gateway itself passes Authorization.
			return strings.ToLower(h), h != "Authorization" && slices.Contains(passed, h)
		}),
		runtime.WithMetadata(func(_ context.Context, r *http.Request) metadata.MD {
			address, _, _ := net.SplitHostPort(r.RemoteAddr)
			return metadata.Pairs(mdClient, address)
		}),
		runtime.WithOutgoingHeaderMatcher(answerHeader),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithForwardResponseOption(answerStatus),
		runtime.WithForwardResponseRewriter(answerMask),
		runtime.WithErrorHandler(func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			api.WriteProblem(w, s.problem(err), r.Header.Get("X-Request-Id"))
		}),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
			routingProblem(w, r, code)
		}),
		runtime.WithDisablePathLengthFallback(), runtime.WithDisableHTTPMethodOverride())
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		controlv1.RegisterTenantServiceHandler, controlv1.RegisterBatchServiceHandler, controlv1.RegisterKeyServiceHandler, controlv1.RegisterPolicyServiceHandler,
		controlv1.RegisterChangeServiceHandler, controlv1.RegisterSigningKeyServiceHandler, controlv1.RegisterRecipientServiceHandler, controlv1.RegisterRegionServiceHandler,
		controlv1.RegisterOperationsServiceHandler, controlv1.RegisterAuditServiceHandler,
		controlv1.RegisterLifecycleServiceHandler, controlv1.RegisterLongRunningServiceHandler, controlv1.RegisterNodeServiceHandler, controlv1.RegisterViolationServiceHandler,
		controlv1.RegisterBasisServiceHandler, controlv1.RegisterCatalogueServiceHandler,
		controlv1.RegisterTokenServiceHandler, controlv1.RegisterPrincipalServiceHandler, controlv1.RegisterLoginServiceHandler, controlv1.RegisterMemberServiceHandler,
	} {
		if err := register(context.Background(), mux, s.own); err != nil {
			return nil, fmt.Errorf("register the gateway: %w", err)
		}
	}
	docs, err := newDocs()
	if err != nil {
		return nil, err
	}
	return s.front(docs.handler(s, s.downloads(mux))), nil
}

// front gives every request an id, only what it may carry, and an answer even
// when something panics.
func (s *Server) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := keepRequestID(r.Header.Get("X-Request-Id"))
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { // the answer is broken off on purpose
					panic(p)
				}
				s.log.Error("a REST request panicked", "request_id", id, "panic", fmt.Sprintf("%T", p))
				api.WriteProblem(w, fmt.Errorf("panic"), id)
			}
		}()
		if err := admit(w, r); err != nil {
			api.WriteProblem(w, err, id)
			return
		}
		r.Header.Set("X-Request-Id", id)
		next.ServeHTTP(w, r)
	})
}

// admit checks and cleans a request in place.
func admit(w http.ResponseWriter, r *http.Request) error {
	kept := http.Header{}
	for _, h := range passed {
		switch v := r.Header.Values(h); len(v) {
		case 0:
		case 1:
			kept.Set(h, v[0])
		default:
			return fieldError(h, "must be given once")
		}
	}
	contentType := r.Header.Get("Content-Type")
	r.Header = kept
	if err := admitURL(r); err != nil {
		return err
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return policy.Errorf(policy.PayloadTooLarge, "the body is longer than %d bytes", maxBody)
	}
	if err != nil {
		return policy.Errorf(policy.InvalidArgument, "the body could not be read to its end")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) == 0 {
		return nil
	}
	if !jsonType(contentType) {
		return policy.Errorf(policy.UnsupportedMediaType, "the body must be JSON: send Content-Type: application/json")
	}
	// One value and nothing after it: the gateway reads the first and drops the rest.
	if !json.Valid(body) {
		return policy.Errorf(policy.InvalidArgument, "the body is not one JSON value")
	}
	return nil
}

// admitURL refuses what two readers of a URL could read differently: a path with
// any escape (ids and verbs need none, and whoever filters paths before us may
// not undo them), parameters that are malformed, unknown or given twice.
func admitURL(r *http.Request) error {
	if strings.Contains(r.URL.EscapedPath(), "%") {
		return policy.Errorf(policy.NotFound, "no such path; the OpenAPI document at /openapi.json lists all")
	}
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fieldError("query", "is malformed")
	}
	for name, values := range given {
		if !takes(known, r, name) || len(values) != 1 || !utf8.ValidString(values[0]) {
			return fieldError("query", "holds a parameter that is unknown here or given twice; the OpenAPI document at /openapi.json lists them")
		}
	}
	return nil
}

// jsonType accepts JSON, and what curl and other clients send when they are told nothing.
func jsonType(contentType string) bool {
	if contentType == "" {
		return true
	}
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json") || t == "application/x-www-form-urlencoded")
}

func answerHeader(key string) (string, bool) {
	switch key {
	case mdETag:
		return "ETag", true
	case mdPolicyToken:
		return "X-Policy-Token", true
	}
	return "", false
}

// answerMask leaves out of the JSON what the caller's read_mask left out.
func answerMask(ctx context.Context, m proto.Message) (any, error) {
	if md, ok := runtime.ServerMetadataFromContext(ctx); ok {
		if v := md.HeaderMD.Get(mdReadMask); len(v) == 1 {
			return masked{answer: m, mask: strings.Split(v[0], ",")}, nil
		}
	}
	return m, nil
}

// answerStatus makes 201 of creates.
func answerStatus(ctx context.Context, w http.ResponseWriter, _ proto.Message) error {
	md, ok := runtime.ServerMetadataFromContext(ctx)
	if !ok {
		return nil
	}
	if v := md.HeaderMD.Get(mdStatus); len(v) == 1 {
		code, err := strconv.Atoi(v[0])
		if err != nil {
			return fmt.Errorf("answer's status: %w", err)
		}
		w.WriteHeader(code)
	}
	return nil
}

// problem makes a domain error of what grpc-gateway reports. A status without
// our reason is the gateway's own, about the request; its text may quote the
// body and is not passed on.
func (s *Server) problem(err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	if len(st.Details()) > 0 {
		return api.FromGRPC(err)
	}
	switch st.Code() {
	case codes.InvalidArgument:
		return policy.Errorf(policy.InvalidArgument, "the body or a parameter does not fit the schema: %s; see /openapi.json", shape(st.Message()))
	case codes.ResourceExhausted:
		return policy.Errorf(policy.PayloadTooLarge, "the message is larger than %d bytes", maxMessage)
	case codes.Unavailable:
		return policy.Errorf(policy.NotReady, "this voter is starting or stopping; retry")
	}
	if st.Code() == codes.Internal || st.Code() == codes.Unknown { // its text is a library's
		return fmt.Errorf("the gateway's call failed: %s", st.Code())
	}
	return api.FromGRPC(err)
}

// shape says what kind of mistake protojson found, and names the field only
// when it is one of ours: an unknown name is the caller's text.
func shape(message string) string {
	switch {
	case message == errPathField.Error():
		return "it repeats a field that the path carries; leave it out"
	case strings.Contains(message, "unknown field"):
		return "it holds an unknown field (names are snake_case)"
	case strings.Contains(message, "duplicate field"):
		return "it holds a field twice"
	case strings.Contains(message, "invalid value for"):
		return "a value has the wrong type"
	}
	return "its form is wrong"
}

func routingProblem(w http.ResponseWriter, r *http.Request, code int) {
	id := r.Header.Get("X-Request-Id")
	if code != http.StatusMethodNotAllowed {
		api.WriteProblem(w, noSuchPath(r.URL.Path), id)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(api.Problem{Type: "about:blank", Title: "Method not allowed", Status: code, Reason: policy.InvalidArgument,
		Detail: "this path has no such method; the OpenAPI document at /openapi.json lists them", RequestID: id})
}

// newStdLogger takes what net/http has to say of broken connections; it may quote
// a client, so only the fact is logged.
func newStdLogger(to *slog.Logger) *log.Logger { return log.New(connectionNotes{to}, "", 0) }

type connectionNotes struct{ to *slog.Logger }

func (c connectionNotes) Write(b []byte) (int, error) {
	c.to.Debug("a REST connection failed")
	return len(b), nil
}
