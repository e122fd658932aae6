package dev

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Every listener between machines × every kind of certificate: cluster, role,
// region and authority are checked at each, and the right one gets in.
func TestINV06_EveryListenerChecksEveryCertificate(t *testing.T) {
	e, err := Start(context.Background(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	ours, err := mtls.OpenAuthority(filepath.Dir(e.CAFile()))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := mtls.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	listeners := map[string][]mtls.Role{}
	for _, v := range voterNames {
		listeners[v+"-grpc"] = []mtls.Role{mtls.ControlPlane, mtls.DataPlane, mtls.Gateway}
		listeners[v+"-raft"] = []mtls.Role{mtls.ControlPlane}
	}
	for _, r := range e.Regions() {
		listeners[r+"-peer"] = []mtls.Role{mtls.DataPlane}
	}
	foreign := "CL" + strings.Repeat("f", 32)
	n, let := 0, 0
	for _, cluster := range []string{e.pki.identity.Cluster, foreign} {
		for _, role := range []mtls.Role{mtls.ControlPlane, mtls.DataPlane, mtls.Gateway} {
			for _, region := range []policy.RegionID{mtls.ControlRegion, "ie1", "zz9"} {
				for name, authority := range map[string]*mtls.Authority{"ours": ours, "a stranger's": stranger} {
					n++
					id := mtls.Identity{Cluster: cluster, Role: role, Region: region, Node: policy.NodeID(fmt.Sprintf("ND%032x", n))}
					f, err := authority.Issue(t.TempDir(), id, "127.0.0.1")
					if err != nil {
						t.Fatal(err)
					}
					cert, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
					if err != nil {
						t.Fatal(err)
					}
					for listener, roles := range listeners {
						want := cluster != foreign && authority == ours && slices.Contains(roles, role) && !(role == mtls.DataPlane && region == mtls.ControlRegion)
						if want {
							let++
						}
						if err := knock(e.ports.address(listener), &cert, tls.VersionTLS13); (err == nil) != want {
							t.Errorf("%s: a certificate of authority %s, cluster ours=%t, role %s, region %s: got %v, want let in = %t", listener, name, cluster != foreign, role, region, err, want)
						}
						if want && knock(e.ports.address(listener), &cert, tls.VersionTLS12) == nil {
							t.Errorf("%s speaks TLS 1.2", listener)
						}
					}
				}
			}
		}
	}
	for listener := range listeners {
		if knock(e.ports.address(listener), nil, tls.VersionTLS13) == nil {
			t.Errorf("%s lets in who shows no certificate", listener)
		}
	}
	if let == 0 {
		t.Error("nothing was let in: the matrix shows nothing")
	}
}

// knock shows a certificate and waits for what the listener makes of it: TLS
// 1.3 tells a client of its refusal only when it reads.
func knock(address string, cert *tls.Certificate, version uint16) error {
	c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, MaxVersion: version, NextProtos: []string{"h2"}}
	if cert != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return nil // let in: the listener waits for us to speak
	}
	return err
}
