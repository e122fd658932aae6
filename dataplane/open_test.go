package dataplane

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// nodeConfig is a node of region ie1 whose certificate says certRegion.
func nodeConfig(t *testing.T, certRegion policy.RegionID, role mtls.Role) (Config, Options) {
	t.Helper()
	dir := t.TempDir()
	ca, err := mtls.OpenAuthority(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := ca.Issue(filepath.Join(dir, "tls"), mtls.Identity{Cluster: "CL" + strings.Repeat("0", 32), Region: certRegion, Role: role,
		Node: policy.NodeID("ND" + strings.Repeat("1", 32))}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Logger: slog.New(slog.DiscardHandler), Listener: listen(t), PeerListener: listen(t), OpsListener: listen(t)}
	address := o.Listener.Addr().String()
	return Config{Region: "ie1", DataDir: filepath.Join(dir, "data"), TLS: files,
		ListenAddress: address, Hosts: []string{"127.0.0.1"}, ControlPlane: []string{"127.0.0.1:1"},
		RootPublicKey: strings.Repeat("00", 32), BaseURLs: map[string]string{"ie1": "https://" + address, "us1": "https://us.example.test"},
		DefaultCountry: "IE"}, o
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestINV06CertificateOfAnotherRegionStopsTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		region policy.RegionID
		role   mtls.Role
		want   string
	}{
		"region":       {"us1", mtls.DataPlane, "is of region us1 but the configuration says ie1"},
		"role":         {"ie1", mtls.ControlPlane, "has role cp"},
		"control role": {mtls.ControlRegion, mtls.Gateway, "has role gw"},
	} {
		cfg, opts := nodeConfig(t, c.region, c.role)
		n, err := Open(context.Background(), cfg, opts)
		if err == nil || n != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if _, err := net.DialTimeout("tcp", cfg.ListenAddress, time.Second); err == nil {
			t.Errorf("%s: the listener is still open", name)
		}
	}
}

func TestNodeStartsListensAndEnds(t *testing.T) {
	cfg, opts := nodeConfig(t, "ie1", mtls.DataPlane)
	ops := "http://" + opts.OpsListener.Addr().String()
	n, err := Open(context.Background(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	if n.URL() != cfg.BaseURLs["ie1"] {
		t.Errorf("URL is %q", n.URL())
	}
	if err := n.Ready(); err == nil || !strings.Contains(err.Error(), "no policy bundle") {
		t.Errorf("a node without a bundle says it is ready: %v", err)
	}
	roots, err := mtls.LoadRoots(cfg.TLS.CA)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for url, want := range map[string]int{
		n.URL() + "/healthz": 200, n.URL() + "/readyz": 503, n.URL() + "/metrics": 401, n.URL() + "/v1/calls": 401, n.URL() + "/debug/pprof/": 401,
		ops + "/healthz": 200, ops + "/readyz": 503, ops + "/metrics": 200, ops + "/debug/pprof/": 404, ops + "/v1/calls": 404,
	} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", url, resp.StatusCode, body, want)
		}
		if url == n.URL()+"/readyz" && string(body) != "not ready\n" {
			t.Errorf("tenants are told why the node is not ready: %q", body)
		}
	}
	client.CloseIdleConnections()

	second := cfg
	second.ListenAddress = "127.0.0.1:0"
	if _, err := Open(context.Background(), second, Options{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "another running node") {
		t.Errorf("a second node took the same folder: %v", err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(ctx); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if _, err := net.DialTimeout("tcp", cfg.ListenAddress, time.Second); err == nil {
		t.Error("the listener is still open")
	}
	again, err := Open(ctx, second, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("start again on the same folder: %v", err)
	}
	if err := again.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
