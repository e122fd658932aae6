package mtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Authority signs the certificates of one cluster.
type Authority struct {
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	bundle []byte // PEM: what nodes trust; itself first
}

const (
	authorityCert     = "ca.pem"
	authorityKey      = "ca.key"
	validFor          = 365 * 24 * time.Hour
	authorityValidFor = 10 * validFor
)

// OpenAuthority loads the authority kept in dir, of a [PKI] the one that signs,
// or makes one there; for tests, and for who issues over what is there.
func OpenAuthority(dir string) (*Authority, error) {
	if _, err := os.Lstat(filepath.Join(dir, pkiFile)); !errors.Is(err, fs.ErrNotExist) {
		p, err := OpenPKI(dir)
		if err != nil {
			return nil, err
		}
		return p.authority()
	}
	a, err := loadAuthority(filepath.Join(dir, authorityCert), filepath.Join(dir, authorityKey))
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make authority's folder: %w", err)
	}
	return newAuthority(filepath.Join(dir, authorityCert), filepath.Join(dir, authorityKey), "Domicile development authority")
}

func loadAuthority(certPath, keyPath string) (*Authority, error) {
	certPEM, err := os.ReadFile(certPath)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	keyPEM, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, fmt.Errorf("read authority's key: %w", err)
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("authority %s or its key %s is not PEM", certPath, keyPath)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse authority's key: %w", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("authority's key %s is not ECDSA", keyPath)
	}
	if !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("authority %s and key %s do not belong together", certPath, keyPath)
	}
	return &Authority{cert: cert, key: ec, bundle: certPEM}, nil
}

func newAuthority(certPath, keyPath, name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(authorityValidFor),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	if err := writeKey(keyPath, key); err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := replace(certPath, certPEM, 0o644); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	return &Authority{cert: cert, key: key, bundle: certPEM}, nil
}

// CertificatePEM is the authority's own certificate, then others that nodes
// must trust beside it.
func (a *Authority) CertificatePEM() []byte { return a.bundle }

// Issue writes cert.pem, key.pem and ca.pem for an identity into dir, over
// what is there, and names them. Hosts are DNS names and IP addresses of its
// listeners. It is valid for a year.
func (a *Authority) Issue(dir string, id Identity, hosts ...string) (Files, error) {
	return a.issue(dir, id, hosts, validFor)
}

func (a *Authority) issue(dir string, id Identity, hosts []string, valid time.Duration) (Files, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, fmt.Errorf("make key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: string(id.Node)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{id.URI()},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Files{}, fmt.Errorf("issue certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Files{}, fmt.Errorf("make certificate's folder: %w", err)
	}
	f := FilesIn(dir)
	if err := writeKey(f.Key, key); err != nil {
		return Files{}, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return f, errors.Join(replace(f.Certificate, certPEM, 0o644), replace(f.CA, a.bundle, 0o644))
}

// FilesIn are the names that Issue gives to the files of one identity.
func FilesIn(dir string) Files {
	return Files{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, authorityCert)}
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	return replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// replace writes a file whole or not at all: a process that follows it never
// reads half of one.
func replace(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("no randomness: " + err.Error()) // nothing can be safe without it
	}
	return n
}
