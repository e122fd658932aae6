package power

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// longRun is how many cuts a run has at least in which every moment of a deck must come.
const longRun = 120

// deck deals moments like cards: none comes twice before each came once. One that did
// not end the process that was started for it comes again soon, at its first time.
type deck struct {
	draw  *rand.Rand
	all   []moment
	left  []moment        // that were not dealt in this turn
	last  bool            // only those are dealt that never came
	dealt moment          // the last one, "" when it came
	again []moment        // that did not come
	came  map[string]bool // at some time
}

func newDeck(draw *rand.Rand, all []moment) *deck {
	return &deck{draw: draw, all: all, came: map[string]bool{}}
}

// next deals a moment, and which of its times it is.
func (d *deck) next() (m moment, n int) {
	if d.dealt.name != "" {
		d.again = append(d.again, d.dealt)
	}
	if never := d.never(); d.last && len(never) > 0 {
		d.dealt = never[d.draw.IntN(len(never))]
		return d.dealt, 1
	}
	if len(d.again) > 0 && d.draw.IntN(2) == 0 {
		m, d.again = d.again[0], d.again[1:]
		d.dealt = m
		return m, 1
	}
	if len(d.left) == 0 {
		d.left = slices.Clone(d.all)
		d.draw.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	m, d.left = d.left[0], d.left[1:]
	d.dealt = m
	return m, 1 + d.draw.IntN(m.most)
}

// saw notes that the failpoint ended the process; it gives its name with its kind.
func (d *deck) saw(name string) string {
	d.came[name] = true
	d.again = slices.DeleteFunc(d.again, func(m moment) bool { return m.name == name })
	if d.dealt.name == name {
		d.dealt = moment{}
	}
	i := slices.IndexFunc(d.all, func(m moment) bool { return m.name == name })
	if i < 0 {
		return name
	}
	return d.all[i].kind + ": " + name
}

// never are the moments that did not come.
func (d *deck) never() []moment {
	return slices.DeleteFunc(slices.Clone(d.all), func(m moment) bool { return d.came[m.name] })
}

// wants reports whether a long run goes on after its cuts, for moments that never came.
func (d *deck) wants(n, cuts int) bool {
	const tries = 4 // of each
	d.last = n >= cuts
	return cuts >= longRun && *only == "" && len(d.never()) > 0 && n < cuts+tries*len(d.all)
}

// demand fails a long run in which a moment never came: then nothing is known of it.
func (d *deck) demand(t *testing.T, cuts int) {
	t.Helper()
	if len(d.never()) == 0 || *only != "" {
		return
	}
	var names []string
	for _, m := range d.never() {
		names = append(names, m.name)
	}
	say := t.Logf
	if cuts >= longRun {
		say = t.Errorf
	}
	say("the power never failed at %d of %d moments: %s", len(names), len(d.all), strings.Join(names, ", "))
}

// A deck deals each moment once before any twice, and what did not come at its first
// time; at the end of a long run it deals what never came.
func TestADeckDealsEveryMoment(t *testing.T) {
	d := newDeck(rand.New(rand.NewPCG(1, 2)), []moment{{"a", "x", 5}, {"b", "x", 5}, {"c", "x", 5}})
	dealt := map[string]int{}
	for range 30 {
		m, n := d.next()
		if dealt[m.name]++; dealt[m.name] == 1 && n > 5 || n < 1 {
			t.Fatalf("%s at its time %d", m.name, n)
		}
		if m.name != "b" {
			d.saw(m.name)
		}
	}
	if dealt["a"] < 3 || dealt["b"] < dealt["a"] || dealt["c"] < 3 {
		t.Errorf("dealt %v", dealt)
	}
	if !d.wants(longRun, longRun) || d.wants(1, 1) {
		t.Error("a long run does not go on for what never came, or a short one does")
	}
	if !d.wants(longRun, longRun) {
		t.Fatal("a long run ended")
	}
	if m, n := d.next(); m.name != "b" || n != 1 {
		t.Errorf("at the end %s at its time %d is dealt, and b never came", m.name, n)
	}
	if d.saw("b"); d.wants(longRun, longRun) {
		t.Error("a long run goes on when everything came")
	}
}
