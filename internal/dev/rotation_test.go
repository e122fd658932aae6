package dev

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/mtls"
)

// Every certificate of a running system is replaced while requests, each over
// a new connection, go to all: every listener shows its new certificate
// without a restart, and no request fails.
func TestEveryListenerRotatesUnderLoad(t *testing.T) {
	e, err := Start(context.Background(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	listeners := append([]string(nil), e.Regions()...)
	for _, r := range e.Regions() {
		listeners = append(listeners, r+"-peer")
	}
	for _, v := range voterNames {
		listeners = append(listeners, v+"-rest", v+"-grpc", v+"-raft")
	}
	before := map[string]string{}
	for _, l := range listeners {
		before[l] = serialAt(e.ports.address(l))
	}

	var asked, failed atomic.Int64
	var first atomic.Pointer[error]
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := askAll(e); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
				}
				asked.Add(1)
			}
		})
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	await("load", func() bool { return asked.Load() > 10 })
	if err := e.pki.issue(voterNames, e.Regions(), nil); err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		await(l+" to show its new certificate", func() bool { s := serialAt(e.ports.address(l)); return s != "" && s != before[l] })
	}
	so := asked.Load()
	await("load after the rotation", func() bool { return asked.Load() > so+10 })
	close(stop)
	clients.Wait()
	if n := failed.Load(); n != 0 {
		t.Errorf("%d of %d rounds failed; first: %v", n, asked.Load(), *first.Load())
	}
}

// askAll reads from each voter and each region, over new connections.
func askAll(e *Environment) error {
	roots, err := mtls.LoadRoots(e.CAFile())
	if err != nil {
		return err
	}
	hc := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	get := func(url string, want int) error {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+e.Token())
		r, err := hc.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r.Body)
		if r.StatusCode != want {
			err = errors.Join(err, fmt.Errorf("%s answered %d, want %d", url, r.StatusCode, want))
		}
		return errors.Join(err, r.Body.Close())
	}
	for _, v := range voterNames {
		if err := get("https://"+e.ports.address(v+"-rest")+"/v1/tenants", http.StatusOK); err != nil {
			return err
		}
	}
	for _, r := range e.Regions() {
		if err := get(e.RegionURL(r)+"/v1/calls", http.StatusUnauthorized); err != nil {
			return err
		}
	}
	return nil
}

// serialAt is the serial number of the certificate that a listener shows,
// whether or not it lets us in.
func serialAt(address string) (serial string) {
	c := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
		leaf, err := x509.ParseCertificate(raw[0])
		if err == nil {
			serial = leaf.SerialNumber.String()
		}
		return err
	}}
	if conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, c); err == nil {
		_ = conn.Close()
	}
	return serial
}
