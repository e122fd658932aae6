package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/domicile-io/domicile/policy"
)

// Material is a certificate, its key, and the authority that signs peers.
type Material struct {
	Certificate tls.Certificate
	Roots       *x509.CertPool
	Identity    Identity
}

// Files names PEM files.
type Files struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	CA          string `yaml:"ca"`
}

// Load reads PEM files. Every error names the file.
func Load(f Files) (*Material, error) {
	cert, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", f.Certificate, f.Key, err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parse certificate %s: %w", f.Certificate, err)
	}
	id, err := Of(leaf)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", f.Certificate, err)
	}
	roots, err := LoadRoots(f.CA)
	if err != nil {
		return nil, err
	}
	return &Material{Certificate: cert, Roots: roots, Identity: id}, nil
}

// LoadRoots reads a PEM bundle of authorities.
func LoadRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authority %s holds no PEM certificate", path)
	}
	return roots, nil
}

// Peer says whom a connection accepts.
type Peer struct {
	Roles  []Role
	Region policy.RegionID // "" any
}

func (p Peer) check(own Identity) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return errors.New("peer showed no certificate")
		}
		id, err := Of(cs.PeerCertificates[0])
		if err != nil {
			return err
		}
		if id.Cluster != own.Cluster {
			return errors.New("peer is of another cluster")
		}
		if p.Region != "" && id.Region != p.Region {
			return fmt.Errorf("peer is of region %s, want %s", id.Region, p.Region)
		}
		for _, r := range p.Roles {
			if id.Role == r {
				return nil
			}
		}
		return fmt.Errorf("peer's role %s may not connect here", id.Role)
	}
}

// Server accepts only peers with a certificate of our authority, our cluster
// and an allowed role. TLS 1.3 only.
func (m *Material) Server(p Peer) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.Certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: m.Roots, VerifyConnection: p.check(m.Identity)}
}

// PublicServer serves clients that need no certificate (tenants, people); one
// that shows a certificate has it verified. TLS 1.2 is accepted because
// switches in the field speak nothing newer.
func (m *Material) PublicServer() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{m.Certificate},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: m.Roots}
}

// Client shows our certificate and accepts only an allowed peer. The peer is
// known by its identity, not by its host name, so that addresses may change.
func (m *Material) Client(p Peer) *tls.Config {
	check := p.check(m.Identity)
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.Certificate},
		InsecureSkipVerify: true, // the chain is verified below; only the host-name check is replaced
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("peer showed no certificate")
			}
			opts := x509.VerifyOptions{Roots: m.Roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
			for _, c := range cs.PeerCertificates[1:] {
				opts.Intermediates.AddCert(c)
			}
			if _, err := cs.PeerCertificates[0].Verify(opts); err != nil {
				return fmt.Errorf("verify peer: %w", err)
			}
			return check(cs)
		}}
}
