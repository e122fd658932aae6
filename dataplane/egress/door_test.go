package egress

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/policy"
)

const tenantA = policy.TenantID("TN0000000000000000000000000000000a")

var frozen = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func testDoor(t *testing.T, dir string) *Door {
	t.Helper()
	d, err := New(Options{Region: "ie1", Boundary: "eu", Dir: dir, Clock: func() time.Time { return frozen }, Flush: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// countingPeer answers each connection with reply after it has read to the end,
// and tells what it saw.
func countingPeer(t *testing.T, reply []byte) (addr string, accepted, saw *atomic.Int64, closed chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	accepted, saw, closed = new(atomic.Int64), new(atomic.Int64), make(chan struct{}, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				n, _ := io.Copy(io.Discard, c)
				saw.Add(n)
				_, _ = c.Write(reply)
				_ = c.Close()
				closed <- struct{}{}
			}()
		}
	}()
	return l.Addr().String(), accepted, saw, closed
}

func find(t *testing.T, entries []Entry, class policy.EgressClass, tenant policy.TenantID) Entry {
	t.Helper()
	for _, e := range entries {
		if e.Class == class && e.Tenant == tenant {
			return e
		}
	}
	t.Fatalf("no entry of class %s and tenant %q in %+v", class, tenant, entries)
	return Entry{}
}

func TestINV05_DialedBytesAreWhatThePeerSaw(t *testing.T) {
	dir := t.TempDir()
	d := testDoor(t, dir)
	reply := []byte(strings.Repeat("r", 70_001))
	addr, accepted, saw, closed := countingPeer(t, reply)
	if err := d.Allow(policy.PseudonymisedExport, addr); err != nil {
		t.Fatal(err)
	}
	route := Route{Class: policy.PseudonymisedExport, Region: "us1", Boundary: "us", Basis: "SCC", Tenant: tenantA}
	dial := d.Dialer(route)
	for range 3 {
		c, err := dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(c, strings.NewReader(strings.Repeat("x", 100_003))); err != nil {
			t.Fatal(err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || len(got) != len(reply) {
			t.Fatalf("read %d bytes: %v", len(got), err)
		}
		_ = c.Close()
		<-closed
	}
	want := Entry{Class: policy.PseudonymisedExport, Destination: addr, Region: "us1", Boundary: "us", Basis: "SCC", Tenant: tenantA,
		Connections: accepted.Load(), BytesOut: saw.Load(), BytesIn: 3 * int64(len(reply)), LastTime: frozen}
	if saw.Load() != 3*100_003 || accepted.Load() != 3 {
		t.Fatalf("peer saw %d bytes on %d connections", saw.Load(), accepted.Load())
	}
	if got := d.Entries(); len(got) != 1 || got[0] != want {
		t.Fatalf("ledger has %+v, want exactly %+v", got, want)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := testDoor(t, dir).Entries(); len(got) != 1 || got[0] != want {
		t.Fatalf("after a restart the ledger has %+v, want %+v", got, want)
	}
}

func TestINV05_UndeclaredIsRefusedBeforeAPacket(t *testing.T) {
	d := testDoor(t, t.TempDir())
	addr, accepted, _, _ := countingPeer(t, nil)
	if err := d.Allow(policy.ControlStream, addr); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		route   Route
		network string
		addr    string
	}{
		"other class":                   {Route{Class: policy.Telemetry}, "tcp", addr},
		"no class":                      {Route{}, "tcp", addr},
		"other port":                    {Route{Class: policy.ControlStream}, "tcp", "127.0.0.1:1"},
		"other spelling of the address": {Route{Class: policy.ControlStream}, "tcp", strings.Replace(addr, "127.0.0.1", "localhost", 1)},
		"udp":                           {Route{Class: policy.ControlStream}, "udp", addr},
		"unix":                          {Route{Class: policy.ControlStream}, "unix", addr},
		"other region without a basis":  {Route{Class: policy.ControlStream, Region: "us1", Boundary: "us"}, "tcp", addr},
	} {
		if _, err := d.Dialer(c.route)(t.Context(), c.network, c.addr); !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
			t.Errorf("%s: %v, want EGRESS_DENIED", name, err)
		}
	}
	if _, err := d.GRPC(Route{Class: policy.Telemetry}, addr, &tls.Config{}); !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
		t.Errorf("gRPC: %v, want EGRESS_DENIED", err)
	}
	if _, err := d.GRPC(Route{Class: policy.ControlStream}, addr, nil); err == nil {
		t.Error("gRPC without TLS was made")
	}
	if accepted.Load() != 0 || len(d.Entries()) != 0 {
		t.Errorf("peer accepted %d connections, ledger has %v", accepted.Load(), d.Entries())
	}
	if err := d.Allow(policy.CustomerAPI, addr); err == nil {
		t.Error("CUSTOMER_API was declared as a destination")
	}
}

func TestINV05_NothingIsDialedWhileTheLedgerCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	d := testDoor(t, dir)
	addr, accepted, _, _ := countingPeer(t, nil)
	if err := d.Allow(policy.ControlStream, addr); err != nil {
		t.Fatal(err)
	}
	_ = d.ledger.journal.f.Close() // the next write fails
	hidden := dir + ".hidden"
	if err := os.Rename(dir, hidden); err != nil { // and so does making a new file
		t.Fatal(err)
	}
	dial := d.Dialer(Route{Class: policy.ControlStream})
	for range 2 {
		if _, err := dial(t.Context(), "tcp", addr); !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
			t.Fatalf("dialed without a ledger: %v", err)
		}
	}
	if accepted.Load() != 0 || d.Healthy() == nil {
		t.Fatalf("peer accepted %d, health %v", accepted.Load(), d.Healthy())
	}
	if err := os.Rename(hidden, dir); err != nil {
		t.Fatal(err)
	}
	c, err := dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("the ledger is back, the dial is not: %v", err)
	}
	_ = c.Close()
	if e := find(t, d.Entries(), policy.ControlStream, ""); e.Connections != 1 {
		t.Fatalf("refused dials were counted as connections: %+v", e)
	}
}

func TestINV28_AHangingLedgerStopsDialingAndNothingElse(t *testing.T) {
	d := testDoor(t, t.TempDir())
	addr, accepted, _, _ := countingPeer(t, nil)
	if err := d.Allow(policy.ControlStream, addr); err != nil {
		t.Fatal(err)
	}
	hanging, release := make(chan struct{}), make(chan struct{})
	d.ledger.patience = 20 * time.Millisecond
	d.ledger.journal.sync = func(f *os.File) error {
		close(hanging)
		<-release
		return f.Sync()
	}
	if _, err := d.Dialer(Route{Class: policy.ControlStream})(t.Context(), "tcp", addr); !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
		t.Fatalf("dialed over a hanging ledger: %v", err)
	}
	<-hanging // the fault took effect
	if d.Healthy() == nil {
		t.Error("a hanging ledger is healthy")
	}
	d.ledger.counter(key{class: policy.CustomerAPI, destination: tenantSide}).opened.Add(1) // as Accept does
	if e := find(t, d.Entries(), policy.CustomerAPI, ""); e.Connections != 1 || accepted.Load() != 0 {
		t.Errorf("%+v, peer accepted %d", e, accepted.Load())
	}
	d.ledger.journal.sync = (*os.File).Sync
	close(release)
	if err := d.Close(); err != nil || d.Healthy() != nil {
		t.Errorf("the disk is back: %v, %v", err, d.Healthy())
	}
}

func TestADialedConnectionIsDurableBeforeUse(t *testing.T) {
	dir := t.TempDir()
	d := testDoor(t, dir)
	addr, _, _, _ := countingPeer(t, nil)
	if err := d.Allow(policy.ControlStream, addr); err != nil {
		t.Fatal(err)
	}
	c, err := d.Dialer(Route{Class: policy.ControlStream})(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	days := map[string]map[key]sum{}
	f, err := os.Open(filepath.Join(dir, journalFile)) // as a crash would leave it
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := readJournal(f, "ie1", days); err != nil || days["2026-11-23"][key{class: policy.ControlStream, destination: addr}].opened != 1 {
		t.Fatalf("journal has %v: %v", days, err)
	}
}

func TestFailedDialsAreNoConnections(t *testing.T) {
	d := testDoor(t, t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if err := d.Allow(policy.ControlStream, addr); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Dialer(Route{Class: policy.ControlStream})(t.Context(), "tcp", addr); err == nil {
		t.Fatal("dialed a closed port")
	}
	if e := find(t, d.Entries(), policy.ControlStream, ""); e.Connections != 0 || e.Failed != 1 {
		t.Fatalf("%+v", e)
	}
}

func TestINV05_AcceptedBytesAreCountedPerTenant(t *testing.T) {
	d := testDoor(t, t.TempDir())
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := d.Listener(raw, policy.CustomerAPI)
	defer l.Close()
	client, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	say := func(n int) {
		t.Helper()
		if _, err := client.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Write(make([]byte, 2*n)); err != nil {
			t.Fatal(err)
		}
	}
	say(10)
	if !Attribute(tls.Server(server, &tls.Config{}), tenantA) || !Attribute(server, tenantA) {
		t.Fatal("the connection was not found")
	}
	say(100)
	none, ours := find(t, d.Entries(), policy.CustomerAPI, ""), find(t, d.Entries(), policy.CustomerAPI, tenantA)
	if none.Connections != 1 || none.BytesIn != 10 || none.BytesOut != 20 {
		t.Errorf("before authentication: %+v", none)
	}
	if ours.Connections != 1 || ours.BytesIn != 100 || ours.BytesOut != 200 || ours.Destination != tenantSide {
		t.Errorf("after authentication: %+v", ours)
	}
	if Attribute(client, tenantA) {
		t.Error("a connection that is not ours was attributed")
	}
}

func TestINV09_MetricsHaveClosedLabels(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	d, err := New(Options{Region: "ie1", Dir: t.TempDir(), Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_ = d.check(Route{Class: policy.Telemetry}, "tcp", "h:1")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if _, err := policy.ParseEgressClass(l.GetValue()); err != nil && l.GetValue() != "in" && l.GetValue() != "out" {
					t.Errorf("%s has label %s=%q", f.GetName(), l.GetName(), l.GetValue())
				}
			}
			if f.GetName() == "domicile_egress_refused_total" {
				refused += m.GetCounter().GetValue()
			}
		}
	}
	if refused != 1 {
		t.Errorf("%v refusals counted, want 1", refused)
	}
}
