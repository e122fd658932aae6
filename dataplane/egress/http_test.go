package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// INV05: an HTTP client of the door reaches what was declared, over TLS, follows
// no redirect, and each connection is in the ledger.
func TestINV05_HTTPGoesThroughTheDoor(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, elsewhere.URL, http.StatusMovedPermanently)
		}
	}))
	defer server.Close()
	d, err := New(Options{Region: "ie1", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Allow(policy.LocalKey, HostPort(server.URL)); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client, err := d.HTTP(Route{Class: policy.LocalKey, Region: "ie1"}, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	t.Setenv("HTTPS_PROXY", elsewhere.URL)
	for url, want := range map[string]int{server.URL: 200, server.URL + "/away": 301, elsewhere.URL: 0, "http://198.51.100.7/": 0} {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if want == 0 {
			if !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s: %v %v", url, resp, err)
		}
		_ = resp.Body.Close()
	}
	if e := d.Entries(); len(e) != 1 || e[0].Class != policy.LocalKey || e[0].Connections == 0 {
		t.Errorf("the ledger: %+v", e)
	}
	if _, err := d.HTTP(Route{Class: policy.LocalKey}, nil); err == nil {
		t.Error("a client without TLS")
	}
	for url, want := range map[string]string{"https://kms.eu-west-1.amazonaws.com": "kms.eu-west-1.amazonaws.com:443", "http://169.254.169.254": "169.254.169.254:80", "https://[::1]:7/x": "[::1]:7", "nothing": ""} {
		if got := HostPort(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}
