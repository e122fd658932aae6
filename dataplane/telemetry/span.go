package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// Span is one piece of work that is being traced; the zero Span traces nothing.
// Its methods are for one goroutine.
type Span struct{ span trace.Span }

// Start begins a span below the one in ctx. When there is none that is traced,
// it costs next to nothing and traces nothing.
func Start(ctx context.Context, name Name) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(service).Start(ctx, string(name))
	return ctx, Span{s}
}

// End ends a span that went well.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// EndWith ends a span; of an error only that there was one is told.
func (s Span) EndWith(err error) {
	if s.span != nil && err != nil {
		s.span.SetStatus(codes.Error, "")
	}
	s.End()
}

// Route says which row of the table a request met.
func (s Span) Route(pattern string) {
	if s.span != nil {
		s.span.SetAttributes(routeKey.String(pattern))
	}
}

// Status says how a request was answered; from 500 on it is an error.
func (s Span) Status(code int) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(statusKey.Int(code))
	if code >= 500 {
		s.span.SetStatus(codes.Error, "")
	}
}

// Reason says why a request was refused.
func (s Span) Reason(r policy.Reason) {
	if s.span != nil {
		s.span.SetAttributes(reasonKey.String(string(r)))
	}
}

// Records says how many records of which source the work was about.
func (s Span) Records(source record.SourceKind, n int) {
	if s.span != nil {
		s.span.SetAttributes(sourceKey.String(string(source)), recordsKey.Int(min(n, maxCount)))
	}
}

// ID is the trace's id in hexadecimal, for logs; "" when nothing is traced.
func (s Span) ID() string {
	if s.span == nil {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}
