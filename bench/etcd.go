package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/domicile-io/domicile/internal/loopback"
)

// etcd is three processes of etcd 3.7.3, built from the module proxy, with TLS
// on every port, no authentication of users, and its own defaults for syncs.
type etcd struct {
	procs   []*exec.Cmd
	clients []*clientv3.Client
	next    atomic.Int64
}

const etcdPackage = "go.etcd.io/etcd/server/v3"

// buildEtcd compiles etcd with the versions of this module.
func buildEtcd(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "etcd-server")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, etcdPackage)
	build.Dir = "bench"
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build etcd: %w\n%s", err, out)
	}
	return path, nil
}

// startEtcd starts three members on loopback and waits until they serve.
func startEtcd(ctx context.Context, program, dir string) (_ *etcd, err error) {
	e := &etcd{}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	conf, err := etcdTLS(dir)
	if err != nil {
		return nil, err
	}
	var client, peer, cluster []string
	for i := range 3 {
		for _, list := range []*[]string{&client, &peer} {
			port, err := loopback.Port()
			if err != nil {
				return nil, err
			}
			*list = append(*list, "https://"+loopback.Address(port))
		}
		cluster = append(cluster, fmt.Sprintf("e%d=%s", i, peer[i]))
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	for i := range 3 {
		cmd := exec.Command(program, "--name", fmt.Sprintf("e%d", i), "--data-dir", file(fmt.Sprintf("e%d", i)),
			"--listen-client-urls", client[i], "--advertise-client-urls", client[i],
			"--listen-peer-urls", peer[i], "--initial-advertise-peer-urls", peer[i],
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new", "--log-level", "error",
			"--cert-file", file("cert.pem"), "--key-file", file("key.pem"), "--client-cert-auth", "--trusted-ca-file", file("cert.pem"),
			"--peer-cert-file", file("cert.pem"), "--peer-key-file", file("key.pem"), "--peer-client-cert-auth", "--peer-trusted-ca-file", file("cert.pem"))
		var log bytes.Buffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("start etcd: %w", err)
		}
		e.procs = append(e.procs, cmd)
	}
	leader, err := e.leader(ctx, client, conf)
	if err != nil {
		return nil, err
	}
	for range connections {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{leader}, TLS: conf, DialTimeout: 10 * time.Second})
		if err != nil {
			return nil, err
		}
		e.clients = append(e.clients, c)
	}
	return e, nil
}

// leader finds the member that leads: like ours, it is asked directly.
func (e *etcd) leader(ctx context.Context, endpoints []string, conf *tls.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: conf, DialTimeout: 10 * time.Second})
	if err != nil {
		return "", err
	}
	defer c.Close()
	for ctx.Err() == nil {
		for _, at := range endpoints {
			one, done := context.WithTimeout(ctx, time.Second)
			st, err := c.Status(one, at)
			done()
			if err == nil && st.Leader != 0 && st.Leader == st.Header.MemberId {
				return at, nil
			}
		}
	}
	return "", errors.New("etcd has no leader after 30 s")
}

func (e *etcd) client(worker int) *clientv3.Client { return e.clients[worker%len(e.clients)] }

func (e *etcd) close() {
	for _, c := range e.clients {
		_ = c.Close()
	}
	for _, p := range e.procs {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}

// value is as large as a stored policy.
var value = strings.Repeat("p", 1024)

func (e *etcd) put(ctx context.Context, worker int) error {
	_, err := e.client(worker).Put(ctx, fmt.Sprintf("policies/TN%032x", e.next.Add(1)), value)
	return err
}

func (e *etcd) get(ctx context.Context, worker int, opts ...clientv3.OpOption) error {
	_, err := e.client(worker).Get(ctx, fmt.Sprintf("policies/TN%032x", 1+worker), opts...)
	return err
}

// etcdTLS makes one self-signed certificate for everybody.
func etcdTLS(dir string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600), os.WriteFile(filepath.Join(dir, "key.pem"), private, 0o600)); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS13}, nil
}
