package server

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// A node subscribes again the moment its stream ends. A voter that stops must end
// that stream too, or its graceful stop waits for it until its time is over.
func TestAClosedHubEndsLateStreams(t *testing.T) {
	h := &hub{feeds: map[audience]*feed{}, sessions: map[*session]struct{}{}, nodes: map[policy.NodeID]*node{}}
	before, after := newSession(standing{}), newSession(standing{})
	defer h.connect(before)()
	h.close()
	defer h.connect(after)()
	for name, s := range map[string]*session{"before": before, "after": after} {
		select {
		case <-s.done:
			if s.reason != errNotLeading {
				t.Errorf("%s: ended by %v", name, s.reason)
			}
		default:
			t.Errorf("the stream from %s the stop goes on", name)
		}
	}
}
