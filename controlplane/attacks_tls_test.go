package controlplane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// greet makes a connection, says something and reads: only then does TLS 1.3
// tell a client that its certificate was refused. The error is nil when the
// other side keeps the connection open, or answers.
func greet(dial func() (net.Conn, error), conf *tls.Config) error {
	plain, err := dial()
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := plain.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	conn := tls.Client(plain, conf)
	if err := conn.HandshakeContext(context.Background()); err != nil {
		return err
	}
	// An accepted client's silence is not answered; a refused one's is, with an alert.
	if err := conn.SetReadDeadline(time.Now().Add(400 * time.Millisecond)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return nil
	}
	return err
}

func to(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.DialTimeout("tcp", address, patience) }
}

// certificate is what forge makes.
type certificate struct {
	uris             []string
	notBefore, until time.Time
	usage            []x509.ExtKeyUsage
	signer           *tls.Certificate // nil: the cluster's authority
	commonName       string
}

// forge signs whatever is asked with the cluster's own authority, as a careless
// or bribed one would.
func (c *cluster) forge(f certificate) tls.Certificate {
	c.t.Helper()
	authority := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(c.configs[0].TLS.CA))), "pki")
	signer, err := tls.LoadX509KeyPair(filepath.Join(authority, "ca.pem"), filepath.Join(authority, "ca.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	if f.signer != nil {
		signer = *f.signer
	}
	parent, err := x509.ParseCertificate(signer.Certificate[0])
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: f.notBefore, NotAfter: f.until, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: f.usage}
	template.Subject.CommonName = f.commonName
	for _, u := range f.uris {
		parsed, err := url.Parse(u)
		if err != nil {
			c.t.Fatal(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer.PrivateKey)
	if err != nil {
		c.t.Fatal(err)
	}
	chain := [][]byte{der}
	if f.signer != nil {
		chain = append(chain, signer.Certificate...)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key}
}

// good is a certificate that every listener of a voter takes.
func (c *cluster) good() certificate {
	id := mtls.Identity{Cluster: c.id, Region: mtls.ControlRegion, Role: mtls.ControlPlane, Node: policy.NodeID(mustID(c.t, policy.KindNode))}
	return certificate{uris: []string{id.URI().String()}, notBefore: time.Now().Add(-time.Hour), until: time.Now().Add(time.Hour),
		usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
}

func (c *cluster) shown(cert *tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: c.roots(), MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1", NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			return cert, nil
		}}
}

func TestINV06_ForgedCertificatesOpenNothing(t *testing.T) {
	newTarget(t).forgedCertificatesOpenNothing(t)
}

func (x *target) forgedCertificatesOpenNothing(t *testing.T) {
	t.Helper()
	grpcPort, raftPort := x.configs[0].GRPCAddress, x.configs[0].RaftAddress
	with := func(edit func(*certificate)) tls.Certificate {
		f := x.good()
		edit(&f)
		return x.forge(f)
	}
	good := x.forge(x.good())
	for _, port := range []string{grpcPort, raftPort} {
		if err := greet(to(port), x.shown(&good)); err != nil {
			t.Fatalf("the control: a good certificate is refused: %v", err)
		}
	}
	own := x.good().uris[0]
	for name, cert := range map[string]tls.Certificate{
		"expired":                      with(func(f *certificate) { f.until = time.Now().Add(-time.Minute) }),
		"not valid yet":                with(func(f *certificate) { f.notBefore = time.Now().Add(time.Minute) }),
		"two names":                    with(func(f *certificate) { f.uris = append(f.uris, own) }),
		"no name":                      with(func(f *certificate) { f.uris = nil; f.commonName = own }),
		"another trust domain":         with(func(f *certificate) { f.uris = []string{strings.Replace(own, "//domicile/", "//domicile.evil/", 1)} }),
		"another scheme":               with(func(f *certificate) { f.uris = []string{strings.Replace(own, "spiffe:", "https:", 1)} }),
		"a longer name":                with(func(f *certificate) { f.uris = []string{own + "/x"} }),
		"an unknown role":              with(func(f *certificate) { f.uris = []string{strings.Replace(own, "/role/cp/", "/role/root/", 1)} }),
		"a role in capitals":           with(func(f *certificate) { f.uris = []string{strings.Replace(own, "/role/cp/", "/role/CP/", 1)} }),
		"another cluster":              with(func(f *certificate) { f.uris = []string{strings.Replace(own, x.id, "CL"+strings.Repeat("0", 32), 1)} }),
		"a node without a region":      with(func(f *certificate) { f.uris = []string{strings.Replace(own, "/role/cp/", "/role/dp/", 1)} }),
		"for servers alone":            with(func(f *certificate) { f.usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"for mail":                     with(func(f *certificate) { f.usage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }),
		"signed by a leaf of ours":     with(func(f *certificate) { f.signer = &good }),
		"signed by one of another key": with(func(f *certificate) { f.signer = stranger(t) }),
	} {
		for _, port := range []string{grpcPort, raftPort} {
			if err := greet(to(port), x.shown(&cert)); err == nil {
				t.Errorf("a certificate that is %s opens %s", name, port)
			}
		}
	}
	for _, role := range []mtls.Role{mtls.Gateway, mtls.DataPlane} {
		cert := with(func(f *certificate) {
			f.uris = []string{strings.Replace(own, "/region/control/role/cp/", "/region/ie1/role/"+string(role)+"/", 1)}
		})
		if err := greet(to(raftPort), x.shown(&cert)); err == nil {
			t.Errorf("the Raft port takes a certificate of role %s", role)
		}
	}
	if err := greet(to(raftPort), x.shown(nil)); err == nil {
		t.Error("the Raft port takes who shows nothing")
	}
	x.unharmed(t, "forged certificates")
}

// stranger is an authority of its own that calls itself ours.
func stranger(t *testing.T) *tls.Certificate {
	t.Helper()
	dir := t.TempDir()
	if _, err := mtls.OpenAuthority(dir); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

func TestINV06_OldProtocolsAreRefused(t *testing.T) { newTarget(t).oldProtocolsAreRefused(t) }

func (x *target) oldProtocolsAreRefused(t *testing.T) {
	t.Helper()
	good := x.forge(x.good())
	for name, port := range map[string]string{"gRPC": x.configs[0].GRPCAddress, "Raft": x.configs[0].RaftAddress, "REST": x.configs[0].RESTAddress} {
		for version, text := range map[uint16]string{tls.VersionTLS10: "1.0", tls.VersionTLS11: "1.1", tls.VersionTLS12: "1.2"} {
			conf := x.shown(&good)
			conf.MinVersion, conf.MaxVersion = tls.VersionTLS10, version
			err := greet(to(port), conf)
			if may := name == "REST" && version == tls.VersionTLS12; (err == nil) != may {
				t.Errorf("%s speaks TLS %s: %t (%v)", name, text, err == nil, err)
			}
		}
		// Ciphers of TLS 1.2 that an attacker on the way can break or tamper with.
		conf := x.shown(nil)
		conf.MinVersion, conf.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		conf.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}
		if err := greet(to(port), conf); err == nil {
			t.Errorf("%s takes a cipher suite without authenticated encryption", name)
		}
		// No TLS at all.
		conn, err := net.DialTimeout("tcp", port, patience)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, "GET /v1/regions HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer "+operatorToken+"\r\n\r\n")
		got, _ := io.ReadAll(conn)
		_ = conn.Close()
		if strings.Contains(string(got), "regions") || strings.Contains(string(got), "200") {
			t.Errorf("%s answers without TLS: %s", name, got)
		}
	}
	x.unharmed(t, "old protocols")
}

func TestINV39_OnlyTheListedPortsAnswerAndOnlyWhatTheyShould(t *testing.T) {
	newTarget(t).onlyWhatIsListedAnswers(t)
}

func (x *target) onlyWhatIsListedAnswers(t *testing.T) {
	t.Helper()
	// gRPC: no reflection, health, channelz or admin service; no such method.
	conn := x.dial(0, mtls.ControlRegion, mtls.Gateway)
	for _, method := range []string{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		"/grpc.health.v1.Health/Check", "/grpc.channelz.v1.Channelz/GetServers", "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
		"/domicile.control.v1.TenantService/Nothing", "/domicile.control.v1.tenantservice/ListTenants", "/domicile.peer.v1.PeerService/Send"} {
		if err := conn.Invoke(withToken(operatorToken), method, &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
	big := &controlv1.CheckPlacementRequest{Tenant: x.victim.id, Features: []string{strings.Repeat("a", 5<<20)}}
	if _, err := controlv1.NewTenantServiceClient(conn).CheckPlacement(withToken(operatorToken), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message of 5 MiB: %v", err)
	}
	if _, err := controlv1.NewRegionServiceClient(conn).ListRegions(metadata.AppendToOutgoingContext(withToken(operatorToken), "x-filler", strings.Repeat("a", 64<<10)), &controlv1.ListRegionsRequest{}); err == nil {
		t.Error("64 KiB of metadata were taken")
	}
	// REST: what belongs to operations is not there, with or without a token.
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests", "/raft", "/swagger", "/.well-known/security.txt", "/server-status"} {
		for _, h := range []headers{nil, {"Authorization": ""}} {
			x.refused(t, "GET "+path, x.do(0, "GET", path, nil, h), 404)
		}
	}
	// The operations' port: metrics and health, nothing else, and nothing of a tenant.
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/v1/tenants", "/", "/openapi.json"} {
		if code, _ := plainGet(t, "http://"+x.configs[0].OpsAddress+path); code != http.StatusNotFound {
			t.Errorf("the operations' port answers %s with %d", path, code)
		}
	}
	code, metrics := plainGet(t, "http://"+x.configs[0].OpsAddress+"/metrics")
	if code != 200 {
		t.Fatalf("no metrics: %d", code)
	}
	for _, name := range append(x.victim.names(), operatorToken, private) {
		if strings.Contains(metrics, name) {
			t.Errorf("INV09: the metrics hold %s", name)
		}
	}
	x.unharmed(t, "looking for debug ports")
}

func plainGet(t *testing.T, address string) (int, string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
