package watchdog

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAHungCallIsToldOnceAndAQuickOneNot(t *testing.T) {
	told := make(chan error, 8)
	w := &Watchdog{Limit: 30 * time.Millisecond, Hung: func(err error) { told <- err }}
	want := errors.New("its own")
	if err := w.Do("quick", func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
	release, ended := make(chan struct{}), make(chan error)
	go func() { ended <- w.Do("append", func() error { <-release; return nil }) }()
	err := <-told
	if !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "append has hung") {
		t.Errorf("told %v", err)
	}
	if w.Longest() < 30*time.Millisecond {
		t.Errorf("the longest call is said to take %v", w.Longest())
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if w.Longest() != 0 {
		t.Errorf("a call of %v is under way, and none is", w.Longest())
	}
	select {
	case err := <-told:
		t.Errorf("told again: %v", err)
	case <-time.After(100 * time.Millisecond): // three limits
	}
}

func TestTheZeroWatchdogWatches(t *testing.T) {
	var w Watchdog
	done := w.Watch("x")
	if w.Longest() == 0 {
		t.Error("nothing is under way")
	}
	done()
}
