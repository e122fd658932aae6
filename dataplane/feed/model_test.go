package feed

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/policy"
)

// variant is the i-th tenant in its n-th form: policies that differ, keys that
// come and go.
func variant(i, n int) policy.Row {
	row := bigRow(i)
	row.Tenant.Policy.Revision = uint64(n + 1)
	row.Tenant.Policy.MaxStaleness = policy.Seconds(1 + n%3)
	switch n % 4 {
	case 1:
		row.Tenant.Keys = nil
	case 2:
		k := row.Tenant.Keys[0]
		k.ID = policy.KeyID(fmt.Sprintf("SK%016x%016x", i+1, n))
		row.Tenant.Keys = append(row.Tenant.Keys, k)
	case 3:
		row.Tenant.State = policy.TenantSuspended
	}
	return row
}

// holds compares a view with a model of what it must hold, tenant by tenant.
func holds(t interface{ Fatalf(string, ...any) }, v *View, model map[int]int) {
	if v.tenants.Len() != len(model) || v.Set.Len() != len(model) {
		t.Fatalf("revision %d: %d tenants and %d rules, want %d", v.Revision, v.tenants.Len(), v.Set.Len(), len(model))
	}
	keys := 0
	for i, n := range model {
		want := variant(i, n).Tenant
		got, ok := v.Tenant(want.ID)
		rules, ruled := v.Set.Rules(want.ID)
		if !ok || !ruled || got.Slug != want.Slug || got.State != want.State || rules.State != want.State || rules.Revision != want.Policy.Revision ||
			rules.MaxStaleness != want.Policy.MaxStaleness.Duration() || rules.Tenant != want.ID {
			t.Fatalf("revision %d: tenant %d is %+v with %+v, want form %d", v.Revision, i, got, rules, n)
		}
		for _, k := range want.Keys {
			keys++
			if have, ok := v.Key(k.ID); !ok || have != k {
				t.Fatalf("revision %d: key %+v, want %+v", v.Revision, have, k)
			}
		}
	}
	if v.keys.Len() != keys {
		t.Fatalf("revision %d: %d keys, want %d", v.Revision, v.keys.Len(), keys)
	}
}

// TestINV32_DeltasAndSnapshotsAgreeWithAModel: any run of deltas, snapshots
// whose later parts correct earlier ones, gaps and tampered rows leaves what a
// plain map holds, and every earlier view as it was.
func TestINV32_DeltasAndSnapshotsAgreeWithAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m, model, n := newMillion(t), map[int]int{}, 0
		m.parts(t, 0, nil)
		var views []*View
		var models []map[int]int
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			change := func(key func(string), row func([]byte)) {
				for range rapid.IntRange(0, 8).Draw(rt, "rows") {
					i := rapid.IntRange(0, 20).Draw(rt, "tenant")
					r := variant(i, n)
					if _, twice := model[-1-i]; twice {
						continue
					}
					model[-1-i] = 0 // once in each push
					if delete(model, i); rapid.IntRange(0, 3).Draw(rt, "what") == 0 {
						m.state.Remove(r.RowKey())
						key(r.RowKey())
						continue
					}
					_, body, err := bundle.Encode(r)
					if err != nil {
						rt.Fatalf("%v", err)
					}
					m.state.Put(r.RowKey(), body)
					row(body)
					model[i] = n
				}
				maps.DeleteFunc(model, func(i, _ int) bool { return i < 0 })
			}
			n++
			if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
				m.again(rt, model, change)
			} else {
				d := &controlv1.Delta{FromRevision: m.revision}
				change(func(k string) { d.Removed = append(d.Removed, k) }, func(b []byte) { d.Rows = append(d.Rows, b) })
				m.revision++
				p := &controlv1.Push{Change: &controlv1.Push_Delta{Delta: d}}
				m.seal(p)
				m.refuses(rt, p)
				m.take(t, p)
			}
			holds(rt, m.replica.good.view, model)
			views, models = append(views, m.replica.good.view), append(models, maps.Clone(model))
		}
		for i := range views {
			holds(rt, views[i], models[i])
		}
	})
}

// refuses offers a delta over a gap, and one with a row that was not signed.
func (m *million) refuses(t *rapid.T, p *controlv1.Push) {
	before := m.replica.good
	d := p.GetDelta()
	d.FromRevision--
	if _, refused := m.replica.take(p); refused == nil || refused.reason != gap {
		t.Fatalf("a gap: %v", refused)
	}
	d.FromRevision++
	_, body, err := bundle.Encode(variant(99, 0))
	if err != nil {
		t.Fatalf("%v", err)
	}
	d.Rows = append(d.Rows, body)
	if _, refused := m.replica.take(p); refused == nil || refused.reason != badHash {
		t.Fatalf("a row that was not signed: %v", refused)
	}
	if d.Rows = d.Rows[:len(d.Rows)-1]; m.replica.good != before {
		t.Fatalf("a refused push changed what is served")
	}
}

// again sends a whole snapshot: parts of what the model holds, then what changes
// meanwhile, sealed at the end.
func (m *million) again(t *rapid.T, model map[int]int, change func(func(string), func([]byte))) {
	number := uint32(0)
	send := func(part *controlv1.SnapshotPart, last bool) {
		part.Number, part.Last = number, last
		number++
		p := &controlv1.Push{Revision: m.revision, Change: &controlv1.Push_Part{Part: part}}
		if last {
			m.revision++
			m.seal(p)
		}
		s, refused := m.replica.take(p)
		if refused != nil {
			t.Fatalf("%v", refused)
		}
		m.replica.commit(s)
	}
	first := &controlv1.SnapshotPart{}
	rows := []policy.Row{{Region: ptr(region("ie1", "eu"))}, {Region: ptr(region("us1", "us"))}}
	for i, n := range model {
		rows = append(rows, variant(i, n))
	}
	for _, r := range rows {
		_, body, err := bundle.Encode(r)
		if err != nil {
			t.Fatalf("%v", err)
		}
		first.Rows = append(first.Rows, body)
	}
	send(first, false)
	second := &controlv1.SnapshotPart{}
	change(func(k string) { second.Removed = append(second.Removed, k) }, func(b []byte) { second.Rows = append(second.Rows, b) })
	send(second, true)
}

func ptr[T any](v T) *T { return &v }

const childFolder = "DOMICILE_TEST_FEED_FOLDER"

// TestINV35_KilledWhilePersisting kills a process with SIGKILL while it makes
// deltas durable. What it had acknowledged is there afterwards, whole, with the
// state hash that was signed, and the floor holds.
func TestINV35_KilledWhilePersisting(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		persistForEver(t, dir)
		return
	}
	for round := range 4 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run", "^TestINV35_KilledWhilePersisting$")
		cmd.Env = append(os.Environ(), childFolder+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		acked, stop := uint64(0), uint64(5+rand.IntN(60))
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
				if acked, err = strconv.ParseUint(n, 10, 64); err != nil {
					t.Fatal(err)
				}
			}
			if acked >= stop {
				_ = cmd.Process.Kill() // in the middle of what follows
			}
		}
		_ = cmd.Wait()
		watchdog.Stop()
		if acked < stop {
			t.Fatalf("round %d: the process ended by itself at %d", round, acked)
		}
		f := reopen(t, dir)
		v := f.Current()
		if v == nil || v.Revision < acked || f.replica.floor < acked {
			t.Fatalf("round %d: revision %+v and floor %d after %d was acknowledged", round, v, f.replica.floor, acked)
		}
		holds(t, v, map[int]int{0: int(v.Revision), 1: 0, 2: 0})
		if f.replica.good.rows.Hash() != f.replica.good.hash {
			t.Fatalf("round %d: the state is not the one that was signed", round)
		}
	}
}

// reopen opens the feed of a folder that persistForEver left.
func reopen(t *testing.T, dir string) *Feed {
	t.Helper()
	w := newWorld(t)
	raw, err := os.ReadFile(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	if w.root, err = hex.DecodeString(string(raw)); err != nil {
		t.Fatal(err)
	}
	return openIn(t, w, dir)
}

func openIn(t *testing.T, w *world, dir string) *Feed {
	t.Helper()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: "ie1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	door, err := egress.New(egress.Options{Region: "ie1", Dir: filepath.Join(dir, "ledger")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.Close() })
	f, err := Open(Options{Region: "ie1", Material: w.dp, RootPublicKey: w.root, Dir: filepath.Join(dir, "feed"), Keys: keys, Door: door, ControlPlane: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// persistForEver is the child: it says a revision once it could acknowledge it.
func persistForEver(t *testing.T, dir string) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(dir, "root"), []byte(hex.EncodeToString(w.root)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, b := openIn(t, w, dir), w.book(0)
	for i := range 3 {
		b.put(variant(i, 0))
	}
	take := func(p *controlv1.Push) {
		if refused := f.handle(p); refused != nil {
			t.Fatal(refused)
		}
		fmt.Printf("acked %d\n", b.revision)
	}
	for _, p := range b.snapshot(1000) {
		take(p)
	}
	for i := 0; ; i++ { // until it is killed
		take(b.delta(nil, variant(0, int(b.revision+1))))
		var several []*controlv1.Push
		for range 2 + i%3 {
			several = append(several, b.delta(nil, variant(0, int(b.revision+1))))
		}
		if taken, refused := f.take(several); refused != nil || taken != len(several) {
			t.Fatal(taken, refused)
		}
		fmt.Printf("acked %d\n", b.revision)
	}
}
