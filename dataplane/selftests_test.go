package dataplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/domicile-io/domicile/dataplane/selftest"
	"github.com/domicile-io/domicile/policy"
)

// answer is a listener that gives one answer.
type answer struct{ err error }

func (a *answer) Listener() selftest.Listener                    { return selftest.REST }
func (a *answer) Refuses(context.Context, policy.RegionID) error { return a.err }

// What is found holds until a self-test passes; what could not be asked changes nothing;
// that there is nobody to be misdirected from is said, once.
func TestCanariesAreFindings(t *testing.T) {
	var log bytes.Buffer
	var found findings
	var others []policy.RegionID
	a := &answer{}
	c := newCanaries(canaries{probes: []refuser{a}, regions: func() []policy.RegionID { return others }, find: func(holds bool) { found.set(canaryTaken, holds) },
		log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		if !c.round(t.Context()) || strings.Count(log.String(), "no other region") != 1 {
			t.Fatalf("without another region: %s", log.String())
		}
	}
	others = []policy.RegionID{"us1"}
	unasked := fmt.Errorf("%w: the ledger is away", selftest.ErrUnasked)
	for i, step := range []struct {
		err   error
		found bool
	}{{nil, false}, {unasked, false}, {errors.New("answered 201"), true}, {unasked, true}, {nil, false}} {
		a.err = step.err
		if passed := c.round(t.Context()); passed != (step.err == nil) {
			t.Errorf("step %d: is it asked again soon? %v", i, !passed)
		}
		if got := len(found.list()) == 1; got != step.found || testutil.ToFloat64(c.failed.WithLabelValues("rest")) != flag(step.found) {
			t.Errorf("step %d: findings %v", i, found.list())
		}
	}
	for result, want := range map[string]float64{"refused": 2, "unasked": 2, "taken": 1} {
		if got := testutil.ToFloat64(c.tests.WithLabelValues("rest", result)); got != want {
			t.Errorf("%s: %v, want %v", result, got, want)
		}
	}
	if !strings.Contains(log.String(), "does not refuse what belongs to another region") || !strings.Contains(log.String(), "again") {
		t.Errorf("the log: %s", log.String())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	a.err = context.Canceled
	if c.round(ended); len(found.list()) != 0 {
		t.Error("a node that stops finds something of its own end")
	}
}
