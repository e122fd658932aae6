package replica

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// sink carries Raft's log lines to slog.
type sink struct{ to *slog.Logger }

// raftLogger gives Raft a logger that writes to ours and nowhere else.
func raftLogger(to *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Info})
	l.RegisterSink(sink{to: to.With("part", "raft")})
	return l
}

// Accept implements hclog.SinkAdapter. Raft's informative lines are details to us.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case level >= hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn:
		to = slog.LevelWarn
	case level < hclog.Info:
		return
	}
	s.to.Log(context.Background(), to, msg, args...)
}
