package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	peerv1 "github.com/domicile-io/domicile/api/peer/v1"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

const (
	tenant    = policy.TenantID("TN0123456789abcdef0123456789abcdef")
	recipient = policy.RecipientID("RP0123456789abcdef0123456789abcdef")
	window    = 10 * time.Second
)

// region is a real store, keyring, gate and outbox under a clock that the test moves.
type region struct {
	t        *testing.T
	dir      string
	now      time.Time
	age      time.Duration
	view     *feed.View
	gate     *gate.Gate
	keys     *local.Keyring
	store    *localstore.Store
	exporter *Exporter
	road     road
	registry *prometheus.Registry
	shelf    *counted

	basis     policy.BasisState // of PSEUDONYMISED-UC2
	basisEnds *time.Time
	state     policy.TenantState
}

// road stands where the connection to the other region is: it remembers what
// was delivered, and can be cut before or after the receiver has stored.
type road struct {
	mark     uint64
	rows     int
	refused  int
	payloads map[string]string // by transfer id
	held     map[string]bool   // rows that are there, by pseudonym
	cutAfter bool
	down     bool
}

var errCut = errors.New("the road is cut")

func (r *road) Invoke(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
	if r.down {
		return errCut
	}
	if q, ok := args.(*peerv1.ForgetRequest); ok {
		for _, row := range q.Rows {
			if r.held[row] {
				delete(r.held, row)
				reply.(*peerv1.ForgetResponse).Deleted++
			}
		}
		return nil
	}
	q := args.(*peerv1.DeliverRequest)
	if old, again := r.payloads[q.Transfer]; again && old != string(q.Payload) {
		return fmt.Errorf("transfer %s came with other bytes", q.Transfer)
	}
	_, known := r.payloads[q.Transfer]
	switch {
	case q.Refused:
		r.refused++
		r.mark = max(r.mark, q.Sequence)
	case known:
		r.mark = max(r.mark, q.Sequence)
	case q.Sequence == r.mark+1:
		r.payloads[q.Transfer] = string(q.Payload)
		r.mark++
		r.rows += int(q.Rows)
		rows, err := peer.Thawed(q.Payload, int(q.Rows))
		if err != nil {
			return err
		}
		for i := range rows {
			r.held[rows[i].Row] = true
		}
	case q.Sequence <= r.mark:
		return r.elsewhere(policy.AlreadyExists)
	default:
		return r.elsewhere(policy.InvalidArgument)
	}
	if r.cutAfter {
		return errCut
	}
	reply.(*peerv1.DeliverResponse).HighWater = r.mark
	return nil
}

func (r *road) elsewhere(reason policy.Reason) error {
	return policy.Errorf(reason, "out of order").With(peer.MetadataMark, strconv.FormatUint(r.mark, 10))
}

func (r *road) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errCut
}

func (r *region) Current() *feed.View { return r.view }
func (r *region) Age() time.Duration  { return r.age }
func (r *region) ClockSuspect() bool  { return false }

func newRegion(t *testing.T) *region {
	t.Helper()
	r := &region{t: t, basis: policy.BasisActive, state: policy.TenantActive, dir: t.TempDir(), now: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC), road: road{payloads: map[string]string{}, held: map[string]bool{}}}
	r.policy(1, policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"})
	clock := func() time.Time { return r.now }
	r.gate = gate.New(gate.Options{Region: "ie1", Feed: r, Clock: clock})
	var err error
	r.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(r.dir, "keys"), Region: "ie1"})
	check(t, err)
	r.store, err = localstore.Open(localstore.Options{Dir: filepath.Join(r.dir, "records"), Region: "ie1", Keys: r.keys, Now: clock})
	check(t, err)
	t.Cleanup(func() { r.exporter.Outbox().Close(); r.store.Close(); r.keys.Close() })
	r.open()
	return r
}

// open makes the exporter, again after a restart.
func (r *region) open() {
	r.t.Helper()
	sealer, err := store.NewSealer(r.keys, "ie1", "export/outbox")
	check(r.t, err)
	file, err := bolt.Open(filepath.Join(r.dir, "outbox.db"), Buckets())
	check(r.t, err)
	r.shelf = &counted{Shelf: shelftest.Repeating(file, postgres.Collision())}
	outbox, err := OpenOutbox(r.shelf, sealer)
	check(r.t, err)
	r.registry = prometheus.NewRegistry()
	r.exporter, err = New(Options{Store: r.store, Keys: r.keys, Outbox: outbox, Gate: r.gate, Region: "ie1", View: r.Current,
		Sender: &peer.Sender{Dial: func(policy.Permit) (grpc.ClientConnInterface, error) { return &r.road, nil },
			Reach: func(policy.TenantID, policy.RegionID, string) (grpc.ClientConnInterface, error) { return &r.road, nil }},
		Metrics: r.registry, Interval: time.Second, Window: window, Now: func() time.Time { return r.now }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	check(r.t, err)
}

func (r *region) policy(revision uint64, egress policy.EgressRule) {
	r.t.Helper()
	r.declare(revision, egress, func(*policy.ResidencyPolicy) {})
}

// declare writes a policy with one recipient that edit may change.
func (r *region) declare(revision uint64, egress policy.EgressRule, edit func(*policy.ResidencyPolicy)) {
	r.t.Helper()
	ie := policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}
	us := policy.Region{ID: "us1", Boundary: "us", Country: "US", BackupRegion: "none", Lifecycle: policy.Active}
	p := policy.DefaultPolicy(tenant, ie, "DOM-IE")
	p.Revision = revision
	p.Egress[policy.PseudonymisedExport] = egress
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: recipient, Region: "us1", Purpose: "analytics", Transforms: "standard",
		Threshold: 10, Colluding: 3, AssessmentExpiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}}}
	edit(&p)
	row := policy.TenantRow{ID: tenant, Slug: "acme-ie", State: r.state, Home: "ie1", HomeEpoch: 1, Policy: &p}
	rows := []policy.Row{{Format: 1, Basis: &policy.TransferBasis{ID: "SCC", State: policy.BasisActive}}, {Format: 1, Basis: &policy.TransferBasis{ID: "PSEUDONYMISED-UC2", State: r.basis, ExpiresAt: r.basisEnds}}}
	view, err := feed.NewView(revision, append(rows, []policy.Row{{Format: 1, Region: &ie}, {Format: 1, Region: &us}, {Format: 1, Tenant: &row}}...))
	check(r.t, err)
	r.view = view
}

// ingest appends calls from distinct callers of one class.
func (r *region) ingest(name string, callers int, country string) {
	r.t.Helper()
	permit, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.Ingest, Class: policy.CallRecord})
	check(r.t, err)
	var recs []record.Record
	for i := range callers {
		number := fmt.Sprintf("+35386%07d", i)
		id := fmt.Sprintf("%s-%d", name, i)
		recs = append(recs, record.Record{Key: record.Key{Source: record.Native, NativeID: id}, CallKey: id, Primary: true, Direction: record.Inbound,
			From: record.Party{Raw: number, E164: number, Country: country}, Start: r.now, ContentHash: [32]byte{1}, Native: []byte("{}")})
	}
	_, err = r.store.Append(context.Background(), permit, recs)
	check(r.t, err)
}

func (r *region) round() error {
	return r.exporter.RoundFor(context.Background(), tenant)
}

func (r *region) after(d time.Duration) { r.now = r.now.Add(d) }

func TestClassAboveThresholdLeavesAndClassBelowStays(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.ingest("many", 13, "IE")
	r.ingest("few", 12, "GB")
	check(t, r.round())
	if r.road.mark != 0 {
		t.Fatal("an open window was exported")
	}
	r.after(window + 2*grace)
	check(t, r.round())
	if r.road.rows != 13 {
		t.Fatalf("%d rows left, want 13", r.road.rows)
	}
	notes, err := r.exporter.Outbox().Windows(tenant, 10)
	check(t, err)
	if len(notes) != 1 || len(notes[0].Suppressed) != 1 || notes[0].Suppressed[0].Subjects != 12 {
		t.Fatalf("notes: %+v", notes)
	}
	transfers, _, err := r.exporter.Outbox().Transfers(tenant, 10, "")
	check(t, err)
	if len(transfers) != 1 || transfers[0].State != Acknowledged || transfers[0].Suppressed != 12 || transfers[0].Basis != "PSEUDONYMISED-UC2" {
		t.Fatalf("transfers: %+v", transfers)
	}
	// Later additions to a judged window never leave.
	r.after(window)
	check(t, r.round())
	if r.road.rows != 13 {
		t.Fatal("rows left twice")
	}
}

func TestTransferIsSentOnceThroughCutsAndRestarts(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.ingest("a", 20, "IE")
	r.after(window + 2*grace)
	r.road.down = true
	if r.round() == nil {
		t.Fatal("a cut road gave no error")
	}
	r.road.down, r.road.cutAfter = false, true // stored there, but we never hear of it
	if r.round() == nil {
		t.Fatal("a cut road gave no error")
	}
	check(t, r.exporter.Outbox().Close())
	r.open()
	r.road.cutAfter = false
	check(t, r.round())
	if r.road.rows != 20 || r.road.mark != 1 {
		t.Fatalf("%d rows at mark %d", r.road.rows, r.road.mark)
	}
}

func TestINV03StaleBundleQueuesAndNeverSends(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.ingest("a", 20, "IE")
	r.after(window + 2*grace)
	r.age = policy.FreshFor
	if err := r.round(); !errors.Is(err, &policy.Error{Reason: policy.PolicyStale}) {
		t.Fatalf("got %v", err)
	}
	if r.road.mark != 0 {
		t.Fatal("a stale node sent")
	}
	r.age = 0
	check(t, r.round())
	if r.road.rows != 20 {
		t.Fatalf("the queue did not drain: %d rows", r.road.rows)
	}
}

// What was queued when the policy closed becomes a gap, and what was
// acknowledged while it was closed never leaves, even after it opens again.
func TestRefusedTransfersBecomeGapsAndClosedTimeIsForfeited(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.ingest("queued", 20, "IE")
	r.after(window + 2*grace)
	r.road.down = true
	_ = r.round()
	r.policy(2, policy.EgressRule{Effect: policy.Deny})
	r.road.down = false
	check(t, r.round())
	r.ingest("closed", 20, "IE")
	r.after(window + 2*grace)
	check(t, r.round())
	r.policy(3, policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"})
	r.after(2 * window)
	r.ingest("open", 15, "IE")
	r.after(window + 2*grace)
	check(t, r.round())
	if r.road.refused != 1 || r.road.rows != 15 || r.road.mark != 2 {
		t.Fatalf("refused %d, rows %d, mark %d", r.road.refused, r.road.rows, r.road.mark)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
