// Package plainlog is the last look at what a process logs: texts, numbers,
// times, errors and lists of these are written; of any other value, which could
// hold a record, only its type is. A type's own LogValue is asked first. It
// stands below every logger of a server, because a JSON handler would write all
// of a structure that merely holds a personal one.
package plainlog

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
)

// maxDepth bounds groups in groups.
const maxDepth = 8

// Handler writes plain values to another handler.
type Handler struct{ next slog.Handler }

// New is a handler before next.
func New(next slog.Handler) *Handler { return &Handler{next} }

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(slog.Attr{Key: a.Key, Value: plain(a.Value, maxDepth)})
		return true
	})
	return h.next.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.next.WithAttrs(group(attrs, maxDepth))}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler { return &Handler{h.next.WithGroup(name)} }

func group(attrs []slog.Attr, depth int) []slog.Attr {
	out := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, slog.Attr{Key: a.Key, Value: plain(a.Value, depth)})
	}
	return out
}

func plain(v slog.Value, depth int) slog.Value {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		if depth == 0 {
			return slog.StringValue("[group]")
		}
		return slog.GroupValue(group(v.Group(), depth-1)...)
	case slog.KindAny:
		return slog.StringValue(words(v.Any()))
	}
	return v
}

// words are those of a value that is no basic one of slog's.
func words(v any) string {
	if err, ok := v.(error); ok {
		return err.Error()
	}
	t := reflect.TypeOf(v)
	if t == nil {
		return ""
	}
	if scalar(t) || (t.Kind() == reflect.Slice && scalar(t.Elem()) && t.Elem().Kind() != reflect.Uint8) {
		return fmt.Sprint(v)
	}
	return "[" + t.String() + "]"
}

func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}
