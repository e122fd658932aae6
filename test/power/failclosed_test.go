package power

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/policy"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the table into docs/operations/fail-closed.md instead of comparing; with -power.all")
	allRows = flag.Bool("power.all", false, "also the conditions that take half a minute to come about")
)

func sealedClasses() map[string]*controlv1.ClassRule {
	return map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed"}, "account_config": {Mode: "sealed"}, "recording": {Mode: "sealed"}, "transcript": {Mode: "sealed"}}
}

// row is a condition of 04 §3, as a real node meets it.
type row struct {
	condition string
	name      string // of the subtest
	set       func(*doubt) (undo func())
	want      [5]policy.Reason // ingest, read own data, export, erasure, export of a person
	placed    bool             // new tenants can be placed
	slow      bool             // takes long to come about, or to go
}

const yes = policy.Reason("")

// doubt is a node, and a tenant of it whose policy lets pseudonyms leave.
type doubt struct {
	*testing.T
	s      *site
	region *client.Region
	liars  *liars
	n      int
}

var rows = []row{
	{"control plane heard", "Heard", func(*doubt) func() { return func() {} }, [5]policy.Reason{}, true, false},
	{"control plane not heard for 30 s", "Unheard30s", func(d *doubt) func() { return d.unheard(30 * time.Second) }, [5]policy.Reason{}, false, false},
	{"not heard for 90 s", "Unheard90s", func(d *doubt) func() { return d.unheard(90 * time.Second) }, [5]policy.Reason{2: policy.PolicyStale}, false, false},
	{"not heard for 25 h", "Unheard25h", func(d *doubt) func() { return d.unheard(25 * time.Hour) }, [5]policy.Reason{1: policy.PolicyStale, 2: policy.PolicyStale}, false, true},
	{"bundles with a bad signature, for 90 s", "BundleForged", func(d *doubt) func() { return d.lies(forged, "BAD_SIGNATURE") }, [5]policy.Reason{2: policy.PolicyStale}, true, true},
	{"bundles of before the floor, for 90 s", "BundleOld", func(d *doubt) func() { return d.lies(old, "BELOW_FLOOR") }, [5]policy.Reason{2: policy.PolicyStale}, true, true},
	{"key service away", "KeysAway", func(d *doubt) func() { return d.keysAway(0) }, [5]policy.Reason{2: policy.NotReady}, true, true},
	{"key service away for 11 min", "KeysAway11min", func(d *doubt) func() { return d.keysAway(11 * time.Minute) },
		[5]policy.Reason{policy.NotReady, policy.NotReady, policy.NotReady, policy.NotReady, policy.NotReady}, true, true},
	{"egress ledger hangs", "LedgerHangs", (*doubt).ledgerHangs, [5]policy.Reason{2: policy.NotReady, 3: policy.NotReady, 4: policy.NotReady}, true, true},
	{"egress ledger cannot be written", "LedgerRefuses", func(d *doubt) func() { return d.immutable("egress", egress.LedgerFile) },
		[5]policy.Reason{2: policy.NotReady, 3: policy.NotReady, 4: policy.NotReady}, true, false},
	{"erasure ledger cannot be written", "ErasureLedgerRefuses", func(d *doubt) func() { return d.immutable("erasures", "ledger.jsonl") },
		[5]policy.Reason{3: policy.NotReady, 4: policy.NotReady}, true, false},
	{"disk 96 % full", "Disk96", (*doubt).diskFills, [5]policy.Reason{0: policy.StorageFull, 2: policy.StorageFull}, true, false},
	{"wall clock jumped by 10 s", "ClockJumped", (*doubt).clockJumps, [5]policy.Reason{2: policy.PolicyStale}, true, false},
}

// TestFailClosedInProcesses meets each condition of 04 §3 with a real node, and
// prints the table that docs/operations/fail-closed.md holds.
func TestFailClosedInProcesses(t *testing.T) {
	if !chaos.HasClock() || !chaos.HasStrace() {
		t.Skip("SKIPPED: another process's clock and disk need root, Linux and strace")
	}
	between := &liars{}
	s := openSite(t, siteOptions{volume: 8 << 30, edit: func(env *dev.Environment, c *dataplane.Config) error {
		c.ExportInterval = time.Hour
		return between.between(t, env, c)
	}})
	check(t, s.node.Kill())
	s.arm("", "", 0)
	check(t, s.start())
	rules := atHome(sealedClasses())
	rules.Egress["PSEUDONYMISED_EXPORT"] = &controlv1.EgressRule{Effect: "allow", Basis: "PSEUDONYMISED-UC2"}
	rules.Recipients = &controlv1.RecipientList{List: []*controlv1.Recipient{{Id: "RP" + strings.Repeat("7", 32), Region: "us1", Purpose: "analytics",
		AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: timestamppb.New(time.Now().Add(365 * 24 * time.Hour))}}}
	_, region := s.place("acme-ie", rules)
	d := &doubt{T: t, s: s, region: region, liars: between}
	measured := map[string]string{}
	for _, r := range rows {
		if t.Failed() {
			break // one that does not become well again tells nothing of the next
		}
		if r.slow && !*allRows {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			d := &doubt{T: t, s: s, region: region, liars: between, n: d.n + 1}
			d.calm()
			undo := r.set(d)
			defer undo()
			measured[r.condition] = d.measure(&r)
		})
		d.n++
	}
	t.Run("WrongRegion", func(t *testing.T) {
		stranger := &doubt{T: t, s: s, region: s.Region("ie1", strings.Replace(region.Key, "sk_ie1_", "sk_us1_", 1))}
		for i, ask := range stranger.asks() {
			if err := ask(); reason(err) != policy.WrongRegion {
				t.Errorf("column %d: %v", i, err)
			}
		}
	})
	if t.Failed() || !*allRows {
		return
	}
	var table strings.Builder
	table.WriteString("| condition | test | ingest | read own data | export | erasure | export of a person | new tenant |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&table, "| %s | `TestFailClosedInProcesses/%s` | %s |\n", r.condition, r.name, measured[r.condition])
	}
	at := cell(policy.WrongRegion)
	fmt.Fprintf(&table, "| credential of another region | `TestFailClosedInProcesses/WrongRegion` | %s | %s | %s | %s | %s | |\n", at, at, at, at, at)
	compare(t, table.String())
}

// calm waits until the node answers as it should when nothing is wrong.
func (d *doubt) calm() {
	d.Helper()
	until(d.T, startLimit, "the node is well", func() error {
		for i, ask := range d.asks() {
			if err := ask(); err != nil {
				return fmt.Errorf("question %d: %w", i, err)
			}
		}
		return nil
	})
}

// asks are the questions of a row, in the order of its columns.
func (d *doubt) asks() []func() error {
	within := func(f func(context.Context) error) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			return f(ctx)
		}
	}
	number := fmt.Sprintf("+35387%07d", d.n)
	return []func() error{
		within(func(ctx context.Context) error {
			d.n += 100
			_, err := d.region.CreateCall(ctx, newCall(fmt.Sprint("doubt", d.n)))
			return err
		}),
		within(func(ctx context.Context) error { _, err := d.region.Calls(ctx, client.Filter{PageSize: 1}); return err }),
		within(func(ctx context.Context) error { _, err := d.region.RunExports(ctx); return err }),
		within(func(ctx context.Context) error {
			_, err := d.region.EraseSubject(ctx, data.SubjectRef{Number: number})
			return err
		}),
		within(func(ctx context.Context) error {
			body, err := d.region.ExportSubject(ctx, data.SubjectExport{SubjectRef: data.SubjectRef{Number: "+353861234567"}})
			if err == nil {
				_, err = io.Copy(io.Discard, body)
				err = errors.Join(err, body.Close())
			}
			return err
		}),
	}
}

// measure asks every question of a row until the answers are the wanted ones, once
// all together, and says what they were.
func (d *doubt) measure(r *row) string {
	d.Helper()
	var cells []string
	until(d.T, startLimit, r.condition, func() error {
		cells = nil
		var wrong error
		for i, ask := range d.asks() {
			err := ask()
			if got := reason(err); got != r.want[i] {
				wrong = errors.Join(wrong, fmt.Errorf("column %d: %w, want %q", i, errors.Join(err, errors.New(string(got))), r.want[i]))
			}
			cells = append(cells, cell(reason(err)))
		}
		return wrong
	})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	place := "no"
	if r.placed {
		ctx, cancel = context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		place = "yes"
	}
	_, err := d.s.Control("cp1").CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "t" + strings.ToLower(r.name[:4]) + "-x" + fmt.Sprint(len(r.condition)), HomeRegion: "ie1", BillingCountry: "IE"})
	if (err == nil) != r.placed {
		d.Errorf("a new tenant: %v", err)
	}
	return strings.Join(append(cells, place), " | ")
}

func reason(err error) policy.Reason {
	if err == nil {
		return yes
	}
	var e *policy.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return "ERROR"
}

// cell says how an answer looks from outside.
func cell(r policy.Reason) string {
	if r == yes {
		return "yes"
	}
	return fmt.Sprintf("%d %s", api.MappingOf(r).HTTP, r)
}

func (d *doubt) sleep(by time.Duration) {
	d.Helper()
	check(d.T, os.WriteFile(d.s.slept, []byte(by.String()), 0o600))
}

// unheard pauses all voters and lets time go by on the node.
func (d *doubt) unheard(by time.Duration) func() {
	d.s.voters(syscall.SIGSTOP)
	d.sleep(by)
	return func() { d.sleep(0); d.s.voters(syscall.SIGCONT) }
}

// keysAway moves the root key away. The keyring notices when it next asks for it.
func (d *doubt) keysAway(by time.Duration) func() {
	root := filepath.Join(d.s.data, "keys", "root.key")
	check(d.T, os.Rename(root, root+".away"))
	until(d.T, 2*startLimit, "the keyring misses its root key", func() error {
		if _, err := d.region.RunExports(context.Background()); reason(err) != policy.NotReady {
			return fmt.Errorf("exports answer %v", err)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	person := newCall(fmt.Sprint("away", by))
	person.From = "+353879999999"
	_, err := d.region.CreateCall(ctx, person)
	check(d.T, err)
	taken, err := d.region.EraseSubject(ctx, data.SubjectRef{Number: person.From}) // while the keys that are held live
	check(d.T, err)
	d.sleep(by)
	return func() {
		check(d.T, os.Rename(root+".away", root))
		d.sleep(0)
		until(d.T, 2*startLimit, "the erasure that was taken goes on", func() error {
			c, err := d.region.Certificate(context.Background(), taken.ID)
			if err == nil && c.State == "pending" {
				err = fmt.Errorf("it is pending at %s %s", c.Step, c.Problem)
			}
			return err
		})
	}
}

// lies lets the node hear nothing but one kind of lie, until the control plane knows
// that it refuses, and then lets time go by.
func (d *doubt) lies(what lie, reason string) func() {
	d.liars.say(what)
	control := d.s.Control("cp1")
	_, err := control.CreateTenant(context.Background(), &controlv1.CreateTenantRequest{Slug: "lied-" + strings.ToLower(d.Name()[strings.LastIndex(d.Name(), "/")+1:]), HomeRegion: "ie1", BillingCountry: "IE"})
	check(d.T, err)
	until(d.T, 2*startLimit, "a violation is raised", func() error {
		if err := d.liars.lied(); err != nil {
			return err
		}
		list, err := control.Violations(context.Background(), "open")
		for _, v := range list {
			if v.GetCategory() == "ENCRYPTION" && v.GetCause() == reason {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("of %d open violations none says %s", len(list), reason))
	})
	d.sleep(90 * time.Second)
	return func() { d.liars.say(honest); d.sleep(0) }
}

// immutable makes a file of the node's and its folder such that nobody can write
// them, root neither, who only reads them: what is open fails too (ext4).
func (d *doubt) immutable(folder, file string) func() {
	paths := []string{filepath.Join(d.s.data, folder, file), filepath.Join(d.s.data, folder)}
	change := func(to string) {
		if out, err := exec.Command("chattr", append([]string{to}, paths...)...).CombinedOutput(); err != nil {
			d.Fatalf("chattr %s: %v %s", to, err, out)
		}
	}
	change("+i")
	return func() { change("-i") }
}

func (d *doubt) ledgerHangs() func() {
	w, err := chaos.Hang(context.Background(), d.s.node.PID(), filepath.Join(d.s.dir, "hang"), filepath.Join(d.s.data, "egress", egress.LedgerFile))
	check(d.T, err)
	return func() { check(d.T, w.End()) }
}

func (d *doubt) diskFills() func() {
	var fs unix.Statfs_t
	dir := filepath.Dir(d.s.data)
	check(d.T, unix.Statfs(dir, &fs))
	free, total := fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize)
	path := filepath.Join(dir, "ballast")
	if out, err := exec.Command("fallocate", "-l", fmt.Sprint(free-total*4/100), path).CombinedOutput(); err != nil {
		d.Fatalf("fill the disk: %v %s", err, out)
	}
	return func() { check(d.T, os.Remove(path)) }
}

func (d *doubt) clockJumps() func() {
	c, err := chaos.JumpClock(d.s.node.PID(), 10*time.Second)
	check(d.T, err)
	return func() { check(d.T, c.End()) }
}

const docsFile = "../../docs/operations/fail-closed.md"

func compare(t *testing.T, table string) {
	t.Helper()
	const begin, end = "<!-- from TestFailClosedInProcesses: go test ./test/power -run FailClosed -power.all -rewrite -->\n", "<!-- end of processes -->\n"
	raw, err := os.ReadFile(docsFile)
	check(t, err)
	head, rest, ok := strings.Cut(string(raw), begin)
	old, tail, closed := strings.Cut(rest, end)
	switch {
	case !ok || !closed:
		t.Fatalf("%s does not hold the marks of the table", docsFile)
	case *rewrite:
		check(t, os.WriteFile(docsFile, []byte(head+begin+table+end+tail), 0o644))
	case old != table:
		t.Errorf("%s holds another table than was measured: run this test with -rewrite and review the difference\n%s", docsFile, table)
	}
}
