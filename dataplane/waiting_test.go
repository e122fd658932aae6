package dataplane

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/feed"
)

func TestWaitingIsToldWhileItIsKnown(t *testing.T) {
	var now time.Duration
	w := waiting{now: func() time.Duration { return now }}
	want := func(what string, ok bool, x feed.Waiting) {
		t.Helper()
		if got, known := w.tell(); known != ok || got != x {
			t.Errorf("%s: %+v, %v", what, got, known)
		}
	}
	want("before the first count", false, feed.Waiting{})
	w.count(0)
	now += time.Second
	want("empty", true, feed.Waiting{})
	w.count(3)
	now += 40 * time.Second
	w.count(7)
	now += 2 * time.Second
	want("it grew", true, feed.Waiting{Transfers: 7, For: 42 * time.Second})
	now += countKeeps
	want("the outbox does not answer", false, feed.Waiting{})
	w.count(0)
	w.count(1)
	now += time.Second
	want("after a pause", true, feed.Waiting{Transfers: 1, For: time.Second})
}
