// Package supervisor tells systemd how the process does, by the protocol of
// sd_notify(3): that it serves, that it ends, and, while it is scheduled, that it
// is alive. Without systemd (no NOTIFY_SOCKET) it does nothing.
//
// It says nothing about the disk: package watchdog and the stores end the process
// themselves when that does not answer. What systemd's watchdog finds is a
// process that does not run at all.
package supervisor

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Serve says that the process serves and, when the unit has WatchdogSec, repeats
// three times in each such span that it is alive, until ctx ends or stop is
// called; then it says that the process ends.
func Serve(ctx context.Context, log *slog.Logger) (stop func()) {
	tell(log, daemon.SdNotifyReady)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not answered", "cause", err)
	}
	go func() {
		defer close(done)
		beat(ctx, log, every/3)
		tell(log, daemon.SdNotifyStopping)
	}()
	return func() { cancel(); <-done }
}

// beat returns when ctx ends.
func beat(ctx context.Context, log *slog.Logger, every time.Duration) {
	if every <= 0 {
		<-ctx.Done()
		return
	}
	for tick := time.NewTicker(every); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			tell(log, daemon.SdNotifyWatchdog)
		}
	}
}

// tell logs what systemd did not hear: the process must go on without it.
func tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "cause", err)
	}
}
