package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/local"
	regionlog "github.com/domicile-io/domicile/dataplane/log"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

const (
	ieURL = "https://api.ie1.example.test"
	usURL = "https://api.us1.example.test"

	usIngest = "streams.us1.example.test:9443"
)

// bundle is the policy of a region under test; it can be changed under way.
type bundle struct {
	view atomic.Pointer[feed.View]
	age  atomic.Int64
}

func (b *bundle) Current() *feed.View { return b.view.Load() }
func (b *bundle) Age() time.Duration  { return time.Duration(b.age.Load()) }
func (b *bundle) ClockSuspect() bool  { return false }

func (b *bundle) Wait(ctx context.Context, revision uint64) error {
	if v := b.view.Load(); v != nil && v.Revision >= revision {
		return nil
	}
	return policy.Errorf(policy.PolicyStale, "the bundle is older than the token")
}

// region is one listener with everything real below it but the control plane.
type region struct {
	t         testing.TB
	id        policy.RegionID
	bundle    *bundle
	store     *switchable
	regionLog *regionlog.Log
	door      *egress.Door
	gate      *gate.Gate
	server    *Server
	metrics   *prometheus.Registry
	addr      string
	ingest    string // of streams
	client    *http.Client
	roots     *x509.CertPool
	log       *safeBuffer
	cut       chan struct{} // closed when the latest upload could send no more
}

// switchable lets a test fail or hold the real store.
type switchable struct {
	store.Store
	before atomic.Pointer[func() error] // of Append
	after  atomic.Pointer[func()]
	scans  atomic.Int64 // that are under way
}

func (s *switchable) Scan(ctx context.Context, p policy.Permit, q store.Query, yield func(*store.Call) bool, turn func(store.Page) bool) (store.Page, error) {
	s.scans.Add(1)
	defer s.scans.Add(-1)
	return s.Store.Scan(ctx, p, q, yield, turn)
}

func (s *switchable) Append(ctx context.Context, p policy.Permit, recs []record.Record) ([]store.Appended, error) {
	if f := s.before.Load(); f != nil {
		if err := (*f)(); err != nil {
			return nil, err
		}
	}
	got, err := s.Store.Append(ctx, p, recs)
	if f := s.after.Load(); f != nil {
		(*f)()
	}
	return got, err
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var catalogue = []policy.Region{
	{ID: "ie1", Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "none", Lifecycle: policy.Active, BaseURL: ieURL},
	{ID: "us1", Boundary: "us", Country: "US", Cloud: "aws-us-east-1", BackupRegion: "none", Lifecycle: policy.Active, BaseURL: usURL},
}

// tenantID and key make fixed, valid identifiers from one letter.
func tenantID(letter string) policy.TenantID {
	return policy.TenantID("TN" + strings.Repeat(letter, 32))
}

func secretOf(region, letter string, role policy.KeyRole) (policy.APIKey, string) {
	sum := sha256.Sum256([]byte(region + letter + string(role)))
	id := hex.EncodeToString(sum[:16])
	secret := hex.EncodeToString(sum[:])
	hash := sha256.Sum256([]byte(secret))
	return policy.APIKey{ID: policy.KeyID("SK" + id), Tenant: tenantID(letter), Region: policy.RegionID(region), Role: role,
		SecretSHA256: hex.EncodeToString(hash[:]), HomeEpoch: 1}, "sk_" + region + "_" + id + "_" + secret
}

func key(region, letter string, role policy.KeyRole) string {
	_, s := secretOf(region, letter, role)
	return s
}

func tenantRow(letter, slug string, home policy.Region) policy.Row {
	p := policy.DefaultPolicy(tenantID(letter), home, "ENT")
	row := &policy.TenantRow{ID: tenantID(letter), Slug: policy.Slug(slug), State: policy.TenantActive, Home: home.ID, HomeEpoch: 1, Policy: &p}
	for _, role := range []policy.KeyRole{policy.RoleIngest, policy.RoleReader, policy.RoleAdmin} {
		k, _ := secretOf(string(home.ID), letter, role)
		row.Keys = append(row.Keys, k)
	}
	return policy.Row{Format: policy.FormatVersion, Tenant: row}
}

// rows is the bundle of ie1: tenants a and b at home, and c that moved to us1.
func rows() []policy.Row {
	out := []policy.Row{tenantRow("a", "acme", catalogue[0]), tenantRow("b", "bolt", catalogue[0])}
	moved := tenantRow("c", "cork", catalogue[0])
	moved.Tenant.Home, moved.Tenant.HomeEpoch, moved.Tenant.HomeURL, moved.Tenant.Policy = "us1", 2, usURL, nil
	out = append(out, moved)
	for i := range catalogue {
		out = append(out, policy.Row{Format: policy.FormatVersion, Region: &catalogue[i]})
	}
	return out
}

func newView(t testing.TB, revision uint64, rows []policy.Row) *feed.View {
	t.Helper()
	v, err := feed.NewView(revision, rows)
	must(t, err)
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start serves region ie1 on a loopback port.
func start(t testing.TB) *region {
	t.Helper()
	return startWith(t, func(*local.Options) {}, func(*gate.Options, *local.Keyring) {})
}

// startWith is start with another keyring and gate.
func startWith(t testing.TB, keyring func(*local.Options), door func(*gate.Options, *local.Keyring)) *region {
	t.Helper()
	dir := t.TempDir()
	r := &region{t: t, id: "ie1", bundle: &bundle{}, metrics: prometheus.NewRegistry(), log: &safeBuffer{}}
	r.bundle.view.Store(newView(t, 1, rows()))
	logger := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))

	ca, err := mtls.OpenAuthority(filepath.Join(dir, "ca"))
	must(t, err)
	files, err := ca.Issue(filepath.Join(dir, "node"), mtls.Identity{Cluster: "CL" + strings.Repeat("0", 32), Region: r.id, Role: mtls.DataPlane,
		Node: policy.NodeID("ND" + strings.Repeat("1", 32))}, "127.0.0.1", "api.ie1.example.test")
	must(t, err)
	material, err := mtls.Load(files)
	must(t, err)
	r.roots = material.Roots()

	ringOptions := local.Options{Dir: filepath.Join(dir, "keys"), Region: r.id}
	keyring(&ringOptions)
	keys, err := local.OpenKeyring(ringOptions)
	must(t, err)
	t.Cleanup(func() { _ = keys.Close() })
	records, err := localstore.Open(localstore.Options{Dir: filepath.Join(dir, "records"), Region: r.id, Keys: keys, Logger: logger,
		Room: func(time.Time) error { return nil }})
	must(t, err)
	t.Cleanup(func() { _ = records.Close() })
	r.store = &switchable{Store: records}
	r.door, err = egress.New(egress.Options{Region: r.id, Dir: filepath.Join(dir, "egress"), Logger: logger})
	must(t, err)
	t.Cleanup(func() { _ = r.door.Close() })

	blobs, err := local.OpenBlobs(filepath.Join(dir, "media"))
	must(t, err)
	library, err := media.New(media.Options{Region: r.id, Keys: keys, Store: records, Blobs: blobs, PartSize: 1 << 20})
	must(t, err)
	r.regionLog, err = regionlog.Open(regionlog.Options{Store: records, Keys: keys, Cluster: material.Identity.Cluster, Region: r.id, Node: material.Identity.Node, Dir: filepath.Join(dir, "log"),
		Certify: func(statement []byte) ([]byte, string, error) {
			signature, err := material.SignStatement(statement)
			return signature, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: material.Certificate().Certificate[0]})), err
		}})
	must(t, err)
	must(t, r.regionLog.Round(context.Background()))
	gateOptions := gate.Options{Region: r.id, Feed: r.bundle, BaseURLs: map[string]string{"ie1": ieURL, "us1": usURL}}
	door(&gateOptions, keys)
	r.gate = gate.New(gateOptions)
	r.server, err = New(Options{Region: r.id, Hosts: []string{"127.0.0.1", "api.ie1.example.test"}, DefaultCountry: "IE",
		TLS:             material.PublicServer(),
		Gate:            r.gate,
		IngestAddresses: map[string]string{"us1": usIngest},
		Bundle:          r.bundle, Store: r.store, Media: library, Log: r.regionLog, Ledger: r.door.Entries, Ready: func() error { return nil }, Logger: logger, Metrics: r.metrics})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.addr = l.Addr().String()
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.ingest = streams.Addr().String()
	done := make(chan error, 2)
	go func() { done <- r.server.Serve(r.door.Listener(l, policy.CustomerAPI)) }()
	go func() { done <- r.server.ServeIngest(r.door.Listener(streams, policy.CustomerAPI)) }()
	r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots}, DisableCompression: true}}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("serve: %v", err)
			}
		}
	})
	return r
}

// ask sends one request; header pairs follow the body.
func (r *region) ask(method, path, key string, body io.Reader, header ...string) (int, http.Header, []byte) {
	r.t.Helper()
	req, err := http.NewRequest(method, "https://"+r.addr+path, body)
	must(r.t, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := r.client.Do(req)
	must(r.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(r.t, err)
	if resp.Header.Get("X-Request-Id") == "" {
		r.t.Errorf("%s %s: answer has no X-Request-Id", method, path)
	}
	return resp.StatusCode, resp.Header, raw
}

// get asks for JSON and decodes a 200.
func (r *region) get(path, key string, into any) {
	r.t.Helper()
	status, _, raw := r.ask(http.MethodGet, path, key, nil)
	if status != http.StatusOK {
		r.t.Fatalf("GET %s: %d %s", path, status, raw)
	}
	must(r.t, json.Unmarshal(raw, into))
}

// post sends JSON.
func (r *region) post(path, key, body string, header ...string) (int, []byte) {
	r.t.Helper()
	status, _, raw := r.ask(http.MethodPost, path, key, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, header...)...)
	return status, raw
}

// refusal asks and wants a problem with this reason.
func (r *region) refusal(want policy.Reason, method, path, key, body string, header ...string) api.Problem {
	r.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
		header = append([]string{"Content-Type", "application/json"}, header...)
	}
	status, h, raw := r.ask(method, path, key, in, header...)
	if p := r.problem(want, status, h, raw); twilio.Serves(path) == (p.Type == "about:blank") {
		r.t.Fatalf("%s %s refuses in another API's shape: %s", method, path, raw)
	} else {
		return p
	}
	return api.Problem{}
}

func (r *region) problem(want policy.Reason, status int, h http.Header, raw []byte) api.Problem {
	r.t.Helper()
	var p api.Problem
	var f twilio.Fault
	if err := json.Unmarshal(raw, &f); err == nil && f.MoreInfo != "" && f.Details["reason"] == string(want) && f.Status == status && status == api.MappingOf(want).HTTP {
		p = api.Problem{Status: status, Reason: want, Detail: f.Message, RequestID: h.Get("X-Request-Id"), Metadata: map[string]string{}}
		for name, value := range f.Details {
			p.Metadata[name], _ = value.(string)
		}
		return p
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		r.t.Fatalf("want a %s problem, got %d %q", want, status, raw)
	}
	if p.Reason != want || status != api.MappingOf(want).HTTP || h.Get("Content-Type") != "application/problem+json" || p.RequestID != h.Get("X-Request-Id") {
		r.t.Fatalf("want %s, got %d %s (%s)", want, status, raw, h.Get("Content-Type"))
	}
	return p
}

// counter reads a counter, or a gauge, as an operator would; labels are the values in order of their names.
func (r *region) counter(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.metrics.Gather()
	must(r.t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			match := true
			for i, l := range m.GetLabel() {
				match = match && (i >= len(labels) || l.GetValue() == labels[i])
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
