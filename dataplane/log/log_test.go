package log

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

const (
	cluster = "CL00000000000000000000000000000001"
	node    = policy.NodeID("ND00000000000000000000000000000001")
)

// region is one node's store and log, in folders that a test can copy.
type region struct {
	t    testing.TB
	dir  string
	keys *local.Keyring
	s    *localstore.Store
	log  *Log
	hang *hanging
}

// hanging is a store whose log can be made to hang or to fail.
type hanging struct {
	*localstore.Store
	mu     sync.Mutex
	gate   chan struct{} // nil: it does not hang
	broken error
}

func (h *hanging) wait() error {
	h.mu.Lock()
	gate, broken := h.gate, h.broken
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return broken
}

func (h *hanging) set(gate chan struct{}, broken error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate, h.broken = gate, broken
}

func (h *hanging) LogWritable(ctx context.Context) error {
	return errors.Join(h.wait(), h.Store.LogWritable(ctx))
}

func (h *hanging) Enter(ctx context.Context, e store.Entering) error {
	if err := h.wait(); err != nil {
		return err
	}
	return h.Store.Enter(ctx, e)
}

func open(t testing.TB, dir string) *region {
	t.Helper()
	r := &region{t: t, dir: dir}
	var err error
	if r.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: "ie1"}); err != nil {
		t.Fatal(err)
	}
	if r.s, err = localstore.Open(localstore.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: r.keys, Room: func(time.Time) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	r.hang = &hanging{Store: r.s}
	r.log, err = Open(Options{Store: r.hang, Keys: r.keys, Cluster: cluster, Region: storetest.Region, Node: node, Dir: filepath.Join(dir, "log"), Patience: 100 * time.Millisecond,
		Certify: func(statement []byte) ([]byte, string, error) { return statement, "a certificate", nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *region) close() {
	if r.s == nil {
		return
	}
	if err := errors.Join(r.s.Close(), r.keys.Close()); err != nil {
		r.t.Error(err)
	}
	r.s = nil
}

func (r *region) round() {
	r.t.Helper()
	if err := r.log.Round(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) append(tenant policy.TenantID, n ...int) []store.Appended {
	r.t.Helper()
	recs := make([]record.Record, len(n))
	for i := range n {
		recs[i] = storetest.Native(n[i])
	}
	out, err := r.s.Append(context.Background(), storetest.Permit(r.t, tenant, policy.Ingest), recs)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *region) checkpoint() (data.Checkpoint, verify.Key, verify.Checkpoint) {
	r.t.Helper()
	head, err := r.s.LogHead(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	form, _, err := r.log.Checkpoint(context.Background(), head.Size)
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := verify.ParseKey(form.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	point, err := verify.Open([]byte(form.Note), key)
	if err != nil {
		r.t.Fatal(err)
	}
	return form, key, point
}

// verified has the whole log verified by the package that shares no code with it.
func (r *region) verified(points ...verify.Checkpoint) []data.LogLeaf {
	r.t.Helper()
	_, _, newest := r.checkpoint()
	log, err := verify.NewLog(append(points, newest)...)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []data.LogLeaf
	for start := uint64(0); ; {
		page, err := r.log.Leaves(context.Background(), "", start, 3)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, l := range page.Leaves {
			if err := log.Add([]byte(l.Leaf)); err != nil {
				r.t.Fatal(err)
			}
			leaf, err := verify.ParseLeaf([]byte(l.Leaf))
			if sum := sha256.Sum256([]byte(l.Detail)); err != nil || leaf.Command != hex.EncodeToString(sum[:]) {
				r.t.Fatalf("leaf %d does not commit to its detail: %v", l.Index, err)
			}
		}
		all = append(all, page.Leaves...)
		if start = page.NextStart; start == 0 {
			break
		}
	}
	if err := log.Done(); err != nil {
		r.t.Fatal(err)
	}
	return all
}

func entry(action string) store.Entry {
	return store.Entry{Action: action, Resource: "LH00000000000000000000000000000001", Tenant: storetest.TenantA, Detail: []byte(`{"reason":"REGULATOR"}`)}
}

// What a region did, in the order of its log, is verified by the independent
// verifier, also after the log has grown and the node was restarted.
func TestINV26_RegionsLogIsVerified(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	r.append(storetest.TenantA, 1, 2, 3)
	r.append(storetest.TenantB, 1)
	if err := r.log.Note(context.Background(), entry("hold.put")); err != nil {
		t.Fatal(err)
	}
	r.round()
	_, _, before := r.checkpoint()
	r.close()
	r = open(t, dir)
	for range 300 { // more than a block of the tree
		if err := r.s.Note(context.Background(), entry("hold.release")); err != nil {
			t.Fatal(err)
		}
	}
	r.round()
	all := r.verified(before)
	var actions []string
	for _, l := range all {
		leaf, err := verify.ParseLeaf([]byte(l.Leaf))
		if err != nil {
			t.Fatal(err)
		}
		actions = append(actions, leaf.Action)
	}
	if len(all) != 304 || strings.Join(actions[:5], " ") != "log.begin hold.put receipt.batch receipt.batch hold.release" {
		t.Fatalf("%d leaves, beginning %v", len(all), actions[:5])
	}
	proof, err := r.log.Consistency(context.Background(), before.Size, 0)
	if err != nil || len(proof.Hashes) == 0 {
		t.Fatalf("consistency: %+v, %v", proof, err)
	}
	p, err := r.log.Prove(context.Background(), storetest.TenantA, 200)
	if err != nil || p.Index != 200 {
		t.Fatalf("proof: %+v, %v", p, err)
	}
	if _, err := r.log.Prove(context.Background(), storetest.TenantB, 200); !isReason(err, policy.NotFound) {
		t.Fatalf("another tenant's leaf was proved: %v", err)
	}
	if page, err := r.log.Leaves(context.Background(), storetest.TenantB, 0, 100); err != nil || len(page.Leaves) != 1 {
		t.Fatalf("tenant B sees %+v, %v", page, err)
	}
}

func (r *region) receipt(id string) verify.Receipt {
	r.t.Helper()
	form, err := r.log.Receipt(context.Background(), storetest.TenantA, id, func(ctx context.Context, writer [16]byte, part store.BatchPart) ([]store.Opened, error) {
		return r.s.Opened(ctx, storetest.Permit(r.t, storetest.TenantA, policy.View), writer, part)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := json.Marshal(form)
	if err != nil {
		r.t.Fatal(err)
	}
	var out verify.Receipt
	if err := json.Unmarshal(raw, &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// A receipt proves what was stored; after a record of it was erased it still
// proves that, and opens nothing.
func TestReceiptsProveWhatWasStored(t *testing.T) {
	r := open(t, t.TempDir())
	first := r.append(storetest.TenantA, 1)
	var many []int
	for n := range 1500 { // several frames
		many = append(many, 10+n)
	}
	batch := r.append(storetest.TenantA, many...)
	r.append(storetest.TenantA, 3)
	for _, c := range []struct {
		out   []store.Appended
		count int
		n     []int
	}{{first, 1, []int{1}}, {batch, 1500, many}} {
		receipt := r.receipt(c.out[0].Receipt)
		_, key, _ := r.checkpoint()
		s, point, err := receipt.Check(key)
		if err != nil {
			t.Fatal(err)
		}
		if s.Count != uint64(c.count) || s.Region != string(storetest.Region) || s.Tenant != string(storetest.TenantA) || point.Size == 0 || len(receipt.Records) != c.count {
			t.Fatalf("statement %+v with %d openings", s, len(receipt.Records))
		}
		for i, o := range receipt.Records {
			want := storetest.Native(c.n[i]).ContentHash
			if o.ID != c.out[i].ID || o.Content != hex.EncodeToString(want[:]) {
				t.Fatalf("opening %d is of %s, want %s", i, o.ID, c.out[i].ID)
			}
		}
		for name, spoil := range map[string]func(*verify.Receipt){
			"statement": func(x *verify.Receipt) { x.Statement = strings.Replace(x.Statement, `"format":1`, `"format": 1`, 1) },
			"count":     func(x *verify.Receipt) { x.Statement = strings.Replace(x.Statement, `"count":1`, `"count":2`, 1) },
			"content":   func(x *verify.Receipt) { x.Records[0].Content = strings.Repeat("0", 64) },
			"openings":  func(x *verify.Receipt) { x.Records = append(x.Records, x.Records[0]) },
			"detail":    func(x *verify.Receipt) { x.Proof.Detail += " " },
			"leaf":      func(x *verify.Receipt) { x.Proof.Leaf = strings.Replace(x.Proof.Leaf, "receipt", "receipf", 1) },
			"index":     func(x *verify.Receipt) { x.Index++ },
			"note": func(x *verify.Receipt) {
				x.Proof.Checkpoint.Note = strings.Replace(x.Proof.Checkpoint.Note, "ie1", "us1", 1)
			},
		} {
			bad := r.receipt(c.out[0].Receipt)
			if spoil(&bad); func() error { _, _, err := bad.Check(key); return err }() == nil {
				t.Errorf("a receipt with another %s is taken", name)
			}
		}
	}
	if _, err := r.log.Receipt(context.Background(), storetest.TenantB, first[0].Receipt, nil); !isReason(err, policy.NotFound) {
		t.Fatalf("another tenant's receipt: %v", err)
	}
	if _, err := r.s.Rewrite(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{batch[7].ID}}); err != nil {
		t.Fatal(err)
	}
	receipt := r.receipt(batch[0].Receipt)
	_, key, _ := r.checkpoint()
	if s, _, err := receipt.Check(key); err != nil || s.Count != 1500 || len(receipt.Records) != 0 {
		t.Fatalf("after an erasure: %+v, %d openings, %v", s, len(receipt.Records), err)
	}
}

// INV29: what a leaf says beside closed forms is committed to with a salt, so
// that whoever sees the leaf alone cannot try what it may be.
func TestINV29_LeavesHideTheirDetail(t *testing.T) {
	r := open(t, t.TempDir())
	for range 2 {
		if err := r.log.Note(context.Background(), entry("hold.put")); err != nil {
			t.Fatal(err)
		}
	}
	r.round()
	all := r.verified()
	a, err := verify.ParseLeaf([]byte(all[1].Leaf))
	b, err2 := verify.ParseLeaf([]byte(all[2].Leaf))
	if err != nil || err2 != nil || a.Command == b.Command {
		t.Fatalf("two leaves of one content commit to the same: %+v %+v", a, b)
	}
	if x, y := r.log.Reference(storetest.TenantA, "RE1"), r.log.Reference(storetest.TenantB, "RE1"); x == y || len(x) != 64 {
		t.Fatalf("references are %s and %s", x, y)
	}
}

// INV28: while the log hangs, or fails, whoever must be told of is refused within
// Patience, and records are stored.
func TestINV28_LogThatHangsRefusesInTime(t *testing.T) {
	r := open(t, t.TempDir())
	r.round()
	gate := make(chan struct{})
	r.hang.set(gate, nil)
	for range 3 {
		began := time.Now()
		if err := r.log.Writable(context.Background()); !isReason(err, policy.NotReady) || time.Since(began) > 2*time.Second {
			t.Fatalf("answered %v after %s", err, time.Since(began))
		}
	}
	r.append(storetest.TenantA, 1)
	close(gate)
	r.hang.set(nil, nil)
	wait(t, func() bool { return r.log.Writable(context.Background()) == nil })
	r.hang.set(nil, errors.New("the disk is bad"))
	if err := r.log.Round(context.Background()); err == nil {
		t.Fatal("a round that could not be written is none")
	}
	if err := r.log.Writable(context.Background()); !isReason(err, policy.NotReady) {
		t.Fatalf("answered %v", err)
	}
	r.append(storetest.TenantA, 2)
	r.hang.set(nil, nil)
	r.round()
	if err := r.log.Writable(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.verified()
}

// INV28: whoever asks for a checkpoint while the floor's file hangs waits, and nobody
// else does: anybody may ask for one.
func TestINV28_ACheckpointThatHangsHoldsNobodyUp(t *testing.T) {
	r := open(t, t.TempDir())
	r.round()
	if err := os.MkdirAll(r.log.o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(r.log.o.Dir, floorFile+".next") // opening it for writing waits for a reader
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() { _, _, err := r.log.Checkpoint(context.Background(), 0); asked <- err }()
	wait(t, func() bool {
		free := r.log.signing.TryLock()
		if free {
			r.log.signing.Unlock()
		}
		return !free
	})
	done := make(chan error, 1)
	go func() {
		done <- errors.Join(r.log.Writable(context.Background()), r.log.Healthy(), r.log.Round(context.Background()))
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("beside a checkpoint that hangs: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a checkpoint that hangs holds the log up")
	}
	select {
	case err := <-asked:
		t.Fatalf("the checkpoint did not hang: %v", err)
	default:
	}
	if _, err := os.ReadFile(pipe); err != nil {
		t.Fatal(err)
	}
	<-asked // with an error: a pipe cannot be synced
}

func wait(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !what(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
		time.Sleep(time.Millisecond)
	}
}

// A log that was put back from a backup never signs another history under the
// name that it had.
func TestINV26_RestoredLogDoesNotFork(t *testing.T) {
	dir, backup := t.TempDir(), t.TempDir()
	r := open(t, dir)
	r.append(storetest.TenantA, 1)
	r.round()
	_, _, kept := r.checkpoint()
	r.close()
	copyDir(t, filepath.Join(dir, "records"), filepath.Join(backup, "records"))

	r = open(t, dir)
	r.append(storetest.TenantA, 2)
	r.round()
	_, _, lost := r.checkpoint()
	r.close()

	restore := func() *region {
		if err := os.RemoveAll(filepath.Join(dir, "records")); err != nil {
			t.Fatal(err)
		}
		copyDir(t, filepath.Join(backup, "records"), filepath.Join(dir, "records"))
		r := open(t, dir)
		r.append(storetest.TenantA, 3)
		r.append(storetest.TenantA, 4)
		r.round()
		return r
	}
	seen := []verify.Checkpoint{kept, lost}
	for _, why := range []string{"ROLLED_BACK", "ROLLED_BACK", "NO_FLOOR"} {
		if why == "NO_FLOOR" {
			if err := os.RemoveAll(filepath.Join(dir, "log")); err != nil {
				t.Fatal(err)
			}
		}
		r = restore()
		_, _, now := r.checkpoint()
		for _, c := range seen {
			if c.Origin == now.Origin && c.Size == now.Size && c.Root != now.Root {
				t.Fatalf("forked at %d", c.Size)
			}
			if c.Origin == now.Origin {
				t.Fatalf("goes on under %s after a restore", now.Origin)
			}
		}
		seen = append(seen, now)
		old := kept
		old.Origin = now.Origin // as a verifier does that was told of the restore
		all := r.verified(old)
		if at := all[kept.Size]; !strings.Contains(at.Leaf, restoreAction) || !strings.Contains(at.Detail, why) || !strings.Contains(at.Detail, `"size":`+itoa(kept.Size)) {
			t.Fatalf("the first leaf after the restore is %+v", at)
		}
		r.close()
	}
}

// A node that was killed after it signed, and before anything else, goes on
// under its name: a crash is no restore.
func TestRestartIsNoRestore(t *testing.T) {
	dir := t.TempDir()
	origins := map[string]bool{}
	for n := range 3 {
		r := open(t, dir)
		r.append(storetest.TenantA, n)
		r.round()
		_, _, at := r.checkpoint()
		origins[at.Origin] = true
		r.close()
	}
	if len(origins) != 1 {
		t.Fatalf("origins are %v", origins)
	}
}

// Two nodes that grow one log never give one place twice.
func TestNodesShareOneLog(t *testing.T) {
	r := open(t, t.TempDir())
	second, err := Open(Options{Store: r.s, Keys: r.keys, Cluster: cluster, Region: storetest.Region, Node: "ND00000000000000000000000000000002", Dir: t.TempDir(), Shared: true,
		Certify: func(statement []byte) ([]byte, string, error) { return statement, "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	r.log.o.Shared = true
	var work sync.WaitGroup
	for _, l := range []*Log{r.log, second} {
		work.Go(func() {
			for n := range 50 {
				if err := errors.Join(r.s.Note(context.Background(), entry("hold.put")), l.Round(context.Background())); err != nil {
					t.Errorf("round %d: %v", n, err)
				}
			}
		})
	}
	work.Wait()
	if all := r.verified(); len(all) != 101 {
		t.Fatalf("%d leaves, want 101", len(all))
	}
}

func itoa(n uint64) string { raw, _ := json.Marshal(n); return string(raw) }

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
