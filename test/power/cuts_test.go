package power

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

var (
	cuts    = flag.Int("power.cuts", 8, "how often the power of a region's node is cut")
	seed    = flag.Uint64("power.seed", 0, "repeats a run's choices; 0 draws one")
	records = flag.Int("power.records", 300, "how many records are acknowledged at least before the power is cut from outside")
	batch   = flag.Int("power.batch", 100, "how many records a batch has at most")
	only    = flag.String("power.only", "", "arms this failpoint alone")
)

// minRate is acknowledged operations (records, and what else is durable) per second of
// load below which a run shows nothing.
const minRate = 150

// cutter cuts the power of a node again and again.
type cutter struct {
	*testing.T
	s     *site
	books []*book // of the tenant to whom everything comes, and of the one whose records come alone
	loads []*load // likewise
	draw  *rand.Rand
	deck  *deck          // of the moments for which it is started
	by    map[string]int // cuts by moment

	off atomic.Bool // the power is being cut from outside

	worked, started, judged time.Duration
}

// The power of a node's disk fails at any moment: under load, within its
// recovery, at each of the moments of the source. What was acknowledged is there
// afterwards, once and whole; the counters are what the calls add up to; whoever
// was erased stays so; the node starts.
func TestINV33_PowerCutsOfARegion(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	s := openSite(t, siteOptions{volume: 3 << 30})
	sealed := map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed"}, "account_config": {Mode: "sealed"}, "recording": {Mode: "sealed"}}
	_, region := s.place("acme-ie", atHome(sealed))
	_, lone := s.place("lone-ie", atHome(sealed))
	short := maps.Clone(sealed)
	short["call_record"], short["recording"] = &controlv1.ClassRule{Mode: "sealed", Retention: 86400}, &controlv1.ClassRule{Mode: "sealed", Retention: 86400}
	_, aged := s.place(agedSlug, atHome(short))
	c := &cutter{T: t, s: s, draw: rand.New(rand.NewPCG(*seed, 2)), by: map[string]int{}}
	c.deck = newDeck(c.draw, slices.Concat(moments, engine))
	var judges []*judge
	for i, r := range []*client.Region{region, lone} {
		book, err := newBook(filepath.Join(s.dir, fmt.Sprintf("ledger%d", i)), *seed)
		check(t, err)
		book.dark = func() bool { return c.off.Load() || s.fired() }
		c.books = append(c.books, book)
		c.loads = append(c.loads, &load{s: s, book: book, region: r, aged: aged, draw: c.draw, largest: *batch, alone: i > 0})
		judges = append(judges, &judge{who: []string{"acme-ie", "lone-ie"}[i], s: s, book: book, region: r, aged: aged})
	}
	began := time.Now()
	for n := 0; n < *cuts || c.deck.wants(n, *cuts); n++ {
		c.work(n)
		sample := c.sample(n)
		c.judge(func() error {
			for _, j := range judges {
				for _, at := range sample {
					if err := j.round(j.book.rounds[at], at >= n-1); err != nil {
						return fmt.Errorf("%s: %w", j.who, err)
					}
				}
				if n%50 == 49 {
					if err := j.whole(); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if n%50 == 49 {
			t.Logf("%d cuts, %d records, %v", n+1, c.saved(), time.Since(began).Round(time.Second))
		}
	}
	c.judge(func() error {
		for _, j := range judges {
			for _, r := range j.book.rounds {
				if err := j.round(r, true); err != nil {
					return fmt.Errorf("%s: %w", j.who, err)
				}
			}
			if err := j.whole(); err != nil {
				return err
			}
		}
		return nil
	})
	c.report(time.Since(began))
}

// judge starts the node and asks what is there; a cut meanwhile makes it begin again.
func (c *cutter) judge(ask func() error) {
	for {
		if !c.s.node.Running() {
			began := time.Now()
			c.restart()
			c.started += time.Since(began)
		}
		began := time.Now()
		err := ask()
		c.judged += time.Since(began)
		if err == nil {
			return
		}
		if !c.s.fired() {
			c.Fatalf("seed %d, after cut %d: %v\n%s", *seed, len(c.books[0].rounds), err, c.s.tail())
		}
		check(c.T, c.s.reap())
	}
}

// atHome is a policy under which nothing leaves.
func atHome(classes map[string]*controlv1.ClassRule) *controlv1.PolicyRules {
	return &controlv1.PolicyRules{Classes: classes, Recipients: &controlv1.RecipientList{DenyAll: true},
		Egress: map[string]*controlv1.EgressRule{"CUSTOMER_API": {Effect: "allow", Basis: "NONE"}}}
}

// sample is the rounds that are judged after cut n: the last two, and one that is older.
func (c *cutter) sample(n int) []int {
	out := []int{n}
	if n > 0 {
		out = append(out, n-1, c.draw.IntN(n))
	}
	return out
}

// saved is how many records were acknowledged.
func (c *cutter) saved() (n int64) {
	for _, b := range c.books {
		n += b.saved.Load()
	}
	return n
}

// work loads the node and cuts its power: at a moment of the source when the
// node was started for one, else at any.
func (c *cutter) work(n int) {
	began, before := time.Now(), c.saved()
	for i, l := range c.loads {
		l.round = c.books[i].begin()
		l.begin()
	}
	defer func() {
		for _, l := range c.loads {
			l.end()
		}
		c.worked += time.Since(began)
	}()
	least := time.Duration(50+c.draw.IntN(400)) * time.Millisecond
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < least || c.saved()-before < int64(*records) {
		if c.s.fired() {
			check(c.T, c.s.reap())
			return
		}
		if time.Since(began) > startLimit {
			c.Fatalf("seed %d, cut %d: void: only %d records were acknowledged in %v", *seed, n, c.saved()-before, time.Since(began))
		}
		<-tick.C
	}
	where := "any"
	if c.draw.IntN(3) == 0 { // at an acknowledgement: whoever has just heard it pulls the plug
		where = "an acknowledgement heard"
		select {
		case <-c.loads[0].first:
		default:
		}
		select {
		case <-c.loads[0].first:
		case <-time.After(startLimit):
		}
	}
	if c.s.fired() {
		check(c.T, c.s.reap())
		return
	}
	c.off.Store(true)
	check(c.T, c.s.volume.CutPower())
	c.by[where]++
	// The node lives on for a moment, on a disk that is gone.
	<-time.After(time.Duration(c.draw.IntN(40)) * time.Millisecond)
	if err := c.s.node.Kill(); err != nil { // it may have ended by itself
		check(c.T, c.s.reap())
	}
}

// restart puts the power back on, and may cut it within the recovery.
func (c *cutter) restart() {
	for tries := 0; ; tries++ {
		if name := c.witnessed(); name != "" {
			c.by[name]++
		}
		check(c.T, c.s.volume.Restart())
		c.off.Store(false)
		m, n := moment{}, 1
		if tries < 3 {
			m, n = c.choose()
		}
		c.s.arm(m.name, "cut", n)
		err := c.s.start()
		if err == nil {
			return
		}
		if !c.s.fired() {
			c.Fatalf("seed %d, cut %d: the node does not start: %v\n%s", *seed, len(c.books[0].rounds), err, c.s.tail())
		}
		check(c.T, c.s.reap())
		c.by["within recovery"]++
	}
}

// choose draws the next moment, and which of the times that the node comes to it; a
// third of the time there is none.
func (c *cutter) choose() (m moment, n int) {
	if *only != "" {
		all := slices.Concat(moments, engine)
		m = all[slices.IndexFunc(all, func(m moment) bool { return m.name == *only })]
		return m, 1 + c.draw.IntN(m.most)
	}
	if !c.deck.last && c.draw.IntN(3) == 0 {
		return moment{}, 1
	}
	return c.deck.next()
}

// witnessed names the failpoint that ended the node, once.
func (c *cutter) witnessed() string {
	name, err := takeFile(c.s.witness)
	if err != nil {
		return ""
	}
	return c.deck.saw(name)
}

func (c *cutter) report(took time.Duration) {
	total, recovery := 0, c.by["within recovery"]
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(c.by)) {
		if name != "within recovery" {
			total += c.by[name]
		}
		lines = append(lines, fmt.Sprintf("%6d  %s", c.by[name], name))
	}
	var acks, late int64
	for _, b := range c.books {
		acks, late = acks+b.acks.Load(), late+b.late.Load()
	}
	rate := float64(c.saved()) / c.worked.Seconds()
	c.Logf("seed %d: %d cuts in %v, %d of them within recovery; %d records in %d acknowledged requests (%.0f records/s under load, %d clients); none lost, none twice, none partial; %d answers came when the power was off; %v of load, %v of restarts, %v of judging\n%s",
		*seed, total, took.Round(time.Second), recovery, c.saved(), acks, rate, clients, late, c.worked.Round(time.Second), c.started.Round(time.Second), c.judged.Round(time.Second), strings.Join(lines, "\n"))
	if rate < minRate {
		c.Errorf("void: %.0f records a second were acknowledged under load, and %d are needed", rate, minRate)
	}
	if total < *cuts {
		c.Error(errors.New("void: the power was not cut as often as it should have been"))
	}
	c.deck.demand(c.T, *cuts)
}
