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

// demand fails a long run in which a moment never came: then nothing is known of it.
func (d *deck) demand(t *testing.T, cuts int) {
	t.Helper()
	var never []string
	for _, m := range d.all {
		if !d.came[m.name] {
			never = append(never, m.name)
		}
	}
	if len(never) == 0 || *only != "" {
		return
	}
	say := t.Logf
	if cuts >= longRun {
		say = t.Errorf
	}
	say("the power never failed at %d of %d moments: %s", len(never), len(d.all), strings.Join(never, ", "))
}
