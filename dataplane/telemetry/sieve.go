package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// sieve is the last look at spans before they leave: what is not of the closed
// sets stays. It stands below every way of making a span, so that a library that
// makes its own, or a hurried change, sends nothing.
type sieve struct {
	next  sdk.SpanExporter
	words map[attribute.Key]func(attribute.Value) bool
	log   *slog.Logger

	sent, refused, failed prometheus.Counter

	mu     sync.Mutex
	warned time.Time
}

func newSieve(o Options, next sdk.SpanExporter) *sieve {
	count := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_trace_" + name, Help: help})
	}
	s := &sieve{next: next, words: o.words(), log: o.Logger,
		sent:    count("spans_sent_total", "Spans that the region's collector took."),
		refused: count("spans_refused_total", "Spans that were not sent because they said something that is not of a closed set: a bug to report."),
		failed:  count("spans_lost_total", "Spans that were lost because the collector did not take them.")}
	if s.log == nil {
		s.log = slog.Default()
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.sent, s.refused, s.failed)
	}
	return s
}

// ExportSpans implements sdk.SpanExporter. A collector that is away is no error
// of the node's.
func (s *sieve) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	kept := make([]sdk.ReadOnlySpan, 0, len(spans))
	for _, span := range spans {
		if s.closed(span) {
			kept = append(kept, span)
		}
	}
	s.refused.Add(float64(len(spans) - len(kept)))
	if len(kept) == 0 {
		return nil
	}
	err := s.next.ExportSpans(ctx, kept)
	if err == nil {
		s.sent.Add(float64(len(kept)))
		return nil
	}
	s.failed.Add(float64(len(kept)))
	s.warn(err)
	return nil
}

// closed reports whether a span says nothing but words of closed sets.
func (s *sieve) closed(span sdk.ReadOnlySpan) bool {
	if !names[span.Name()] || len(span.Events()) > 0 || len(span.Links()) > 0 || span.Status().Description != "" ||
		span.SpanContext().TraceState().Len() > 0 || span.Parent().IsRemote() || span.InstrumentationScope().Name != service {
		return false
	}
	return s.known(span.Attributes()) && s.known(span.Resource().Attributes())
}

func (s *sieve) known(list []attribute.KeyValue) bool {
	for _, kv := range list {
		allowed := s.words[kv.Key]
		if allowed == nil || !allowed(kv.Value) {
			return false
		}
	}
	return true
}

// warn says once a minute that spans are lost.
func (s *sieve) warn(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.warned) >= time.Minute {
		s.warned = now
		s.log.Warn("traces are lost: the collector does not take them", "cause", err.Error())
	}
}

// Shutdown implements sdk.SpanExporter.
func (s *sieve) Shutdown(ctx context.Context) error { return s.next.Shutdown(ctx) }
