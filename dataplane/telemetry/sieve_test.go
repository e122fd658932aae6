package telemetry

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

const number = "+353867391846"

// What is not of a closed set does not leave, however it got into a span.
func TestINV09_OnlyWordsOfClosedSetsLeave(t *testing.T) {
	route := "GET /v1/calls/{id}"
	hostile := map[string]func(ctx context.Context, tracer trace.Tracer){
		"name":   func(ctx context.Context, tr trace.Tracer) { end(tr.Start(ctx, number)) },
		"key":    with("request", attribute.String(number, "x")),
		"route":  with("request", attribute.String("http.route", "/v1/calls/"+number)),
		"reason": with("request", attribute.String("domicile.reason", number)),
		"source": with("append", attribute.String("domicile.source", number)),
		"count":  with("append", attribute.Int64("domicile.records", 353867391846)),
		"status": with("request", attribute.Int64("http.response.status_code", 353867391846)),
		"kind":   with("request", attribute.StringSlice("http.route", []string{route, number})),
		"event": func(ctx context.Context, tr trace.Tracer) {
			_, s := tr.Start(ctx, "request")
			s.AddEvent(number)
			s.End()
		},
		"description": func(ctx context.Context, tr trace.Tracer) {
			_, s := tr.Start(ctx, "request")
			s.SetStatus(codes.Error, number)
			s.End()
		},
		"error": func(ctx context.Context, tr trace.Tracer) {
			_, s := tr.Start(ctx, "request")
			s.RecordError(context.Canceled)
			s.End()
		},
		"link": func(ctx context.Context, tr trace.Tracer) {
			end(tr.Start(ctx, "request", trace.WithLinks(trace.Link{SpanContext: remote(t), Attributes: []attribute.KeyValue{attribute.String("number", number)}})))
		},
		"remote parent": func(ctx context.Context, tr trace.Tracer) {
			end(tr.Start(trace.ContextWithRemoteSpanContext(ctx, remote(t)), "request"))
		},
	}
	for name, make := range hostile {
		t.Run(name, func(t *testing.T) {
			out, registry := tracetest.NewInMemoryExporter(), prometheus.NewRegistry()
			tr := open(Options{Region: "ie1", Routes: []string{route}, Share: 1, Metrics: registry}, out)
			make(context.Background(), tr.provider.Tracer(service))
			ctx, span := tr.Start(context.Background(), Request) // a good one beside it
			_, child := Start(ctx, Append)
			child.Records(record.Native, 3)
			child.EndWith(context.Canceled)
			span.Route(route)
			span.Status(503)
			span.Reason(policy.PolicyStale)
			span.End()
			if err := tr.provider.ForceFlush(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := out.GetSpans(); len(got) != 2 {
				t.Errorf("%d spans left, want the two good ones", len(got))
			}
			const want = "# HELP domicile_trace_spans_refused_total Spans that were not sent because they said something that is not of a closed set: a bug to report.\n# TYPE domicile_trace_spans_refused_total counter\ndomicile_trace_spans_refused_total 1\n"
			if err := testutil.GatherAndCompare(registry, reader(want), "domicile_trace_spans_refused_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

func reader(s string) *strings.Reader { return strings.NewReader(s) }

func end(_ context.Context, s trace.Span) { s.End() }

func with(name string, attributes ...attribute.KeyValue) func(context.Context, trace.Tracer) {
	return func(ctx context.Context, tr trace.Tracer) {
		end(tr.Start(ctx, name, trace.WithAttributes(attributes...)))
	}
}

func remote(t *testing.T) trace.SpanContext {
	t.Helper()
	state, err := trace.ParseTraceState("number=353867391846")
	if err != nil {
		t.Fatal(err)
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
}

// The library would obey its environment; ours does not come from there.
func TestTheEnvironmentChangesNothing(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "number="+number)
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = Open(context.Background(), Options{Region: "ie1", Share: 1, Conn: conn})
	if err == nil || !strings.Contains(err.Error(), "OTEL_RESOURCE_ATTRIBUTES") || strings.Contains(err.Error(), number) {
		t.Errorf("opened, or says the wrong thing: %v", err)
	}
}

func TestWithoutATracerNothingIsTraced(t *testing.T) {
	var none *Tracer
	ctx, span := none.Start(context.Background(), Request)
	span.Route("x")
	span.Status(500)
	span.Reason(policy.Internal)
	span.Records(record.Native, 1)
	span.EndWith(context.Canceled)
	if _, child := Start(ctx, Append); child != (Span{}) || span.ID() != "" {
		t.Error("something is traced")
	}
	if err := none.Close(ctx); err != nil {
		t.Error(err)
	}
}
