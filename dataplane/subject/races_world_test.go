package subject

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

const (
	raceCluster   = "CL00000000000000000000000000000001"
	raceRecipient = policy.RecipientID("RP0123456789abcdef0123456789abcdef")
	raceWindow    = 10 * time.Second
)

// arena is a region with all that an erasure meets: an exporter whose rows go over
// real TLS to a receiver in us1, a repository of backups with its notes, and an
// adversary who copies the disk whenever it likes.
type arena struct {
	*region
	draw     *rand.Rand
	folder   string
	known    atomic.Pointer[string] // id of the repository, once there is one
	behind   *backup.GivenUp        // by the latest that was put back
	notebook *backup.Notebook
	us       *abroad
	exporter *export.Exporter
	outbox   *bolt.Shelf
	stolen   []string
	snaps    []taken
	book     book
}

// taken is a snapshot, and when it was begun by the book's count.
type taken struct {
	head  backup.Snapshot
	begun int64
	left  bool // behind, by an older one that was put back
}

func newArena(t testing.TB, seed uint64) *arena {
	t.Helper()
	a := &arena{draw: rand.New(rand.NewPCG(seed, 17)), folder: t.TempDir(), book: newBook()}
	a.us = newAbroad(t)
	a.region = newRegion(t)
	a.close()
	a.stores = func(o *localstore.Options) {
		var err error
		a.notebook, err = backup.NewNotebook(a.repository())
		must(t, err)
		o.Backup = func(of policy.TenantID, rows []localstore.Row) { a.note(of, backup.StoreRows, rowsOf(rows)) }
	}
	a.wire = a.connect
	a.view = raceView(t)
	a.open()
	return a
}

func rowsOf(rows []localstore.Row) (out []backup.Row) {
	for _, r := range rows {
		out = append(out, backup.Row{Key: r.Key, Value: r.Value})
	}
	return out
}

// raceView lets pseudonyms of the tenant's calls leave to us1.
func raceView(t testing.TB) *feed.View {
	ie := policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}
	us := policy.Region{ID: "us1", Boundary: "us", Country: "US", BackupRegion: "none", Lifecycle: policy.Active}
	p := policy.DefaultPolicy(tenant, ie, "IE-LTD")
	p.Revision = 2
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"}
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: raceRecipient, Region: "us1", Purpose: "analytics", Transforms: "standard",
		Threshold: 10, Colluding: 3, AssessmentExpiry: epoch.AddDate(9, 0, 0)}}}
	row := policy.TenantRow{ID: tenant, Slug: "t0", State: policy.TenantActive, Home: "ie1", HomeEpoch: 1, Policy: &p}
	view, err := feed.NewView(2, []policy.Row{{Format: policy.FormatVersion, Basis: &policy.TransferBasis{ID: "PSEUDONYMISED-UC2", State: policy.BasisActive}},
		{Format: policy.FormatVersion, Region: &ie}, {Format: policy.FormatVersion, Region: &us}, {Format: policy.FormatVersion, Tenant: &row}})
	must(t, err)
	return view
}

// abroad is the other region.
type abroad struct {
	t        testing.TB
	dir      string
	keys     *local.Keyring
	us, ie   *mtls.Material
	receiver *peer.Receiver
	road     atomic.Pointer[grpc.ClientConn]
	end      func()
	cut      atomic.Int32 // 0 the road is good, 1 requests get lost, 2 answers do
	noted    []peer.Deletion
}

func newAbroad(t testing.TB) *abroad {
	t.Helper()
	ca, err := mtls.OpenAuthority(t.TempDir())
	must(t, err)
	material := func(region policy.RegionID, node int) *mtls.Material {
		files, err := ca.Issue(t.TempDir(), mtls.Identity{Cluster: raceCluster, Region: region, Role: mtls.DataPlane, Node: policy.NodeID(fmt.Sprintf("ND%032x", node))}, "127.0.0.1")
		must(t, err)
		m, err := mtls.Load(files)
		must(t, err)
		return m
	}
	b := &abroad{t: t, dir: t.TempDir(), us: material("us1", 1), ie: material("ie1", 2)}
	b.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(b.dir, "keys"), Region: "us1"})
	must(t, err)
	b.open()
	t.Cleanup(func() {
		b.end()
		if err := b.keys.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *abroad) file() string { return filepath.Join(b.dir, "received.db") }

// open starts it, as a process does.
func (b *abroad) open() {
	b.t.Helper()
	file, err := bolt.Open(b.file(), peer.Buckets())
	must(b.t, err)
	b.receiver, err = peer.NewReceiver(peer.ReceiverOptions{Shelf: file, Region: "us1", Keys: b.keys, Material: b.us,
		Pair: func(of policy.TenantID, r policy.RecipientID) (policy.InboundPair, bool) {
			return policy.InboundPair{Tenant: of, Recipient: r, From: "ie1", Purpose: "analytics", Basis: "PSEUDONYMISED-UC2"}, true
		}, Basis: func(string) policy.RuleCode { return 0 }, Logger: slog.New(slog.DiscardHandler),
		Note: func(_ policy.TenantID, d peer.Deletion) error { b.noted = append(b.noted, d); return nil }})
	must(b.t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b.t, err)
	stop, err := b.receiver.Serve(l)
	must(b.t, err)
	road, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(b.ie.Client(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}, Region: "us1"}))))
	must(b.t, err)
	b.road.Store(road)
	b.end = func() {
		if err := errors.Join(road.Close(), stop(context.Background()), b.receiver.Close()); err != nil {
			b.t.Error(err)
		}
	}
}

// putBack puts its file back from a copy, with what was noted of deletions since.
func (b *abroad) putBack(copied []byte, noted []peer.Deletion) {
	b.t.Helper()
	b.end()
	must(b.t, os.WriteFile(b.file(), copied, 0o600))
	file, err := bolt.Open(b.file(), peer.Buckets())
	must(b.t, err)
	_, err = peer.PutBackInbox(file, b.keys, "us1", noted, nil)
	must(b.t, err)
	b.open()
}

// rough is the road when it is bad: requests get lost, or their answers do.
type rough struct {
	grpc.ClientConnInterface
	b    *abroad
	mu   *sync.Mutex
	draw *rand.Rand
	bad  *atomic.Bool
}

var errRough = errors.New("the road is cut")

func (r rough) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	r.mu.Lock()
	n := r.draw.IntN(8)
	r.mu.Unlock()
	if cut := r.b.cut.Load(); cut == 1 || r.bad.Load() && n == 0 {
		return errRough
	}
	err := r.b.road.Load().Invoke(ctx, method, in, out, opts...)
	if cut := r.b.cut.Load(); cut == 2 || r.bad.Load() && n == 1 {
		return errRough
	}
	return err
}

// connect opens what a node's wiring does beside a service.
func (a *arena) connect(o *Options) {
	a.t.Helper()
	sealer, err := store.NewSealer(a.keys, "ie1", "export/outbox")
	must(a.t, err)
	must(a.t, os.MkdirAll(filepath.Join(a.dir, "exports"), 0o700))
	a.outbox, err = bolt.Open(filepath.Join(a.dir, "exports", "outbox.db"), export.Buckets())
	must(a.t, err)
	outbox, err := export.OpenOutbox(a.outbox, sealer)
	must(a.t, err)
	outbox.OnBury(func(of policy.TenantID, list []export.Tombstone) {
		rows := make([]backup.Row, len(list))
		for i, x := range list {
			rows[i] = backup.Row{Key: x.Key, Value: x.Value}
		}
		a.note(of, backup.BuriedRows, rows)
	})
	way := rough{nil, a.us, &sync.Mutex{}, rand.New(rand.NewPCG(a.draw.Uint64(), 3)), &a.book.busy}
	a.exporter, err = export.New(export.Options{Store: a.store, Keys: a.keys, Outbox: outbox, Gate: a.gate, Region: "ie1", View: a.Current,
		Sender: &peer.Sender{Dial: func(policy.Permit) (grpc.ClientConnInterface, error) { return way, nil },
			Reach: func(policy.TenantID, policy.RegionID, string) (grpc.ClientConnInterface, error) { return way, nil }},
		Interval: time.Second, Window: raceWindow, Now: a.clock, Logger: slog.New(slog.DiscardHandler)})
	must(a.t, err)
	o.Exports = a.exporter
	a.ends = append(a.ends, outbox.Close)
	a.ledger.(*FileLedger).AfterAppend(func() {
		if a.known.Load() != nil {
			if err := a.ledger.(*FileLedger).CopyAppended(LedgerFolder(filepath.Join(a.folder, "erasures"))); err != nil {
				a.t.Error(err)
			}
		}
	})
}

func (a *arena) repository() backup.Options {
	return backup.Options{Place: backup.NewFolder(a.folder), Region: "ie1", Cluster: raceCluster, Keys: a.keys, Now: a.clock, GivenUp: a.behind}
}

func (a *arena) note(of policy.TenantID, kind backup.NoteKind, rows []backup.Row) {
	known := a.known.Load()
	if known == nil {
		return
	}
	if err := a.notebook.Write(context.Background(), *known, backup.Note{Tenant: of, Kind: kind, Rows: rows}); err != nil {
		a.t.Error(err)
	}
}

// with opens the repository for one piece of work.
func (a *arena) with(do func(*backup.Repository) error) error {
	r, err := backup.Open(context.Background(), a.repository(), backup.Make)
	if err != nil {
		return err
	}
	id := r.ID()
	a.known.Store(&id)
	return errors.Join(do(r), r.Close())
}

// snapshot takes one, as a node does.
func (a *arena) snapshot() {
	var err error
	s := taken{begun: a.book.tick()}
	err = a.with(func(r *backup.Repository) error {
		s.head, err = r.Create(context.Background(), backup.Source{Records: a.inFolder.Checkpoint, Scratch: filepath.Join(a.dir, "scratch"), Blobs: a.blobs,
			Late:     []backup.Input{{Part: backup.Exports, Name: "outbox.db", Copy: a.outbox.Snapshot}},
			Erasures: func(at *backup.LedgerCopy) (uint64, error) { return a.ledger.(*FileLedger).CopyTo(at) }, KeyGeneration: a.keys.Status().Generation, Schema: localstore.Schema}, backup.CreateOptions{})
		return err
	})
	if err != nil {
		a.t.Errorf("a snapshot: %v", err)
		return
	}
	a.snaps = append(a.snaps, s)
}

// steal copies what lies on the disk, torn as it may be.
func (a *arena) steal() {
	to := filepath.Join(a.t.TempDir(), "stolen")
	parts := []string{"keys", "records", "exports", "erasures"}
	if a.draw.IntN(2) == 0 { // of one moment, as a volume's snapshot is
		must(a.t, os.Mkdir(to, 0o700))
		if err := a.inFolder.Checkpoint(filepath.Join(a.dir, "moment")); err != nil {
			a.t.Errorf("a volume's snapshot: %v", err)
		}
		must(a.t, os.Rename(filepath.Join(a.dir, "moment"), filepath.Join(to, "records")))
		parts = []string{"keys", "exports", "erasures"}
	}
	for _, part := range parts {
		_ = filepath.WalkDir(filepath.Join(a.dir, part), func(path string, d fs.DirEntry, err error) error {
			rel, relErr := filepath.Rel(a.dir, path)
			if err != nil || relErr != nil {
				return nil // gone meanwhile
			}
			if d.IsDir() {
				return os.MkdirAll(filepath.Join(to, rel), 0o700)
			}
			if raw, err := os.ReadFile(path); err == nil && d.Name() != "LOCK" && d.Name() != "lock" {
				_ = os.WriteFile(filepath.Join(to, rel), raw, 0o600)
			}
			return nil
		})
	}
	a.stolen = append(a.stolen, to)
}

// choose gives a snapshot that can be put back. Those that an earlier one has left
// behind must be refused: notes of what was sealed anew since do not fit them.
func (a *arena) choose() taken {
	a.t.Helper()
	var fit []taken
	for _, s := range a.snaps {
		if !s.left {
			fit = append(fit, s)
			continue
		}
		err := a.with(func(r *backup.Repository) error {
			_, err := r.Extract(context.Background(), s.head.ID, backup.Target{Folder: a.t.TempDir()}, nil)
			return err
		})
		if !errors.Is(err, backup.ErrGivenUp) {
			a.t.Errorf("snapshot %d, of a line that was given up: %v", s.head.Number, err)
		}
	}
	return fit[a.draw.IntN(len(fit))]
}

// putBack puts a stopped region back from a snapshot, as dataplane.Restore does.
func (a *arena) putBack(s taken) {
	a.t.Helper()
	into := filepath.Join(a.t.TempDir(), "into")
	must(a.t, os.Mkdir(into, 0o700))
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(a.dir, "keys"), Region: "ie1", Existing: true, Now: a.clock})
	must(a.t, err)
	o := a.repository()
	o.Keys = keys
	r, err := backup.Open(context.Background(), o, backup.Read)
	must(a.t, err)
	head, err := r.Extract(context.Background(), s.head.ID, backup.Target{Folder: into}, nil)
	must(a.t, err)
	behind, err := r.Behind(context.Background(), head)
	must(a.t, err)
	a.behind = &behind
	for i := range a.snaps {
		a.snaps[i].left = a.snaps[i].left || a.snaps[i].begun > s.begun
	}
	_, intents, _, err := ChooseLedger(keys, "ie1", LedgerFolder(filepath.Join(a.dir, "erasures")), LedgerFolder(filepath.Join(a.folder, "erasures")))
	must(a.t, err)
	p := localstore.PutBack{Forgotten: func(of policy.TenantID) (f store.Forgotten) {
		for _, in := range intents {
			f.Owners, f.Calls = append(f.Owners, in.Owners...), append(f.Calls, in.Calls...)
		}
		return f
	}}
	out := export.PutBack{Erased: map[policy.TenantID]bool{tenant: true}, At: a.clock()}
	must(a.t, r.Notes(context.Background(), head.Notes, func(n backup.Note) error {
		for _, row := range n.Rows {
			switch n.Kind {
			case backup.StoreRows:
				p.Notes = append(p.Notes, localstore.Row{Key: row.Key, Value: row.Value})
			case backup.BuriedRows:
				out.Tombstones = append(out.Tombstones, export.Tombstone{Key: row.Key, Value: row.Value})
			}
		}
		return nil
	}))
	records, err := localstore.Open(localstore.Options{Dir: filepath.Join(into, "records"), Region: "ie1", Keys: keys, Now: a.clock})
	must(a.t, err)
	report, err := records.PutBack(context.Background(), p)
	must(a.t, err)
	if report.Lost != 0 || report.Unknown != 0 {
		a.t.Errorf("snapshot %d: %+v", head.Number, report)
	}
	outbox, err := bolt.Open(filepath.Join(into, "exports", "outbox.db"), export.Buckets())
	must(a.t, err)
	_, err = export.PutBackOutbox(outbox, out)
	must(a.t, errors.Join(err, records.Close(), r.Close(), keys.Close()))
	for _, dir := range []string{"records", "exports"} {
		must(a.t, os.RemoveAll(filepath.Join(a.dir, dir)))
		must(a.t, os.Rename(filepath.Join(into, dir), filepath.Join(a.dir, dir)))
	}
}
