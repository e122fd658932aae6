package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	peerv1 "github.com/domicile-io/domicile/api/peer/v1"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

const (
	tenant    = policy.TenantID("TN0123456789abcdef0123456789abcdef")
	recipient = policy.RecipientID("RP0123456789abcdef0123456789abcdef")
	cluster   = "CL0123456789abcdef0123456789abcdef"
)

// road is a receiver in us1 behind real TLS and whoever dials it.
type road struct {
	t        *testing.T
	ca       *mtls.Authority
	receiver *Receiver
	address  string
	pair     *policy.InboundPair
	basis    policy.RuleCode // by which nothing may come, or 0
	stop     func(context.Context) error
}

// over is a context that has ended.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func newRoad(t *testing.T) *road {
	t.Helper()
	ca, err := mtls.OpenAuthority(t.TempDir())
	check(t, err)
	r := &road{t: t, ca: ca, pair: &policy.InboundPair{Tenant: tenant, Recipient: recipient, From: "ie1", Purpose: "analytics", Basis: "PSEUDONYMISED-UC2"}}
	dir := t.TempDir()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: "us1"})
	check(t, err)
	t.Cleanup(func() { keys.Close() })
	r.receiver, err = NewReceiver(ReceiverOptions{Shelf: file(t, dir), Region: "us1", Keys: keys, Material: r.material("us1", mtls.DataPlane, cluster),
		Pair: func(tn policy.TenantID, rp policy.RecipientID) (policy.InboundPair, bool) {
			return *r.pair, tn == r.pair.Tenant && rp == r.pair.Recipient
		}, Basis: func(string) policy.RuleCode { return r.basis }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	stop, err := r.receiver.Serve(l)
	check(t, err)
	r.stop = stop
	t.Cleanup(func() { _ = stop(over()); r.receiver.Close() })
	r.address = l.Addr().String()
	return r
}

func (r *road) material(region policy.RegionID, role mtls.Role, in string) *mtls.Material {
	r.t.Helper()
	node := policy.NodeID("ND" + fmt.Sprintf("%032x", len(r.t.TempDir())))
	files, err := r.ca.Issue(r.t.TempDir(), mtls.Identity{Cluster: in, Region: region, Role: role, Node: node}, "127.0.0.1")
	check(r.t, err)
	m, err := mtls.Load(files)
	check(r.t, err)
	return m
}

func (r *road) sender(region policy.RegionID, role mtls.Role, in string) *Sender {
	config := r.material(region, role, in).Client(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}, Region: "us1"})
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	check(r.t, err)
	r.t.Cleanup(func() { conn.Close() })
	return &Sender{Dial: func(policy.Permit) (grpc.ClientConnInterface, error) { return conn, nil }}
}

// permit asks Decide, because nothing else can make one.
func permit(t *testing.T) policy.Permit {
	t.Helper()
	regions := []policy.Region{{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active},
		{ID: "us1", Boundary: "us", Country: "US", BackupRegion: "none", Lifecycle: policy.Active}}
	top, err := policy.NewTopology(regions)
	check(t, err)
	p := policy.DefaultPolicy(tenant, regions[0], "DOM-IE")
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"}
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: recipient, Region: "us1", Purpose: "analytics", Threshold: 10, Colluding: 3,
		AssessmentExpiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}}}
	set := (&policy.Set{}).With(1, []*policy.Rules{policy.Compile(&p, policy.TenantActive)}, nil)
	d := policy.Decide(set, top.WithBases([]policy.TransferBasis{{ID: "PSEUDONYMISED-UC2", State: policy.BasisActive}}), policy.Request{Tenant: tenant, Op: policy.Export, Class: policy.CallRecord, Region: "ie1",
		Egress: policy.PseudonymisedExport, Recipient: recipient, Purpose: "analytics", Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Attestation: policy.Declared})
	if d.Effect != policy.Allow {
		t.Fatalf("no permit: %v", d.Reasons())
	}
	return d.Permit()
}

func outgoing(t *testing.T, sequence uint64, calls int) Outgoing {
	t.Helper()
	key, err := record.NewPseudonymKey(sha256.Sum256([]byte("a test secret")), record.Scope{Tenant: tenant, Recipient: recipient, Purpose: "analytics", Period: "2026-11"})
	check(t, err)
	var rows []record.Pseudonymised
	for i := range calls {
		r := record.Record{From: record.Party{Raw: "+353861234567", E164: "+353861234567", Country: "IE", Subject: fmt.Sprintf("SU%032x", i)}, Direction: record.Inbound}
		row, err := record.Pseudonymise(fmt.Sprintf("CA%032x", i), &r, key, permit(t))
		check(t, err)
		rows = append(rows, row)
	}
	payload, sum, err := Freeze(rows)
	check(t, err)
	return Outgoing{ID: fmt.Sprintf("EX%032x", sequence), Sequence: sequence, Payload: payload, Sum: sum, Rows: calls}
}

func TestTransferArrivesOnceAndInOrder(t *testing.T) {
	r := newRoad(t)
	s := r.sender("ie1", mtls.DataPlane, cluster)
	send := func(out Outgoing) (uint64, error) { return s.Send(context.Background(), permit(t), out) }
	for _, step := range []struct {
		out  Outgoing
		mark uint64
		bad  bool
	}{{outgoing(t, 1, 3), 1, false}, {outgoing(t, 1, 3), 1, false}, {outgoing(t, 3, 2), 0, true},
		{Outgoing{ID: "EX" + strings.Repeat("2", 32), Sequence: 2, Refused: true}, 2, false}, {outgoing(t, 3, 2), 3, false}} {
		mark, err := send(step.out)
		if (err != nil) != step.bad || (err == nil && mark != step.mark) {
			t.Fatalf("sequence %d: mark %d, error %v", step.out.Sequence, mark, err)
		}
	}
	rows, cursor, err := r.receiver.Inbox().Page(tenant, recipient, "", 4)
	check(t, err)
	if len(rows) != 4 || rows[3].Sequence != 3 {
		t.Fatalf("first page: %d rows", len(rows))
	}
	rows, again, err := r.receiver.Inbox().Page(tenant, recipient, cursor, 4)
	check(t, err)
	if len(rows) != 1 {
		t.Fatalf("second page: %d rows", len(rows))
	}
	if rows, _, err = r.receiver.Inbox().Page(tenant, recipient, again, 4); err != nil || len(rows) != 0 {
		t.Fatalf("after the end: %d rows, %v", len(rows), err)
	}
}

// A transfer that does not agree with our own bundle is refused whatever it
// says of itself, and leaves nothing behind.
func TestINV06ReceiverTrustsItsBundleNotTheSender(t *testing.T) {
	for name, c := range map[string]struct {
		region policy.RegionID
		spoil  func(*policy.InboundPair)
	}{
		"sender is not the home":  {"au1", func(*policy.InboundPair) {}},
		"no pair for this tenant": {"ie1", func(p *policy.InboundPair) { p.Tenant = "TN" + policy.TenantID(strings.Repeat("9", 32)) }},
		"another purpose":         {"ie1", func(p *policy.InboundPair) { p.Purpose = "marketing" }},
		"another schema":          {"ie1", func(p *policy.InboundPair) { p.AllowListHash = strings.Repeat("0", 64) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(t)
			c.spoil(r.pair)
			_, err := r.sender(c.region, mtls.DataPlane, cluster).Send(context.Background(), permit(t), outgoing(t, 1, 2))
			if !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
				t.Fatalf("got %v", err)
			}
			if rows, _, _ := r.receiver.Inbox().Page(tenant, recipient, "", 10); len(rows) != 0 {
				t.Fatalf("%d rows were kept", len(rows))
			}
		})
	}
}

// A node that is attested too weakly for the sender's policy takes nothing, and
// takes it once it is not.
func TestReceiverOfTooWeakANodeRefuses(t *testing.T) {
	r := newRoad(t)
	s := r.sender("ie1", mtls.DataPlane, cluster)
	r.pair.Demands = policy.CloudSigned
	_, err := s.Send(context.Background(), permit(t), outgoing(t, 1, 3))
	var e *policy.Error
	if !errors.As(err, &e) || e.Reason != policy.PermissionDenied || e.Metadata["rules"] != "ATTESTATION_TOO_WEAK" {
		t.Errorf("got %v", err)
	}
	r.pair.Demands = 0
	if mark, err := s.Send(context.Background(), permit(t), outgoing(t, 1, 3)); err != nil || mark != 1 {
		t.Errorf("%d, %v", mark, err)
	}
}

func TestINV39OnlyDataPlanesOfTheClusterConnect(t *testing.T) {
	r := newRoad(t)
	for name, s := range map[string]*Sender{
		"another cluster": r.sender("ie1", mtls.DataPlane, "CL"+strings.Repeat("f", 32)),
		"a voter":         r.sender("ie1", mtls.ControlPlane, cluster),
		"a gateway":       r.sender("ie1", mtls.Gateway, cluster),
	} {
		if _, err := s.Send(context.Background(), permit(t), outgoing(t, 1, 1)); err == nil {
			t.Errorf("%s delivered a transfer", name)
		}
	}
}

func TestSendNeedsAnExportPermit(t *testing.T) {
	r := newRoad(t)
	if _, err := r.sender("ie1", mtls.DataPlane, cluster).Send(context.Background(), policy.Permit{}, outgoing(t, 1, 1)); !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
		t.Fatalf("got %v", err)
	}
}

func TestINV17ReceiverRefusesWhatIsNotOfTheSchema(t *testing.T) {
	good := `{"row":"` + strings.Repeat("a", 32) + `","from":"","to":"","from_country":"IE","to_country":"","direction":"inbound","outcome":"answered","hour":"2026-03-14T09:00:00Z","duration_bucket":"1-5m"}`
	check(t, checkRow([]byte(good)))
	for name, bad := range map[string]string{
		"a number":       strings.Replace(good, `"from":""`, `"from":"+353861234567"`, 1),
		"an exact time":  strings.Replace(good, "09:00:00Z", "09:26:53Z", 1),
		"a name":         strings.Replace(good, `"from_country":"IE"`, `"from_country":"Aoife"`, 1),
		"a new field":    strings.Replace(good, `"to":""`, `"to":"","note":"x"`, 1),
		"bytes after it": good + `{}`,
		"not JSON":       `{`,
		// The last of two is what readers see; the first would lie on this disk.
		"a field twice":       strings.Replace(good, `"from":""`, `"from":"+353861234567","from":""`, 1),
		"a field in capitals": strings.Replace(good, `"from":""`, `"FROM":"+353861234567","from":""`, 1),
		"escapes":             strings.Replace(good, `"outcome"`, `"\u006futcome"`, 1),
		"spaces":              strings.Replace(good, `,"to"`, `, "to"`, 1),
	} {
		if checkRow([]byte(bad)) == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestReceivedRowsAreSealedAtRestAndCorruptionIsNotServed(t *testing.T) {
	r := newRoad(t)
	_, err := r.sender("ie1", mtls.DataPlane, cluster).Send(context.Background(), permit(t), outgoing(t, 1, 1))
	check(t, err)
	raw, err := os.ReadFile(r.receiver.inbox.shelf.(shelftest.Repeated).Shelf.(*bolt.Shelf).Path())
	check(t, err)
	if strings.Contains(string(raw), "duration_bucket") {
		t.Fatal("a received row is plain on disk")
	}
	check(t, r.receiver.inbox.shelf.Update(func(tx shelf.Tx) error {
		var key, flipped []byte
		check(t, tx.Ascend(bucketRows, nil, nil, func(k, v []byte) error {
			key, flipped = bytes.Clone(k), bytes.Clone(v)
			return shelf.ErrStop
		}))
		flipped[len(flipped)-1] ^= 1
		return tx.Put(bucketRows, key, flipped)
	}))
	if rows, _, err := r.receiver.Inbox().Page(tenant, recipient, "", 10); err == nil {
		t.Fatalf("served %d corrupt rows", len(rows))
	}
}

func FuzzThaw(f *testing.F) {
	f.Add([]byte("not zstd"), uint32(1))
	f.Fuzz(func(t *testing.T, payload []byte, rows uint32) {
		if got, err := thaw(payload, rows); err == nil && uint32(len(got)) != rows {
			t.Fatalf("%d rows for %d", len(got), rows)
		}
	})
}

// file is a shelf in a file, as an embedded region has it.
func file(t *testing.T, dir string) shelf.Shelf {
	t.Helper()
	s, err := bolt.Open(filepath.Join(dir, "received.db"), Buckets())
	check(t, err)
	return shelftest.Repeating(s, postgres.Collision())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A region that goes away in the middle of a request does not keep a node from ending.
func TestARequestThatStandsEndsWithTheNode(t *testing.T) {
	r := newRoad(t)
	s := r.sender("ie1", mtls.DataPlane, cluster)
	conn, err := s.Dial(policy.Permit{})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, peerv1.PeerService_Deliver_FullMethodName); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(ctx, permit(t), outgoing(t, 1, 1)); err != nil { // on the same connection, behind it
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.stop(over()) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a request was cut off, and nobody is told: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the node does not end")
	}
}
