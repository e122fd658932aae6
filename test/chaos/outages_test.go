package chaos

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// What still works while something is broken, as the suite saw it. A run writes
// it as JSON (-chaos.result); the committed file of one run makes the table of
// docs/operations/outages.md.
var (
	resultFlag  = flag.String("chaos.result", "", "file for what still worked during each kind of fault, as JSON; empty writes none")
	rewriteFlag = flag.Bool("rewrite", false, "write docs/operations/outages.md anew from docs/operations/outages.json")
)

const (
	outageResult = "../../docs/operations/outages.json"
	outageTable  = "../../docs/operations/outages.md"
	runbooks     = "../../docs/operations/faults.md"
)

// outage is all faults of one kind together.
type outage struct {
	Faults   int     `json:"faults"`       // witnessed
	Seconds  float64 `json:"seconds"`      // how long something was broken
	Reads    int64   `json:"reads"`        // answered meanwhile
	Writes   int64   `json:"writes"`       // acknowledged meanwhile
	NoReads  int     `json:"no_reads"`     // faults during which no read was answered
	NoWrites int     `json:"no_writes"`    // faults during which no write was acknowledged
	Watches  int     `json:"watches_went"` // faults during which a region got news
	Healed   float64 `json:"healed"`       // seconds from the end of the fault to the first write, the longest
}

// outages by kind of fault.
type outages map[string]*outage

// outageRun says from which run the numbers are.
type outageRun struct {
	Date    string  `json:"date"`
	Form    string  `json:"form"` // short or long
	Seed    uint64  `json:"seed"`
	Faults  int     `json:"faults"`
	Seconds float64 `json:"seconds"`
	Cores   int     `json:"cores"`
	Kinds   outages `json:"kinds"`
}

// seen is what happened during one fault.
type seen struct {
	reads, writes int64
	watched       bool
}

// observe counts from now until the function that it gives is called.
func (n *nemesis) observe() func() seen {
	acked, reads := n.c.acked.Load(), n.c.reads.Load()
	at := make([]uint64, len(n.watchers))
	for i, x := range n.watchers {
		at[i], _ = x.at()
	}
	return func() seen {
		r := n.c.reads.Load() - reads
		s := seen{reads: r, writes: n.c.acked.Load() - acked - r}
		for i, x := range n.watchers {
			now, _ := x.at()
			s.watched = s.watched || now > at[i]
		}
		return s
	}
}

func (o outages) add(kind string, took time.Duration, s seen) {
	if o[kind] == nil {
		o[kind] = &outage{}
	}
	x := o[kind]
	x.Faults++
	x.Seconds += took.Seconds()
	x.Reads += s.reads
	x.Writes += s.writes
	if s.reads == 0 {
		x.NoReads++
	}
	if s.writes == 0 {
		x.NoWrites++
	}
	if s.watched {
		x.Watches++
	}
}

func (o outages) healed(kind string, after time.Duration) {
	if x := o[kind]; x != nil {
		x.Healed = max(x.Healed, after.Seconds())
	}
}

func (o outages) write(t *testing.T, seed uint64, faults int, lasted time.Duration) {
	t.Helper()
	if *resultFlag == "" {
		return
	}
	run := outageRun{Date: time.Now().UTC().Format(time.DateOnly), Form: "short", Seed: seed, Faults: faults, Seconds: lasted.Round(time.Second).Seconds(), Cores: runtime.NumCPU(), Kinds: o}
	if *faultsFlag > 0 {
		run.Form = "long"
	}
	raw, err := json.MarshalIndent(run, "", "  ")
	check(t, err)
	check(t, os.WriteFile(*resultFlag, append(raw, '\n'), 0o644))
}

// outageDocument is the table of one run.
func outageDocument(run outageRun) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# What still works when something is broken

Generated from a run of the chaos suite: the %s form of %s, seed %d, %d witnessed faults in %.0f s on %d cores, three voters, twelve clients that offer about 400 operations a second to voters at random. Do not edit: `+"`make outages`"+` after a run.
"Reads" and "writes" are those that were answered with what they asked for while the fault lasted, election included; a client that asks the wrong voter asks another. "No writes at all" counts faults during which none was acknowledged: they are refused, or their outcome is unknown and they are sent again with their Idempotency-Key. "News" says in how many faults at least one region's stream went on; a region that gets no news goes on by its last bundle ([BundleStale](alarms.md#bundlestale)).

| broken | faults | reads/s | writes/s | no reads at all | no writes at all | regions got news | first write after healing |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`, run.Form, run.Date, run.Seed, run.Faults, run.Seconds, run.Cores)
	for _, kind := range slices.Sorted(maps.Keys(run.Kinds)) {
		x := run.Kinds[kind]
		fmt.Fprintf(&b, "| [%s](faults.md#%s) | %d | %.0f | %.0f | %d | %d | %d | %.2f s |\n", kind, anchor(kind), x.Faults,
			float64(x.Reads)/x.Seconds, float64(x.Writes)/x.Seconds, x.NoReads, x.NoWrites, x.Watches, x.Healed)
	}
	b.WriteString("\nCall records are taken in during all of them: a region's node needs no voter for that (`domicile dev --demo`, step 9; `go test ./dataplane/gate`).\n")
	return b.Bytes()
}

// anchor is a heading's name in a link.
func anchor(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }

func TestOutagesAreThoseOfTheCommittedRun(t *testing.T) {
	raw, err := os.ReadFile(outageResult)
	check(t, err)
	var run outageRun
	check(t, json.Unmarshal(raw, &run))
	want := outageDocument(run)
	if *rewriteFlag {
		check(t, os.WriteFile(outageTable, want, 0o644))
		return
	}
	got, err := os.ReadFile(outageTable)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Error("docs/operations/outages.md is not what docs/operations/outages.json gives: run make outages")
	}
}

// The bound of invariant 42 on the first write after a fault has healed, held
// against the run that is committed: a run on another machine is not judged by the
// clock. That a write comes at all, and that voters are equal within 30 s, is what
// each run demands of itself (nemesis.recover).
func TestINV42_TheCommittedRunWroteSoonAfterEachFault(t *testing.T) {
	raw, err := os.ReadFile(outageResult)
	check(t, err)
	var run outageRun
	check(t, json.Unmarshal(raw, &run))
	faults := 0
	for _, f := range slices.Concat(networkFaults, processFaults, diskFaults, clockFaults, memberFaults) {
		x := run.Kinds[f.kind]
		if x == nil || x.Faults == 0 || x.Healed == 0 {
			t.Errorf("the run says nothing of %s", f.kind)
			continue
		}
		if faults += x.Faults; x.Healed > 5 {
			t.Errorf("after %s the first write took %.2f s, and 5 s are promised", f.kind, x.Healed)
		}
	}
	if run.Form != "long" || faults < 200 || faults != run.Faults {
		t.Errorf("the committed run is the %s form with %d faults (it says %d), want the long one with 200", run.Form, faults, run.Faults)
	}
}

func TestEveryFaultHasARunbook(t *testing.T) {
	text, err := os.ReadFile(runbooks)
	check(t, err)
	var kinds []string
	for _, f := range slices.Concat(networkFaults, processFaults, diskFaults, clockFaults, memberFaults) {
		kinds = append(kinds, f.kind)
	}
	if len(kinds) < 15 {
		t.Fatalf("only %d kinds of faults found", len(kinds))
	}
	for _, kind := range kinds {
		_, section, found := strings.Cut(string(text), "\n## "+kind+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found {
			t.Errorf("docs/operations/faults.md has no section %q", kind)
			continue
		}
		for _, part := range []string{"**You see**", "**Do**", "**Over when**", "**Do not**"} {
			if !strings.Contains(section, part) {
				t.Errorf("docs/operations/faults.md: %q does not say %s", kind, part)
			}
		}
	}
}
