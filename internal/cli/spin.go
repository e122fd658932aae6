package cli

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// spin shows that something is waited for: turning on a terminal, as one line
// elsewhere. stop ends it; it does not return before the line is cleared.
func (a *app) spin(text string) (stop func()) {
	if !a.err.Terminal() {
		a.err.Line("%s …", text)
		return func() {}
	}
	bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(a.err.Writer()), progressbar.OptionSetDescription(text),
		progressbar.OptionSpinnerType(14), progressbar.OptionSetElapsedTime(true), progressbar.OptionClearOnFinish())
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				_ = bar.Clear() // only drawn
				return
			case <-tick.C:
				_ = bar.Add(1)
			}
		}
	}()
	return func() { close(end); <-done }
}
