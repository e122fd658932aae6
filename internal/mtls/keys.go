package mtls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
)

// KeyHash is hex SHA-256 of a certificate's subject public key info (RFC 5280,
// 4.1): it names the key, whatever certificate carries it.
func KeyHash(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// KeysOfConnection are the hashes of the keys in a peer's verified chains: its
// own first, then those of the authorities that stand above it.
func KeysOfConnection(cs tls.ConnectionState) []string { return keysOf(cs.VerifiedChains) }

// Keys are the same of our own certificate, as of this moment; empty when it
// does not verify.
func (m *Material) Keys() []string {
	v := m.latest()
	opts := x509.VerifyOptions{Roots: v.roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, der := range v.leaf.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil { // it was parsed when it was loaded
			opts.Intermediates.AddCert(c)
		}
	}
	chains, err := v.leaf.Leaf.Verify(opts)
	if err != nil {
		return nil
	}
	return keysOf(chains)
}

func keysOf(chains [][]*x509.Certificate) (keys []string) {
	seen := map[string]bool{}
	for _, chain := range chains {
		for _, c := range chain {
			if h := KeyHash(c); !seen[h] {
				seen[h] = true
				keys = append(keys, h)
			}
		}
	}
	return keys
}
