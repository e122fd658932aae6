package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/policy"
)

const (
	service     = "domicile-dataplane"
	maxQueue    = 2048 // spans that wait
	maxBatch    = 512  // spans in one message
	sendEvery   = 2 * time.Second
	sendTimeout = 5 * time.Second
)

// Options of a tracer. Logger and Metrics may be absent.
type Options struct {
	Region policy.RegionID  // of the node and its collector
	Routes []string         // that a request can meet: the closed set of http.route
	Share  float64          // of requests that are traced, (0, 1]
	Conn   *grpc.ClientConn // to the collector (OTLP), through the region's door; Close does not close it

	Logger  *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: none
}

// Tracer begins traces. A nil *Tracer traces nothing. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Open makes a tracer. The environment cannot change what is sent or where: a
// variable OTEL_… is refused, because the library would obey it.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	if o.Conn == nil || o.Region == "" || o.Share <= 0 || o.Share > 1 {
		return nil, errors.New("open traces: connection, region and a share of (0, 1] are required")
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			return nil, fmt.Errorf("open traces: the environment variable %s would change them; unset it, what can be set is in the section telemetry of the configuration", name)
		}
	}
	out, err := otlptracegrpc.New(ctx, otlptracegrpc.WithGRPCConn(o.Conn), otlptracegrpc.WithTimeout(sendTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}))
	if err != nil {
		return nil, fmt.Errorf("open traces: %w", err)
	}
	return open(o, out), nil
}

func open(o Options, out sdk.SpanExporter) *Tracer {
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Share))),
		sdk.WithResource(resource.NewSchemaless(serviceKey.String(service), regionKey.String(string(o.Region)))),
		sdk.WithBatcher(newSieve(o, out), sdk.WithMaxQueueSize(maxQueue), sdk.WithMaxExportBatchSize(maxBatch), sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(sendTimeout)))
	return &Tracer{provider: provider, tracer: provider.Tracer(service)}
}

// Start begins a trace of its own, whatever ctx or a caller says of traces.
func (t *Tracer) Start(ctx context.Context, name Name) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(ctx, string(name), trace.WithNewRoot())
	if !s.IsRecording() {
		return ctx, Span{}
	}
	return ctx, Span{s}
}

// Close sends what waits, until ctx is done.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}
