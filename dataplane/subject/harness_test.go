package subject

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/internal/canary"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

const (
	tenant      = policy.TenantID("TN000102030405060708090a0b0c0d0e0f")
	otherTenant = policy.TenantID("TNf0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")

	person = "+353867391846" // who is to be forgotten
	name   = "Caoimhe Zqvx-Ó Murchú"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

var epoch = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

// region is everything real that an erasure works on, under a clock that the
// test moves: keyring, store, media, ledger, gate.
type region struct {
	t       testing.TB
	dir     string
	now     time.Time
	age     time.Duration
	view    *feed.View
	audit   error
	between func(step string) error

	keys     *local.Keyring
	store    *sealed.Store
	inFolder *localstore.Store // the same, when it is in a folder
	dsn      string            // of a database that the records are in; "": they are in a folder
	blobs    store.Blobs
	media    *media.Library
	ledger   Ledger
	gate     *gate.Gate
	numbers  *intake.Numbers
	service  *Service
	public   ed25519.PublicKey
	signer   ed25519.PrivateKey
	closed   bool

	shift  atomic.Int64 // nanoseconds by which the clock was moved while others look at it
	stores func(*localstore.Options)
	wire   func(*Options) // what else a service is to have
	ends   []func() error // what wire opened
}

func (r *region) Current() *feed.View { return r.view }
func (r *region) Age() time.Duration  { return r.age }
func (r *region) ClockSuspect() bool  { return false }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRegion(t testing.TB) *region { return newRegionOn(t, "") }

// onBothStores runs a test with records in a folder, and in PostgreSQL.
func onBothStores(t *testing.T, test func(t *testing.T, region func() *region)) {
	t.Run("local", func(t *testing.T) { test(t, func() *region { return newRegion(t) }) })
	t.Run("sql", func(t *testing.T) { test(t, func() *region { return newRegionOn(t, postgres.Database(t)) }) })
}

// newRegionOn is a region whose records are in a database.
func newRegionOn(t testing.TB, dsn string) *region {
	t.Helper()
	r := &region{t: t, dir: t.TempDir(), dsn: dsn, now: epoch, numbers: intake.NewNumbers(0)}
	home := policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}
	rows := []policy.Row{{Format: policy.FormatVersion, Region: &home}}
	for i, id := range []policy.TenantID{tenant, otherTenant} {
		p := policy.DefaultPolicy(id, home, "IE-LTD")
		rows = append(rows, policy.Row{Format: policy.FormatVersion, Tenant: &policy.TenantRow{ID: id, Slug: policy.Slug(fmt.Sprintf("t%d", i)), State: policy.TenantActive, Home: "ie1", HomeEpoch: 1, Policy: &p}})
	}
	var err error
	r.view, err = feed.NewView(1, rows)
	must(t, err)
	r.public, r.signer, err = ed25519.GenerateKey(nil)
	must(t, err)
	r.open()
	t.Cleanup(func() { r.close() })
	return r
}

func (r *region) clock() time.Time { return r.now.Add(time.Duration(r.shift.Load())) }

// open starts everything, as a process does.
func (r *region) open() {
	r.t.Helper()
	var err error
	r.closed = false
	r.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(r.dir, "keys"), Region: "ie1", Now: r.clock})
	must(r.t, err)
	r.store = r.records()
	r.blobs, err = local.OpenBlobs(filepath.Join(r.dir, "media"))
	must(r.t, err)
	r.media, err = media.New(media.Options{Region: "ie1", Keys: r.keys, Store: r.store, Blobs: r.blobs, Now: r.clock, PartSize: 1 << 20})
	must(r.t, err)
	r.ledger, err = OpenLedger(filepath.Join(r.dir, "erasures"), r.keys, "ie1")
	must(r.t, err)
	var service *Service
	r.gate = gate.New(gate.Options{Region: "ie1", Feed: r, Clock: r.clock, Ledger: func() error { return r.audit },
		Serves: func(t policy.TenantID) error { return service.Serves(context.Background(), t) }})
	o := Options{Region: "ie1", Node: "ND00000000000000000000000000000001", Store: r.store, Ledger: r.ledger, Gate: r.gate, Media: regionMedia{r},
		Sign:        func(b []byte) ([]byte, error) { return ed25519.Sign(r.signer, b), nil },
		CallingCode: intake.CallingCode, Audit: func() error { return r.audit }, Forget: []func(){r.numbers.Forget},
		Retire: r.keys.Retire, Beyond: func(generation uint64, now time.Time) (bool, error) {
			fate, err := r.keys.Fate(generation)
			return fate.IsFinal(now), err
		}, Rekeyed: func(ctx context.Context, _ policy.TenantID, since time.Time) (bool, error) {
			began, waiting, err := r.store.Reindexed(ctx, r.permit(policy.Erase))
			return err == nil && (waiting.IsZero() || began.After(since)), err
		},
		Retry: time.Millisecond, Now: r.clock, Between: func(step string) error {
			if r.between == nil {
				return nil
			}
			return r.between(step)
		}}
	if r.wire != nil {
		r.wire(&o)
	}
	service, err = New(o)
	must(r.t, err)
	r.service = service
}

// records opens the record store.
func (r *region) records() *sealed.Store {
	r.t.Helper()
	if r.dsn != "" {
		s, err := sql.Open(context.Background(), sql.Options{DSN: r.dsn, Dial: (&net.Dialer{}).DialContext, Region: "ie1", Keys: r.keys, Now: r.clock, Connections: 8})
		must(r.t, err)
		return s.Store
	}
	o := localstore.Options{Dir: filepath.Join(r.dir, "records"), Region: "ie1", Keys: r.keys, Now: r.clock, Room: func(time.Time) error { return nil }}
	if r.stores != nil {
		r.stores(&o)
	}
	s, err := localstore.Open(o)
	must(r.t, err)
	r.inFolder = s
	return s.Store
}

func (r *region) close() {
	if r.closed {
		return
	}
	r.closed = true
	for _, end := range r.ends {
		if err := end(); err != nil {
			r.t.Error(err)
		}
	}
	r.ends = nil
	if err := errors.Join(r.ledger.Close(), r.store.Close(), r.blobs.Close(), r.keys.Close()); err != nil {
		r.t.Error(err)
	}
}

func (r *region) reopen() { r.close(); r.open() }

// regionMedia is what the node's wiring is for a service.
type regionMedia struct{ r *region }

func (m regionMedia) ask(t policy.TenantID) media.Ask {
	return func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return m.r.gate.Check(gate.Question{Tenant: t, Op: op, Class: class})
	}
}

func (m regionMedia) Forget(ctx context.Context, t policy.TenantID, call string) (uint64, uint64, error) {
	return m.r.media.ForgetCall(ctx, m.ask(t), call)
}

func (m regionMedia) Any(ctx context.Context, t policy.TenantID) (bool, error) {
	return m.r.media.Any(ctx, m.ask(t))
}

func (m regionMedia) Each(ctx context.Context, t policy.TenantID, call string, yield func(Medium) error) error {
	return nil
}

func (r *region) permit(op policy.Operation) policy.Permit {
	r.t.Helper()
	p, err := r.gate.Check(gate.Question{Tenant: tenant, Op: op, Class: policy.CallRecord})
	must(r.t, err)
	return p
}

// who reads a number as the region's listener does.
func (r *region) who(number string) Who { return Who{Party: r.numbers.Party(number, "IE")} }

// call makes a record of a call between two numbers, with both in everything
// that a source writes.
func (r *region) call(id, from, to string, start time.Time) record.Record {
	rec := record.Record{Key: record.Key{Source: record.Native, Instance: "api", NativeID: id + "@" + from, Leg: "leg-" + to}, CallKey: id + "@" + from, Primary: true,
		From: r.numbers.Party(from, "IE"), To: r.numbers.Party(to, "IE"), CallerName: "caller of " + id, Direction: record.Inbound, Status: record.Completed,
		Start: start, Answer: start.Add(time.Second), End: start.Add(time.Minute), Duration: time.Minute, Billsec: 59 * time.Second, SIPCode: 200,
		STIR: record.STIR{Attest: "A", OrigID: "orig-" + from}, NativeType: "application/json"}
	if from == person {
		rec.CallerName = name
	}
	rec.Native = fmt.Appendf(nil, `{"native_id":%q,"from":%q,"to":%q,"caller_name":%q}`, id, from, to, rec.CallerName)
	rec.ContentHash = [32]byte{byte(len(id)), id[len(id)-1], id[0]}
	return rec
}

func (r *region) append(recs ...record.Record) []store.Appended {
	r.t.Helper()
	out, err := r.store.Append(context.Background(), r.permit(policy.Ingest), recs)
	must(r.t, err)
	return out
}

func (r *region) quarantine(payloads ...string) (ids []string) {
	r.t.Helper()
	items := make([]store.Quarantined, len(payloads))
	for i, p := range payloads {
		items[i] = store.Quarantined{Source: record.FreeSWITCH, Instance: "sbc1", Problem: "not JSON", Payload: []byte(p)}
	}
	ids, err := r.store.Quarantine(context.Background(), r.permit(policy.Ingest), items)
	must(r.t, err)
	return ids
}

// list is every call, by pages.
func (r *region) list(q store.Query) (out []store.Call) {
	r.t.Helper()
	for {
		page, err := r.store.List(context.Background(), r.permit(policy.View), q)
		must(r.t, err)
		out = append(out, page.Calls...)
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return out
		}
	}
}

// erase erases to the end of what is done at once.
func (r *region) erase(w Who) data.Certificate {
	r.t.Helper()
	c, err := r.service.Erase(context.Background(), tenant, w)
	must(r.t, err)
	must(r.t, r.service.Round(context.Background(), []policy.TenantID{tenant}))
	c, err = r.service.Certificate(context.Background(), tenant, c.ID)
	must(r.t, err)
	if c.State == Pending {
		r.t.Fatalf("the erasure is %s at %s: %s", c.State, c.Step, c.Problem)
	}
	return c
}

func wantReason(t testing.TB, err error, want policy.Reason) *policy.Error {
	t.Helper()
	var e *policy.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	return e
}

// everything is what the region shows to anybody who may ask: calls, windows,
// quarantined payloads, documents; for a scan.
func (r *region) everything(t testing.TB, s *sealed.Store) []byte {
	t.Helper()
	var out strings.Builder
	ctx := context.Background()
	write := func(c *store.Call) {
		rec := c.Record
		fmt.Fprintf(&out, "%s %v %q %q %q %q %q %q %q %q %q %q %q %s %q\n", c.ID, c.ListedAt, rec.Key.NativeID, rec.Key.Leg, rec.Key.Event, rec.CallKey, rec.From.Raw, rec.From.E164,
			rec.To.Raw, rec.To.E164, rec.CallerName, rec.STIR.OrigID, rec.ConsentRef, rec.Native, rec.RecordingRefs)
	}
	for q := (store.Query{PageSize: 1}); ; { // one at a time, so that what does not open hides nothing else
		page, err := s.List(ctx, r.permit(policy.View), q)
		if err != nil {
			break
		}
		for i := range page.Calls {
			write(&page.Calls[i])
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			break
		}
	}
	for token := ""; ; {
		items, next, err := s.Quarantines(ctx, r.permit(policy.Erase), 1, token)
		if err != nil {
			break
		}
		for _, q := range items {
			fmt.Fprintf(&out, "%s %s\n", q.ID, q.Payload)
		}
		if token = next; token == "" {
			break
		}
	}
	for _, kind := range []store.ItemKind{store.CertificateItem, store.HoldItem, store.RecordingItem, store.TranscriptItem, store.UploadItem} {
		permit, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.Process, Class: kind.Class()})
		must(t, err)
		page, err := s.Items(ctx, permit, store.ItemQuery{Kind: kind, PageSize: 1000})
		if err != nil {
			continue
		}
		for _, item := range page.Items {
			fmt.Fprintf(&out, "%s %s\n", item.ID, item.Body)
		}
	}
	return []byte(out.String())
}

// scanner looks for the person in every form.
func scanner() *canary.Scanner {
	return canary.NewScanner(map[string]string{"number": person, "name": name})
}

// copyTree copies a folder in which nobody works.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	must(t, copyFolder(from, to))
}

// snapshot copies the folder of a region that is at work, as a snapshot of its disk has
// it. A key table turns to its next generation by itself, and a store merges its
// tables: when files came or went meanwhile, the copy is of no one moment, and is made
// anew.
func snapshot(t testing.TB, from, to string) {
	t.Helper()
	const tries = 100
	for range tries {
		before, err := namesBelow(from)
		must(t, err)
		must(t, os.RemoveAll(to))
		err = copyFolder(from, to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(t, err)
		after, err := namesBelow(from)
		must(t, err)
		if slices.Equal(before, after) {
			return
		}
	}
	t.Fatalf("files come and go in %s: %d copies were made, and none is of one moment", from, tries)
}

// namesBelow lists the files of a folder, and of those below.
func namesBelow(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil // the folder itself is listed, and another list will not have it
		}
		names = append(names, path)
		return err
	})
	return names, err
}

func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), raw, 0o600)
	})
}
