package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/domicile-io/domicile/policy"
)

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
		return p.admits(own, id)
	}
}

// admits compares cluster, role and region.
func (p Peer) admits(own, id Identity) error {
	switch {
	case id.Cluster != own.Cluster:
		return errors.New("peer is of another cluster")
	case !slices.Contains(p.Roles, id.Role):
		return fmt.Errorf("peer's role %s may not connect here", id.Role)
	case p.Region != "" && id.Region != p.Region:
		return fmt.Errorf("peer is of region %s, want %s", id.Region, p.Region)
	case id.Role == DataPlane && id.Region == ControlRegion:
		return errors.New("peer is a data plane without a region")
	}
	return nil
}

// Server accepts only peers with a certificate of our authority, our cluster
// and an allowed role. TLS 1.3 only. Sessions are not resumed: a resumed one
// would carry an identity that an authority taken out of the bundle had given.
func (m *Material) Server(p Peer) *tls.Config {
	check := p.check(m.Identity)
	config := &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, VerifyConnection: check}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		v := m.latest()
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{v.leaf}, SessionTicketsDisabled: true,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: v.roots, VerifyConnection: check,
			NextProtos: config.NextProtos}, nil // what the caller set on the configuration that it was given
	}
	return config
}

// authenticated are the cipher suites of TLS 1.2 with forward secrecy and
// authenticated encryption; those with CBC have been broken too often.
var authenticated = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// PublicServer serves clients that need no certificate (tenants, people); one
// that shows a certificate has it verified. TLS 1.2 is accepted because
// switches in the field speak nothing newer, with authenticated encryption only.
func (m *Material) PublicServer() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: authenticated, ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &m.latest().leaf, nil },
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return nil
			}
			return m.verify(cs, x509.ExtKeyUsageClientAuth)
		}}
}

// Client shows our certificate and accepts only an allowed peer. The peer is
// known by its identity, not by its host name, so that addresses may change.
func (m *Material) Client(p Peer) *tls.Config {
	check := p.check(m.Identity)
	return &tls.Config{MinVersion: tls.VersionTLS13,
		InsecureSkipVerify:   true, // the chain is verified below; only the host-name check is replaced
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &m.latest().leaf, nil },
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("peer showed no certificate")
			}
			if err := m.verify(cs, x509.ExtKeyUsageServerAuth); err != nil {
				return err
			}
			return check(cs)
		}}
}

// verify holds the peer's chain against the authorities of this moment.
func (m *Material) verify(cs tls.ConnectionState, use x509.ExtKeyUsage) error {
	opts := x509.VerifyOptions{Roots: m.latest().roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{use}}
	for _, c := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := cs.PeerCertificates[0].Verify(opts); err != nil {
		return fmt.Errorf("verify peer: %w", err)
	}
	return nil
}
