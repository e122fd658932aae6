package story

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/screen"
)

// The story must hold, and hold again on the same data, calmly.
func TestTheStoryIsTrueTwice(t *testing.T) {
	e, err := dev.Start(context.Background(), dev.Options{Dir: t.TempDir(), ExportWindow: 2 * time.Second, ExportInterval: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for telling := range 2 {
		var out bytes.Buffer
		if err := Tell(context.Background(), Options{Env: e, Screen: screen.New(&out), Program: "domicile"}); err != nil {
			t.Fatalf("telling %d: %v\n%s", telling+1, err, out.String())
		}
		for n := range 9 {
			if !strings.Contains(out.String(), fmt.Sprintf("\n%2d  ", n+1)) {
				t.Errorf("telling %d lacks step %d", telling+1, n+1)
			}
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if !strings.Contains(line, " $ ") && lipgloss.Width(line) > screen.Width {
				t.Errorf("%d columns: %s", lipgloss.Width(line), line)
			}
		}
	}
}

// A check that does not hold must end the story: a telling that cannot fail proves nothing.
func TestAFalseCheckEndsTheStory(t *testing.T) {
	var out bytes.Buffer
	teller := &teller{Options: Options{Screen: screen.New(&out)}}
	if err := teller.check(false, "water flows uphill"); err == nil || !strings.Contains(out.String(), "✗ water flows uphill") {
		t.Fatalf("got %v and %q", err, out.String())
	}
	if strings.Contains(out.String(), "✓") {
		t.Error("a false sentence was ticked")
	}
}

func TestGeneratedCallsHaveTheCallersTheyClaim(t *testing.T) {
	g := makeGenerated(time.Date(2026, 3, 16, 10, 0, 0, 0, time.UTC), "+35319100099")
	irish, london := map[string]int{}, map[string]int{}
	ids := map[string]bool{}
	for _, c := range g.calls {
		ids[c.NativeID] = true
		if c.StartTime.Hour() != 10 {
			t.Errorf("a call starts at %s, outside the one hour", c.StartTime)
		}
		if strings.HasPrefix(c.From, "+353") {
			irish[c.From]++
		} else {
			london[c.From]++
		}
	}
	if len(g.calls) != 200 || len(ids) != 200 || len(irish) != g.crowd || len(london) != g.alone || len(london) >= needed || len(irish) < needed {
		t.Errorf("%d calls, %d ids, %d Irish and %d London callers", len(g.calls), len(ids), len(irish), len(london))
	}
}
