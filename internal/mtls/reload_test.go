package mtls

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

const cluster = "CL000000000000000000000000000000aa"

func identity(role Role, region policy.RegionID, last string) Identity {
	return Identity{Cluster: cluster, Region: region, Role: role, Node: policy.NodeID("ND0000000000000000000000000000000" + last)}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// issued makes an identity's files and the material that follows them without
// waiting between two looks.
func issued(t testing.TB, p *PKI, id Identity) (dir string, m *Material) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), string(id.Role))
	f, err := p.Issue(dir, Order{Identity: id, Hosts: []string{"127.0.0.1"}})
	check(t, err)
	m, err = Load(f)
	check(t, err)
	m.every = 0
	return dir, m
}

// load asks a server over new connections until it is stopped.
type load struct {
	address string
	own     *Material
	client  *http.Client

	asked  atomic.Int64
	failed atomic.Int64
	first  atomic.Pointer[error]
	mu     sync.Mutex
	serial map[string]string // serial of what the server showed → its issuer
}

func newLoad(address string, own *Material) *load {
	l := &load{address: address, own: own, serial: map[string]string{}}
	config := own.Client(Peer{Roles: []Role{ControlPlane}})
	verify := config.VerifyConnection
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		l.mu.Lock()
		l.serial[cs.PeerCertificates[0].SerialNumber.String()] = cs.PeerCertificates[0].Issuer.CommonName
		l.mu.Unlock()
		return verify(cs)
	}
	l.client = &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	return l
}

func (l *load) ask() error {
	r, err := l.client.Get("https://" + l.address + "/")
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return errors.Join(err, r.Body.Close())
}

func (l *load) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if err := l.ask(); err != nil {
			l.failed.Add(1)
			l.first.CompareAndSwap(nil, &err)
		}
		l.asked.Add(1)
	}
}

// some waits until n more requests have been answered.
func (l *load) some(t *testing.T, n int64) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for want := l.asked.Load() + n; l.asked.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no load: the run is void")
		}
	}
}

func (l *load) issuers() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]bool{}
	for _, issuer := range l.serial {
		out[issuer] = true
	}
	return out
}

func serve(t *testing.T, m *Material, p Peer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &http.Server{TLSConfig: m.Server(p), ErrorLog: nil, ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

// Leaves and the authority itself are replaced while requests come without
// pause, each over a new connection: none fails, and every version was seen.
func TestRotationFailsNoRequest(t *testing.T) {
	p, err := InitPKI(filepath.Join(t.TempDir(), "pki"), cluster)
	check(t, err)
	serverDir, server := issued(t, p, identity(ControlPlane, ControlRegion, "1"))
	clientDir, client := issued(t, p, identity(DataPlane, "ie1", "2"))
	address := serve(t, server, Peer{Roles: []Role{DataPlane}})
	former := client.Certificate()

	l := newLoad(address, client)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { l.run(stop) })
	}
	reissue := func() {
		t.Helper()
		for _, dir := range []string{serverDir, clientDir} {
			_, err := p.Reissue(dir, 0)
			check(t, err)
			l.some(t, 25)
		}
	}
	l.some(t, 25)
	reissue()
	for _, step := range []func() error{p.Prepare, p.Activate, p.Retire} {
		check(t, step())
		reissue()
	}
	close(stop)
	clients.Wait()

	if n := l.failed.Load(); n != 0 {
		t.Errorf("%d of %d requests failed; first: %v", n, l.asked.Load(), *l.first.Load())
	}
	if len(l.serial) < 5 || len(l.issuers()) != 2 { // the witness: versions did change under the load
		t.Errorf("the server showed %d certificates of %d authorities, want at least 5 of 2", len(l.serial), len(l.issuers()))
	}
	for _, m := range []*Material{server, client} {
		check(t, m.Problem())
	}
	if err := ask(address, &former); err == nil {
		t.Error("a certificate of the retired authority is still accepted")
	}
}

// The order of the steps matters: an authority that signs before nodes trust
// it cuts them off from each other, and the test above would see it.
func TestRotationWithoutPrepareWouldFail(t *testing.T) {
	p, err := InitPKI(filepath.Join(t.TempDir(), "pki"), cluster)
	check(t, err)
	serverDir, server := issued(t, p, identity(ControlPlane, ControlRegion, "1"))
	_, client := issued(t, p, identity(DataPlane, "ie1", "2"))
	l := newLoad(serve(t, server, Peer{Roles: []Role{DataPlane}}), client)
	check(t, l.ask())
	check(t, p.Prepare())
	check(t, p.Activate())
	_, err = p.Reissue(serverDir, 0)
	check(t, err)
	if err := l.ask(); err == nil {
		t.Error("the client trusts an authority that was never distributed")
	}
}

// ask shows a certificate and waits for what the server makes of it.
func ask(address string, cert *tls.Certificate) error {
	c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }}
	h := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := h.Get("https://" + address + "/")
	if err != nil {
		return err
	}
	return r.Body.Close()
}

// What does not belong to us, or together, changes nothing.
func TestReloadKeepsTheLastGood(t *testing.T) {
	p, err := InitPKI(filepath.Join(t.TempDir(), "pki"), cluster)
	check(t, err)
	own := identity(DataPlane, "ie1", "2")
	stranger, err := InitPKI(filepath.Join(t.TempDir(), "pki"), cluster)
	check(t, err)
	with := func(change func(*Identity)) Identity { id := own; change(&id); return id }
	copyAll := func(t *testing.T, from Files, to Files) {
		for _, pair := range [][2]string{{from.Key, to.Key}, {from.Certificate, to.Certificate}, {from.CA, to.CA}} {
			raw, err := os.ReadFile(pair[0])
			check(t, err)
			check(t, replace(pair[1], raw, 0o600))
		}
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, f Files)
		want  string
	}{
		"another region": {func(t *testing.T, f Files) {
			dir, _ := issued(t, p, with(func(i *Identity) { i.Region = "us1" }))
			copyAll(t, FilesIn(dir), f)
		}, "region/us1"},
		"another role": {func(t *testing.T, f Files) {
			dir, _ := issued(t, p, with(func(i *Identity) { i.Role, i.Region = ControlPlane, ControlRegion }))
			copyAll(t, FilesIn(dir), f)
		}, "role/cp"},
		"another node": {func(t *testing.T, f Files) {
			dir, _ := issued(t, p, identity(DataPlane, "ie1", "3"))
			copyAll(t, FilesIn(dir), f)
		}, "same identity"},
		"another cluster": {func(t *testing.T, f Files) {
			q, err := InitPKI(filepath.Join(t.TempDir(), "pki"), strings.Replace(cluster, "aa", "bb", 1))
			check(t, err)
			dir, _ := issued(t, q, with(func(i *Identity) { i.Cluster = q.Cluster() }))
			copyAll(t, FilesIn(dir), f)
		}, "same identity"},
		"a bundle without our authority": {func(t *testing.T, f Files) {
			raw, err := os.ReadFile(stranger.Bundle())
			check(t, err)
			check(t, replace(f.CA, raw, 0o600))
		}, "not signed by an authority"},
		"a key of another certificate": {func(t *testing.T, f Files) {
			dir, _ := issued(t, p, own)
			raw, err := os.ReadFile(FilesIn(dir).Key)
			check(t, err)
			check(t, replace(f.Key, raw, 0o600))
		}, "does not match"},
		"no file":        {func(t *testing.T, f Files) { check(t, os.Remove(f.Certificate)) }, "correct the path"},
		"half a file":    {func(t *testing.T, f Files) { check(t, os.Truncate(f.Certificate, 100)) }, "load certificate"},
		"an empty trust": {func(t *testing.T, f Files) { check(t, os.Truncate(f.CA, 0)) }, "holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, m := issued(t, p, own)
			before := m.Certificate()
			c.spoil(t, FilesIn(dir))
			if err := m.Problem(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("problem is %v, want one with %q", err, c.want)
			}
			if m.Certificate().Leaf.SerialNumber.Cmp(before.Leaf.SerialNumber) != 0 {
				t.Fatal("the certificate changed")
			}
		})
	}
}

// A file mended after a failure is taken without a restart.
func TestReloadRecovers(t *testing.T) {
	p, err := InitPKI(filepath.Join(t.TempDir(), "pki"), cluster)
	check(t, err)
	dir, m := issued(t, p, identity(DataPlane, "ie1", "2"))
	check(t, os.Truncate(FilesIn(dir).Key, 0))
	if m.Problem() == nil {
		t.Fatal("a truncated key is no problem")
	}
	raw, err := ReadLeaf(FilesIn(dir).Certificate)
	check(t, err)
	check(t, os.Remove(FilesIn(dir).Key))
	leaf, err := p.Reissue(dir, 0)
	check(t, err)
	check(t, m.Problem())
	if got := m.Certificate().Leaf.SerialNumber; got.Cmp(leaf.SerialNumber) != 0 || got.Cmp(raw.SerialNumber) == 0 {
		t.Error("the mended certificate is not in use")
	}
}
