package gate

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/policy"
)

var rewrite = flag.Bool("rewrite", false, "write docs/operations/fail-closed.md instead of comparing")

// Columns of 04 §3 that nobody can ask for yet. They are printed as what they
// are and never count as passed.
const (
	noGrants = "not built (grants)"
	noMoves  = "not built (moves)"
)

const yes = policy.Reason("")

// world is what a condition changes: the injected clock's readings and the
// health of what a node stands on.
type world struct {
	*bundle
	o       *Options
	elapsed time.Duration
}

var failClosed = []struct {
	condition                            string
	set                                  func(*world)
	ingest, read, export, erase, subject policy.Reason // subject: what an export of a person asks for besides
}{
	{"control plane heard", func(*world) {}, yes, yes, yes, yes, yes},
	{"not heard for 59 s", func(w *world) { w.age = 59 * time.Second }, yes, yes, yes, yes, yes},
	{"not heard for 60 s", func(w *world) { w.age = 60 * time.Second }, yes, yes, policy.PolicyStale, yes, yes},
	{"not heard for just under 24 h", func(w *world) { w.age = 24*time.Hour - 1 }, yes, yes, policy.PolicyStale, yes, yes},
	{"not heard for 24 h", func(w *world) { w.age = 24 * time.Hour }, yes, policy.PolicyStale, policy.PolicyStale, yes, yes},
	{"last contact not known", func(w *world) { w.age = policy.AgeUnknown }, yes, policy.PolicyStale, policy.PolicyStale, yes, yes},
	{"policy's own bound of 10 s, not heard for 9 s", func(w *world) { w.bound(10); w.age = 9 * time.Second }, yes, yes, yes, yes, yes},
	{"policy's own bound of 10 s, not heard for 10 s", func(w *world) { w.bound(10); w.age = 10 * time.Second }, yes, yes, policy.PolicyStale, yes, yes},
	{"policy's own bound of 1 h, not heard for 60 s", func(w *world) { w.bound(3600); w.age = 60 * time.Second }, yes, yes, policy.PolicyStale, yes, yes},
	{"no bundle at all", func(w *world) { w.view = nil }, policy.NotReady, policy.NotReady, policy.NotReady, policy.NotReady, policy.NotReady},
	{"key service away", func(w *world) { w.o.Keys = broken }, yes, yes, policy.NotReady, yes, yes},
	{"key service away for just under 10 min", func(w *world) { w.o.Keys = broken; w.elapsed = policy.KeysFor - 1 }, yes, yes, policy.NotReady, yes, yes},
	{"key service away for 10 min", func(w *world) { w.o.Keys = broken; w.elapsed = policy.KeysFor }, policy.NotReady, policy.NotReady, policy.NotReady, policy.NotReady, policy.NotReady},
	{"ledger cannot be written, or hangs for 2 s", func(w *world) { w.o.Ledger = broken }, yes, yes, policy.NotReady, policy.NotReady, yes},
	{"disk 95 % full", func(w *world) { w.o.Disk = broken }, policy.StorageFull, yes, policy.StorageFull, yes, yes},
	{"wall clock jumped by more than 5 s", func(w *world) { w.suspect = true }, yes, yes, policy.PolicyStale, yes, yes},
}

func broken() error { return errors.New("broken") }

// bound gives the home tenant's policy another max_policy_staleness.
func (w *world) bound(s policy.Seconds) {
	list := rows()
	for i := range list {
		if t := list[i].Tenant; t != nil && t.ID == homeTenant {
			t.Policy.MaxStaleness = s
		}
	}
	v, err := feed.NewView(7, list)
	if err != nil {
		panic(err)
	}
	w.view = v
}

// TestFailClosed is the table of 04 §3, row by row, with the clock injected.
// What feeds each condition is tested where it stands: freshness and jumps in
// dataplane/feed (clock_test.go), the ledger's two seconds in dataplane/egress,
// the disk in dataplane. It prints the table, which docs/operations holds.
func TestFailClosed(t *testing.T) {
	var table strings.Builder
	table.WriteString("| condition | ingest | read own data | export | break-glass view | erasure, subject export | new tenant, move |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, row := range failClosed {
		t.Run(row.condition, func(t *testing.T) {
			v, err := feed.NewView(7, rows())
			if err != nil {
				t.Fatal(err)
			}
			w := &world{bundle: &bundle{view: v}}
			g, _ := testGate(t, func(o *Options) {
				w.o, o.Feed = o, w.bundle
				o.Elapsed = func() time.Duration { return w.elapsed }
				row.set(w)
			})
			then := w.elapsed
			w.elapsed = 0
			_, _ = g.Check(ask(policy.Ingest)) // the moment from which an absence counts
			w.elapsed = then
			var cells []string
			for _, c := range []struct {
				op   policy.Operation
				want policy.Reason
			}{{policy.Ingest, row.ingest}, {policy.View, row.read}, {policy.Export, row.export}, {policy.Erase, row.erase}, {policy.Process, row.subject}} {
				permit, err := g.Check(ask(c.op))
				if reasonOf(err) != c.want || (err == nil) == permit.Empty() {
					t.Errorf("%s: %v and permit %+v, want reason %q", c.op, err, permit, c.want)
				}
				cells = append(cells, cell(reasonOf(err)))
			}
			fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", row.condition, strings.Join(cells[:3], " | "), noGrants, together(cells[3], cells[4]), noMoves)
		})
	}
	g, _ := testGate(t, nil)
	for name, shown := range map[string]string{"credential of another region": full("us1", 77), "tenant moved away": full("ie1", 5)} {
		if _, err := g.Authenticate(Credential{Key: shown}); reasonOf(err) != policy.WrongRegion {
			t.Errorf("%s: %v", name, err)
		}
	}
	at := cell(policy.WrongRegion)
	fmt.Fprintf(&table, "| credential of another region, or tenant moved away | %s | %s | %s | %s | %s | %s |\n", at, at, at, noGrants, at, noMoves)
	t.Logf("04 §3, as measured:\n%s", table.String())
	if t.Failed() {
		return
	}
	compare(t, table.String())
}

// together is one cell for two: the export of a person asks for what erasing it
// asks for, too, because it must be witnessed as well.
func together(erase, export string) string {
	if export == cell(yes) {
		return erase
	}
	return "erasure " + erase + ", export " + export
}

// cell says how a refusal looks from outside.
func cell(r policy.Reason) string {
	if r == yes {
		return "yes"
	}
	return fmt.Sprintf("%d %s", api.MappingOf(r).HTTP, r)
}

const docsFile = "../../docs/operations/fail-closed.md"

func compare(t *testing.T, table string) {
	t.Helper()
	const begin, end = "<!-- from TestFailClosed: go test ./dataplane/gate -run FailClosed -rewrite -->\n", "<!-- end -->\n"
	raw, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), begin)
	old, tail, closed := strings.Cut(rest, end)
	switch {
	case !ok || !closed:
		t.Fatalf("%s does not hold the marks of the table", docsFile)
	case *rewrite:
		if err := os.WriteFile(docsFile, []byte(head+begin+table+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != table:
		t.Errorf("%s holds another table than was measured: run this test with -rewrite and review the difference", docsFile)
	}
}
