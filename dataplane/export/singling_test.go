package export

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/dataplane/peer"
)

func TestINV16ClassPassesAtThresholdAndNotBelow(t *testing.T) {
	for _, c := range []struct{ subjects, released int }{{12, 0}, {13, 13}} {
		var in []Candidate
		for i := range c.subjects {
			in = append(in, Candidate{Class: "IE|IE|inbound", External: fmt.Sprintf("SU%d", i)})
		}
		// Anonymous callers and repeats make a class no larger.
		released, suppressed := SingleOut(in, 13)
		if len(released) != c.released {
			t.Errorf("%d subjects: %d rows released", c.subjects, len(released))
		}
		if c.released == 0 && (len(suppressed) != 1 || suppressed[0].Subjects != c.subjects || suppressed[0].Needed != 13) {
			t.Errorf("%d subjects: suppressed %+v", c.subjects, suppressed)
		}
	}
}

// The property: whatever comes in, every released class has enough distinct
// external subjects, no subject gives more than its bound, nothing is counted
// twice, and what is kept back is counted.
func TestINV16NoReleasedClassIsBelowThreshold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needed := rapid.IntRange(10, 16).Draw(t, "needed")
		n := rapid.IntRange(0, 400).Draw(t, "n")
		var in []Candidate
		perClass := map[string]map[string]int{}
		for range n {
			c := Candidate{Class: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "class")}
			if id := rapid.IntRange(0, 30).Draw(t, "subject"); id > 0 {
				c.External = fmt.Sprint(id)
			}
			in = append(in, c)
			if perClass[c.Class] == nil {
				perClass[c.Class] = map[string]int{}
			}
			perClass[c.Class][c.External]++
		}
		want := 0
		for _, subjects := range perClass {
			distinct := len(subjects)
			if subjects[""] > 0 {
				distinct--
			}
			if distinct < needed {
				continue
			}
			for _, rows := range subjects {
				want += min(rows, MaxRowsPerSubject)
			}
		}
		released, suppressed := SingleOut(in, needed)
		kept := 0
		for _, s := range suppressed {
			kept += s.Rows
		}
		if len(released) != want || len(released)+kept != n {
			t.Fatalf("released %d (want %d), kept %d of %d", len(released), want, kept, n)
		}
	})
}

// A recipient that makes calls of its own at known moments must not find those of
// others between them: within a class the rows stand in an order that has nothing to
// do with when the calls were.
func TestINV17_TheOrderOfRowsTellsNoTimes(t *testing.T) {
	r := newRegion(t)
	if err := r.round(); err != nil {
		t.Fatal(err)
	}
	r.after(window)
	for i := range 3 {
		r.ingest(fmt.Sprintf("calls-%d", i), 30, "IE")
	}
	r.after(2 * window)
	if err := r.round(); err != nil {
		t.Fatal(err)
	}
	if len(r.road.payloads) != 1 {
		t.Fatalf("%d transfers left, want one", len(r.road.payloads))
	}
	for _, payload := range r.road.payloads {
		rows, err := peer.Thawed([]byte(payload), 90)
		check(t, err)
		if !slices.IsSortedFunc(rows, func(a, b peer.Row) int { return strings.Compare(a.Row, b.Row) }) {
			t.Error("rows of a class crossed in the order in which their calls were acknowledged")
		}
	}
}
