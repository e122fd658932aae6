package system

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// upgrade is a control plane of which each voter runs either of two releases that
// differ in their protocol version.
type upgrade struct {
	t       *testing.T
	c       *testcluster.Cluster
	load    *rolling
	configs map[string]controlplane.Config
	program map[uint32]string // by protocol version
}

// By default both are built from this source, and differ in nothing but the version
// that they announce. make upgrade-from builds the older one from an earlier revision.
var upgradeFrom = flag.String("upgrade.from", "", "revision (commit or tag) whose source the older voter is built from; empty: this source")

// earlier builds a voter from a revision's source, told which version it speaks, and
// gives its folder.
func earlier(t *testing.T, revision string, version uint32) string {
	t.Helper()
	source, dir := t.TempDir(), t.TempDir()
	run := func(script string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "sh", append([]string{"-ec", script, "sh"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("build a voter from %s: %v\n%s", revision, err, out)
		}
	}
	archive := filepath.Join(dir, "source.tar")
	run(`cd "$(dirname "$(go env GOMOD)")" && git archive --output "$1" "$2" && tar -xf "$1" -C "$3" && rm "$1"`, archive, revision, source)
	run(`cd "$1" && go build -ldflags "-X github.com/domicile-io/domicile/controlplane.protocolVersion=$2" -o "$3" ./cmd/domicile-controlplane`,
		source, strconv.FormatUint(uint64(version), 10), dir+string(filepath.Separator))
	return dir
}

// The whole life of an upgrade, under load, with real processes: to the next
// release and back while the gate is kept shut, then for good.
func TestRollingUpgradeThereAndBackAndForGood(t *testing.T) {
	old := uint32(controlplane.ProtocolVersion())
	next := old + 1
	older := bin
	if *upgradeFrom != "" {
		older = earlier(t, *upgradeFrom, old)
	}
	u := &upgrade{t: t, configs: map[string]controlplane.Config{},
		program: map[uint32]string{old: filepath.Join(older, "domicile-controlplane"), next: filepath.Join(t.TempDir(), "domicile-controlplane-next")}}
	check(t, testcluster.BuildVoter(t.Context(), u.program[next], int(next)))
	u.c = start(t, testcluster.Options{Bin: older, Only: testcluster.ControlPlane, EditVoter: func(_ *dev.Environment, c *controlplane.Config) error {
		c.Autopilot.KeepVersion = true
		u.configs[c.Name] = *c
		return nil
	}})
	u.wait("the voters have announced themselves", func(m *controlv1.ListMembersResponse) error { return u.speaks(m, old, old) })
	load, b := startRolling(t, u.c)
	u.load = load

	u.roll(old, next)
	u.staysShut(old, next)
	u.roll(next, old)
	for name, config := range u.configs {
		config.Autopilot.KeepVersion = false
		text, err := yaml.Marshal(config)
		check(t, err)
		check(t, os.WriteFile(u.c.Process(name).Config(), text, 0o600))
	}
	u.roll(old, next)
	u.wait("the gate opens", func(m *controlv1.ListMembersResponse) error { return u.speaks(m, next, next) })
	u.refusesTheOld("cp2", old, next)

	load.end()
	for _, err := range load.failed {
		t.Errorf("a request failed: %v", err)
	}
	for _, what := range b.forbidden {
		t.Errorf("an answer that an upgrade must not cause: %s", what)
	}
	for slug, id := range load.made {
		if x, err := load.control.Tenant(t.Context(), slug); err != nil || x.GetId() != id {
			t.Errorf("%s was acknowledged as %s and is %s, %v", slug, id, x.GetId(), err)
		}
	}
	t.Logf("%d tenants made and read; refused and repeated: %v; voters passed over: %d", len(load.made), b.refusals, b.passed)
	u.equal()
}

// roll installs a release on one voter after the other, the leader last.
func (u *upgrade) roll(from, to uint32) {
	u.t.Helper()
	var leader string
	u.wait("a leader", func(m *controlv1.ListMembersResponse) error {
		for _, x := range m.GetMembers() {
			if x.GetLeader() {
				leader = x.GetName()
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	var order []string
	for _, v := range u.c.Env.Voters() {
		if v != leader {
			order = append(order, v)
		}
	}
	for i, v := range append(order, leader) {
		if v == leader {
			until(u.t, time.Minute, "leadership goes to "+order[0], func() error {
				_, err := u.load.control.ChangeMember(u.t.Context(), order[0], "transferLeadership")
				return err
			})
		}
		p := u.c.Process(v)
		check(u.t, p.Stop())
		p.Install(u.program[to])
		u.startup(v)
		u.wait(v+" speaks and is well", func(m *controlv1.ListMembersResponse) error {
			left := 0
			for _, x := range m.GetMembers() {
				if x.GetHealth() != "ok" || x.GetName() == v && x.GetVersion() != to {
					return fmt.Errorf("%s is %s and speaks %d", x.GetName(), x.GetHealth(), x.GetVersion())
				}
				if x.GetVersion() == from {
					left++
				}
			}
			if want := len(order) - i; left != want {
				return fmt.Errorf("%d members speak %d, want %d", left, from, want)
			}
			return nil
		})
		before := u.load.count()
		until(u.t, time.Minute, "load with "+v+" on the other release", func() error {
			if n := u.load.count() - before; n < 30 {
				return fmt.Errorf("only %d tenants", n)
			}
			return nil
		})
	}
}

func (u *upgrade) startup(v string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), time.Minute)
	defer cancel()
	check(u.t, u.c.Process(v).Start())
	check(u.t, u.c.Process(v).WaitReady(ctx))
}

// wait asks for the members until they are as they should be.
func (u *upgrade) wait(what string, ok func(*controlv1.ListMembersResponse) error) {
	u.t.Helper()
	until(u.t, time.Minute, what, func() error {
		m, err := u.c.Control("cp1").Members(u.t.Context())
		if err != nil {
			return err
		}
		return ok(m)
	})
}

// speaks checks what each member speaks and what the cluster has reached.
func (u *upgrade) speaks(m *controlv1.ListMembersResponse, each, reached uint32) error {
	if len(m.GetMembers()) != 3 || m.GetVersion() != reached {
		return fmt.Errorf("%d members, version %d", len(m.GetMembers()), m.GetVersion())
	}
	for _, x := range m.GetMembers() {
		if x.GetVersion() != each || x.GetHealth() != "ok" {
			return fmt.Errorf("%s speaks %d and is %s", x.GetName(), x.GetVersion(), x.GetHealth())
		}
	}
	return nil
}

// staysShut sees that the leader, which has heard from everybody that the next
// version is spoken, twice and more, does not raise the cluster's.
func (u *upgrade) staysShut(old, next uint32) {
	u.t.Helper()
	heard := map[string]time.Time{}
	times := map[string]int{}
	u.wait("every member has announced itself three times", func(m *controlv1.ListMembersResponse) error {
		if err := u.speaks(m, next, old); err != nil {
			return err
		}
		for _, x := range m.GetMembers() {
			if at := x.GetLastContact().AsTime(); at.After(heard[x.GetName()]) {
				heard[x.GetName()] = at
				times[x.GetName()]++
			}
			if times[x.GetName()] < 3 {
				return fmt.Errorf("announced: %v", times)
			}
		}
		return nil
	})
}

// refusesTheOld starts the old program where the gate has opened: it says why it
// does not work, with an exit code of its own, and the others go on.
func (u *upgrade) refusesTheOld(v string, old, next uint32) {
	u.t.Helper()
	p := u.c.Process(v)
	check(u.t, p.Stop())
	before, err := os.ReadFile(p.Log())
	check(u.t, err)
	p.Install(u.program[old])
	check(u.t, p.Start())
	ctx, cancel := context.WithTimeout(u.t.Context(), time.Minute)
	defer cancel()
	how, err := p.WaitEnd(ctx)
	check(u.t, err)
	var exit *exec.ExitError
	if !errors.As(how, &exit) || exit.ExitCode() != 5 {
		u.t.Errorf("the old program ended with %v, want exit code 5", how)
	}
	after, err := os.ReadFile(p.Log())
	check(u.t, err)
	says := fmt.Sprintf("this program speaks protocol version %d and the cluster has reached %d: install the release that the other members run", old, next)
	if said := string(after[len(before):]); !strings.Contains(said, says) {
		u.t.Errorf("the old program does not say %q:\n%s", says, said)
	}
	count := u.load.count()
	until(u.t, time.Minute, "load without "+v, func() error {
		if u.load.count() < count+10 {
			return errors.New("nothing is made")
		}
		return nil
	})
	p.Install(u.program[next])
	u.startup(v)
	u.wait("all are well", func(m *controlv1.ListMembersResponse) error { return u.speaks(m, next, next) })
}

// equal stops the voters when they stand at one revision, and compares their states.
func (u *upgrade) equal() {
	u.t.Helper()
	u.wait("one revision", func(m *controlv1.ListMembersResponse) error {
		for _, x := range m.GetMembers() {
			if x.GetRevision() != m.GetMembers()[0].GetRevision() || x.GetBehind() > 0 {
				return fmt.Errorf("%s is at %d, %d behind", x.GetName(), x.GetRevision(), x.GetBehind())
			}
		}
		return nil
	})
	hashes := map[string]string{}
	for _, v := range u.c.Env.Voters() {
		check(u.t, u.c.Process(v).Stop())
	}
	for name, config := range u.configs {
		s, err := store.Open(store.Options{Path: filepath.Join(config.DataDir, "state.db")})
		check(u.t, err)
		hash, index, err := s.StateHash()
		check(u.t, errors.Join(err, s.Close()))
		hashes[name] = hash
		u.t.Logf("%s: entry %d, %.16s…", name, index, hash)
	}
	if hashes["cp1"] != hashes["cp2"] || hashes["cp1"] != hashes["cp3"] {
		u.t.Errorf("INV32: the states differ: %v", hashes)
	}
}
