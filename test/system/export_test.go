package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// strait is a stretch of wire between two regions, outside TLS. It counts what
// the sender puts in, and can keep the receiver's answers back.
type strait struct {
	listener net.Listener
	target   string
	sent     atomic.Int64
	dials    atomic.Int64 // connections that the sender made, or tried to
	mu       sync.Mutex
	open     *sync.Cond
	held     bool
}

func newStrait(target string) (*strait, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s := &strait{listener: l, target: target}
	s.open = sync.NewCond(&s.mu)
	if err == nil {
		go s.serve()
	}
	return s, err
}

func (s *strait) hold(on bool) {
	s.mu.Lock()
	s.held = on
	s.mu.Unlock()
	s.open.Broadcast()
}

func (s *strait) serve() {
	for {
		near, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.dials.Add(1)
		far, err := net.Dial("tcp", s.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		go func() { _, _ = io.Copy(far, io.TeeReader(near, (*counted)(s))); _ = far.Close() }()
		go func() { _, _ = io.Copy((&answers{s, near}), far); _ = near.Close() }()
	}
}

type counted strait

func (c *counted) Write(p []byte) (int, error) { c.sent.Add(int64(len(p))); return len(p), nil }

// answers passes on while the strait is open.
type answers struct {
	s  *strait
	to net.Conn
}

func (a *answers) Write(p []byte) (int, error) {
	a.s.mu.Lock()
	for a.s.held {
		a.s.open.Wait()
	}
	a.s.mu.Unlock()
	return a.to.Write(p)
}

const (
	exportCallers   = 20
	exportRecipient = "RP77777777777777777777777777777777"
)

// The sender dies after the receiver has stored a transfer and before it hears
// of it; then the receiver dies. Each row is there once, and the egress ledger
// agrees with the wire.
func TestINV33TransferArrivesOnceThoughBothSidesDie(t *testing.T) {
	onBothStores(t, bothSidesDie)
}

func bothSidesDie(t *testing.T, store edit) {
	var wire *strait
	c := start(t, testcluster.Options{ExportInterval: 200 * time.Millisecond, ExportWindow: 2 * time.Second,
		EditRegion: func(env *dev.Environment, cfg *dataplane.Config) (err error) {
			if err := store(env, cfg); err != nil {
				return err
			}
			if cfg.Region != "ie1" {
				return nil
			}
			p := cfg.Peers["us1"]
			if wire, err = newStrait(p.Address); err == nil {
				p.Address = wire.listener.Addr().String()
				cfg.Peers["us1"] = p
			}
			return err
		}})
	defer wire.listener.Close()
	defer wire.hold(false)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	home, there := exporting(ctx, t, c, "acme-ie", exportRecipient)

	sendClass(ctx, t, home, "first")
	until(t, 30*time.Second, "first transfer", func() error { return delivered(ctx, home, there, 1) })
	until(t, 10*time.Second, "ledger and wire", func() error { return ledgerAgrees(ctx, home, wire) })

	simulate(ctx, t, home)
	check(t, ledgerAgrees(ctx, home, wire)) // nothing moved

	wire.hold(true)
	sendClass(ctx, t, home, "second")
	until(t, 30*time.Second, "second transfer stored", func() error { return rowsThere(ctx, there, 2*exportCallers) })
	if err := delivered(ctx, home, there, 2); err == nil {
		t.Fatal("the sender has heard of what was kept back")
	}
	check(t, c.Process("ie1").Kill())
	wire.hold(false)
	check(t, c.Process("ie1").Start())
	check(t, c.Process("ie1").WaitReady(ctx))
	until(t, 30*time.Second, "second transfer acknowledged", func() error { return delivered(ctx, home, there, 2) })

	check(t, c.Process("us1").Kill())
	sendClass(ctx, t, home, "third")
	check(t, c.Process("us1").Start())
	check(t, c.Process("us1").WaitReady(ctx))
	until(t, 60*time.Second, "third transfer", func() error { return delivered(ctx, home, there, 3) })
}

// exporting makes an Irish tenant with a recipient in the US.
func exporting(ctx context.Context, t *testing.T, c *testcluster.Cluster, slug, recipient string) (home, there *client.Region) {
	t.Helper()
	_, home = place(t, c, slug, "ie1", "IE", &controlv1.PolicyRules{
		Classes: map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed"}, "recording": {Mode: "sealed"}, "account_config": {Mode: "sealed"}},
		Egress: map[string]*controlv1.EgressRule{"PSEUDONYMISED_EXPORT": {Effect: "allow", Basis: "PSEUDONYMISED-UC2"},
			"CUSTOMER_API": {Effect: "allow", Basis: "NONE"}},
		Recipients: &controlv1.RecipientList{List: []*controlv1.Recipient{{Id: recipient, Region: "us1", Purpose: "analytics",
			AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: timestamppb.New(time.Now().Add(365 * 24 * time.Hour))}}},
	})
	key, err := c.Control("cp1").CreateRecipientKey(ctx, &controlv1.CreateRecipientKeyRequest{Tenant: slug, Recipient: recipient})
	check(t, err)
	return home, c.Region("us1", key.Secret)
}

// simulate replays the one transfer that left against two policies: one closes
// the door, and one lets the recipient have it under another basis.
func simulate(ctx context.Context, t *testing.T, home *client.Region) {
	t.Helper()
	recipients := `"recipients":{"list":[{"id":"` + exportRecipient + `","region":"us1","purpose":"analytics","assessmentHash":"` + strings.Repeat("a", 64) +
		`","assessmentExpiry":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}]}`
	classes := `"classes":{"call_record":{"mode":"sealed"}}`
	for body, allowed := range map[string]int64{
		`{` + classes + `,"egress":{"PSEUDONYMISED_EXPORT":{"effect":"deny"}},` + recipients + `}`:                0,
		`{` + classes + `,"egress":{"PSEUDONYMISED_EXPORT":{"effect":"allow","basis":"SCC"}},` + recipients + `}`: 1,
	} {
		s, err := home.Simulate(ctx, data.SimulateRequest{Policy: json.RawMessage(body), Days: 2})
		check(t, err)
		if len(s.Flows) != 1 || s.Slug != "acme-ie" || s.Cut {
			t.Fatalf("%+v", s)
		}
		f := s.Flows[0]
		denied := f.Denied.Rows == exportCallers && len(f.Reasons) == 1 && f.Reasons[0].Rule == "EGRESS_DENIED"
		if f.Acknowledged.Rows != exportCallers || f.Basis != "PSEUDONYMISED-UC2" || f.Allowed.Transfers != allowed || denied == (allowed > 0) || (f.NewBasis == "SCC") != (allowed > 0) {
			t.Errorf("%+v", f)
		}
	}
	for _, in := range []data.SimulateRequest{{Days: 1}, {Policy: json.RawMessage(`{"egres":{}}`), Days: 1}, {Policy: json.RawMessage(`{}`), Days: 1},
		{Policy: json.RawMessage(`{"recipients":{"denyAll":true},"classes":{"call_record":{"mode":"sealed","retention":60},"recording":{"mode":"sealed"}}}`), Days: 1},
		{Policy: json.RawMessage(`{"recipients":{"denyAll":true}}`), Days: 91}} {
		if _, err := home.Simulate(ctx, in); !errors.Is(err, &policy.Error{Reason: policy.InvalidArgument}) {
			t.Errorf("%s over %d days: %v", in.Policy, in.Days, err)
		}
	}
}

// sendClass ingests one class of calls that is large enough to leave.
func sendClass(ctx context.Context, t *testing.T, home *client.Region, name string) {
	t.Helper()
	var body bytes.Buffer
	at := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	for i := range exportCallers {
		line, err := json.Marshal(data.NewCall{NativeID: fmt.Sprint(name, "-", i), From: fmt.Sprintf("+35386%07d", i), To: "+35315551234",
			Direction: "inbound", Status: "completed", StartTime: &at})
		check(t, err)
		body.Write(append(line, '\n'))
	}
	got, err := home.Batch(ctx, client.Upload{Body: &body})
	check(t, err)
	if got.Accepted != exportCallers {
		t.Fatalf("%+v", got)
	}
}

// delivered is nil when n transfers are acknowledged and their rows are there, each once.
func delivered(ctx context.Context, home, there *client.Region, n int) error {
	list, err := home.Transfers(ctx, "")
	if err != nil {
		return err
	}
	acknowledged := 0
	for _, x := range list.Transfers {
		if x.State == "acknowledged" && len(x.Fields) > 0 {
			acknowledged++
		}
	}
	if acknowledged != n || len(list.Transfers) != n {
		return fmt.Errorf("%d of %d transfers are acknowledged, want %d", acknowledged, len(list.Transfers), n)
	}
	return rowsThere(ctx, there, n*exportCallers)
}

func rowsThere(ctx context.Context, there *client.Region, n int) error {
	got, err := there.Received(ctx, "", "")
	if err != nil {
		return err
	}
	distinct := map[string]bool{}
	for _, r := range got.Rows {
		distinct[r.Row] = true
	}
	if len(got.Rows) != n || len(distinct) != n {
		return fmt.Errorf("%d rows, %d distinct, want %d", len(got.Rows), len(distinct), n)
	}
	return nil
}

// ledgerAgrees is nil when the region says that it sent what went over the wire.
func ledgerAgrees(ctx context.Context, home *client.Region, wire *strait) error {
	ledger, err := home.Egress(ctx)
	if err != nil {
		return err
	}
	var out int64
	for _, e := range ledger.Entries {
		if e.Class == "PSEUDONYMISED_EXPORT" {
			out += int64(e.BytesOut)
		}
	}
	if sent := wire.sent.Load(); out == 0 || out != sent {
		return fmt.Errorf("the ledger says %d bytes, the wire %d", out, sent)
	}
	return nil
}
