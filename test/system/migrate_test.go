package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/move"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// removal is a region's node that moves to a database, and its operator.
type removal struct {
	t      *testing.T
	c      *testcluster.Cluster
	data   string // data_dir
	next   string // the configuration that it is to have
	region *client.Region
	load   *relay
	stop   chan struct{}
	all    sync.WaitGroup
}

func openRemoval(t *testing.T, database func() string, edits ...func(*dataplane.Config)) *removal {
	t.Helper()
	dir, err := os.MkdirTemp("", "move") // short, for the socket's path
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &removal{t: t, next: filepath.Join(dir, "next.yaml"), stop: make(chan struct{})}
	secret := t.TempDir()
	m.c = start(t, testcluster.Options{Dir: dir, Regions: []string{"ie1"}, EditRegion: func(_ *dev.Environment, c *dataplane.Config) error {
		if c.Region != "ie1" {
			return nil
		}
		m.data = c.DataDir
		c.Keys.RootFile = filepath.Join(secret, "root.key")
		to := *c
		for _, edit := range edits { // of the node as it is, and not as it is to be
			edit(c)
		}
		to.Media.Folder = filepath.Join(c.DataDir, "media")
		for what, into := range map[string]*dataplane.DatabaseConfig{"records": &to.Store.DatabaseConfig, "keys": {}} {
			into.DSNFile = filepath.Join(secret, what)
			if err := os.WriteFile(into.DSNFile, []byte(database()), 0o600); err != nil {
				return err
			}
			if what == "keys" {
				to.Keys.Database = into
			}
		}
		to.Store.Kind, to.Store.Connections = dataplane.SQLStore, 8
		text, err := yaml.Marshal(to)
		if err != nil {
			return err
		}
		return os.WriteFile(m.next, text, 0o600)
	}})
	_, m.region = place(t, m.c, "acme-ie", "ie1", "IE", nil)
	return m
}

// writers begin to send batches, each until it is acknowledged.
func (m *removal) writers(ctx context.Context, n int) {
	m.load = &relay{nodes: []*client.Region{m.region}, acknowledged: map[string]bool{}}
	for w := range n {
		m.all.Go(func() { m.load.run(ctx, w, m.stop) })
	}
}

func (m *removal) more(batches int) {
	m.t.Helper()
	before := m.load.count()
	until(m.t, 90*time.Second, "load", func() error { return atLeast(m.load.count()-before, batches*crashBatch) })
}

// settled ends the load and finds every acknowledged record once.
func (m *removal) settled(ctx context.Context) {
	m.t.Helper()
	close(m.stop)
	m.all.Wait()
	stored := everything(ctx, m.t, m.region)
	for id := range m.load.acknowledged {
		if stored[id] != 1 {
			m.t.Errorf("%s is there %d times", id, stored[id])
		}
	}
	m.t.Logf("%d records acknowledged, %d calls stored", len(m.load.acknowledged), len(stored))
}

// move runs a verb of `region migrate-store`.
func (m *removal) move(ctx context.Context, verb string, args ...string) (s dataplane.MoveStatus, errs string, code int) {
	m.t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "domicile-dataplane"), append([]string{"region", "migrate-store", verb, "--config", m.c.Process("ie1").Config(), "-o", "json"}, args...)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Errorf("%s: %v", verb, err)
	}
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &s); err != nil {
			m.t.Errorf("%s answers %s", verb, out.String())
		}
	}
	return s, stderr.String(), cmd.ProcessState.ExitCode()
}

func (m *removal) must(ctx context.Context, verb string, args ...string) dataplane.MoveStatus {
	m.t.Helper()
	s, errs, code := m.move(ctx, verb, args...)
	if code != 0 {
		m.t.Fatalf("%s: exit code %d\n%s", verb, code, errs)
	}
	return s
}

// refusedWith starts the node with a configuration that does not fit.
func (m *removal) refusedWith(ctx context.Context, config, says string) {
	m.t.Helper()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "domicile-dataplane"), "--config", config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), says) {
		m.t.Errorf("with %s: %v\n%s\nwant a refusal that says %q", filepath.Base(config), err, out, says)
	}
}

// adopt gives the node its new configuration and starts it.
func (m *removal) adopt(ctx context.Context) {
	m.t.Helper()
	text, err := os.ReadFile(m.next)
	check(m.t, err)
	check(m.t, os.WriteFile(m.c.Process("ie1").Config(), text, 0o600))
	m.begin(ctx)
}

func (m *removal) begin(ctx context.Context) {
	m.t.Helper()
	check(m.t, m.c.Process("ie1").Start())
	check(m.t, m.c.Process("ie1").WaitReady(ctx))
}

func (m *removal) erase(ctx context.Context, number string) string {
	m.t.Helper()
	var id string
	until(m.t, 60*time.Second, "the erasure is asked for", func() error {
		c, err := m.region.EraseSubject(ctx, data.SubjectRef{Number: number})
		id = c.ID
		return err
	})
	return id
}

func (m *removal) call(ctx context.Context, id, number string) data.Created {
	m.t.Helper()
	out, err := m.region.CreateCall(ctx, data.NewCall{NativeID: id, From: number, To: "+35315551234", Direction: "inbound", Status: "completed"})
	check(m.t, err)
	return out
}

// A region moves to its database under load. Every acknowledged record is there
// once; who is erased meanwhile stays erased; a hold stands; the log is the same
// log; receipts open; the configuration of before is refused.
func TestINV33_ARegionMovesToItsDatabaseUnderLoad(t *testing.T) {
	m := openRemoval(t, func() string { return postgres.Database(t) })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	const before, during = "+353865550101", "+353865550102"
	m.call(ctx, "before", before)
	m.call(ctx, "during", during)
	kept := m.call(ctx, "kept", "+353865550103")
	m.writers(ctx, 2)
	m.more(10)
	first := m.erase(ctx, before)
	var receipt data.Receipt
	until(t, 30*time.Second, "a receipt", func() (err error) { receipt, err = m.region.Receipt(ctx, kept.Receipt); return err })
	began, err := m.region.LogCheckpoint(ctx)
	check(t, err)
	m.refusedWith(ctx, m.next, "migrate-store")
	m.must(ctx, "check", "--to", m.next)

	m.must(ctx, "start", "--hold", "--to", m.next)
	second := m.erase(ctx, during)
	m.erased(ctx, map[string]string{during: second}) // a hold stands only against what has not begun
	held, err := m.region.PutHold(ctx, data.HoldRequest{Everybody: true, Reason: "LITIGATION"})
	check(t, err)
	m.more(5)
	if s := m.must(ctx, "status"); !s.Runs || s.Move.Phase != move.Following {
		t.Errorf("the move does not wait for switch: %+v", s)
	}
	s := m.must(ctx, "switch")
	if s.State != dataplane.MoveDone || s.Move.Report == nil || s.Move.Report.Rows == 0 || s.Move.Report.Pause <= 0 || !s.Keys.Destroyed {
		t.Fatalf("the report: %+v", s)
	}
	t.Logf("writers paused for %s; %d rows, %d later", s.Move.Report.Pause, s.Move.Report.Rows, s.Move.Report.Later)
	how, err := m.c.Process("ie1").WaitEnd(ctx)
	if check(t, err); how != nil {
		t.Errorf("the node ends with %v", how)
	}
	m.refusedWith(ctx, m.c.Process("ie1").Config(), "store.kind: sql")
	if tables, _ := filepath.Glob(filepath.Join(m.data, "keys", "table-*")); len(tables) > 0 {
		t.Errorf("the former key table is there: %v", tables)
	}

	m.adopt(ctx)
	m.more(5)
	m.settled(ctx)
	m.erased(ctx, map[string]string{before: first, during: second})
	holds, err := m.region.Holds(ctx, "")
	if check(t, err); len(holds.Holds) != 1 || holds.Holds[0].ID != held.ID {
		t.Errorf("holds: %+v", holds)
	}
	m.sameLog(ctx, began)
	if after, err := m.region.Receipt(ctx, kept.Receipt); err != nil || after.Statement != receipt.Statement || after.Index != receipt.Index {
		t.Errorf("a receipt of before: %+v, %v", after, err)
	}
	if s := m.must(ctx, "finish", "--remove"); s.State != dataplane.MoveDone {
		t.Errorf("finish: %+v", s)
	}
}

// erased makes sure that erasures are executed and nobody is found.
func (m *removal) erased(ctx context.Context, certificates map[string]string) {
	m.t.Helper()
	for number, id := range certificates {
		until(m.t, 90*time.Second, "an erasure is executed", func() error {
			got, err := m.region.Certificate(ctx, id)
			if err == nil && got.State == "pending" {
				err = fmt.Errorf("it is at step %s (%s)", got.Step, got.Problem)
			}
			return err
		})
		found, err := m.region.FindSubjects(ctx, data.SubjectRef{Number: number})
		if err == nil && len(found.Owners) > 0 || err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
			m.t.Errorf("the person is found: %+v, %v", found, err)
		}
	}
}

// sameLog makes sure that the log goes on under its name and verifies as a whole.
func (m *removal) sameLog(ctx context.Context, began data.Checkpoint) {
	m.t.Helper()
	d := desk{t: m.t, c: m.c, dir: m.t.TempDir()}
	until(m.t, 30*time.Second, "the log grows", func() error {
		now, err := m.region.LogCheckpoint(ctx)
		if err != nil {
			return err
		}
		origin, size := noteOf(m.t, now)
		was, had := noteOf(m.t, began)
		if origin != was {
			m.t.Fatalf("another log goes on: %s, after %s", now.Note, began.Note)
		}
		if size <= had {
			return fmt.Errorf("it has %d leaves, and had %d", size, had)
		}
		return nil
	})
	file, err := exec.CommandContext(ctx, filepath.Join(bin, "domicile-dataplane"), "log", "export", "--config", m.c.Process("ie1").Config()).Output()
	check(m.t, err)
	check(m.t, os.WriteFile(d.path("log.json"), file, 0o600))
	d.must("audit", "verify", "--region", "ie1", "--ca", m.c.Env.CAFile(), "--leaves", d.path("log.json"))
}

// noteOf reads origin and size of a checkpoint.
func noteOf(t *testing.T, c data.Checkpoint) (origin string, size int) {
	t.Helper()
	lines := strings.Split(c.Note, "\n")
	if len(lines) < 3 {
		t.Fatalf("the checkpoint is %q", c.Note)
	}
	size, err := strconv.Atoi(lines[1])
	check(t, err)
	return lines[0], size
}
