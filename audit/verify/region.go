package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strings"
	"time"
)

// RegionOf reads the cluster and the region out of a key of a region's log:
// domicile/CLUSTER/region/REGION/ID.
func RegionOf(k Key) (cluster, region string, ok bool) {
	p := strings.Split(k.Name, "/")
	if len(p) != 5 || p[0] != "domicile" || p[2] != "region" {
		return "", "", false
	}
	return p[1], p[3], true
}

// CertifiedByNode checks that a node of the region certified the log's key: its
// certificate, in PEM with what stands between it and the authority, is of the
// cluster and the region, and an authority of roots signed it. at is when it must
// be valid: the zero time does not look at dates, for what was kept.
func CertifiedByNode(k Key, signature, chain []byte, roots *x509.CertPool, at time.Time) error {
	bad := func(why string) error { return found(BadSignature, 0, "%s", why) }
	cluster, region, ok := RegionOf(k)
	if !ok {
		return bad("the key is not of a region's log")
	}
	leaf, between, err := readChain(chain)
	if err != nil {
		return err
	}
	if at.IsZero() {
		at = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return bad("the node's certificate is not signed by the authority given, or not valid now")
	}
	prefix := "/cluster/" + cluster + "/region/" + region + "/role/dp/"
	node, ok := nodeOf(leaf.URIs, prefix)
	if !ok {
		return bad("the certificate is not of a node of the log's region")
	}
	statement := "domicile region log key v1\n" + cluster + "\n" + region + "\n" + node + "\n" + hex.EncodeToString(k.Public)
	if !signedBy(leaf, []byte(statement), signature) {
		return bad("the node did not certify this key of the log")
	}
	return nil
}

func readChain(chain []byte) (leaf *x509.Certificate, between *x509.CertPool, err error) {
	between = x509.NewCertPool()
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, found(BadSignature, 0, "the node's certificate is malformed")
		}
		if leaf == nil {
			leaf = c
		} else {
			between.AddCert(c)
		}
	}
	if leaf == nil {
		return nil, nil, found(BadSignature, 0, "no node's certificate came with the log's key")
	}
	return leaf, between, nil
}

func nodeOf(uris []*url.URL, prefix string) (string, bool) {
	if len(uris) != 1 || uris[0].Scheme != "spiffe" || uris[0].Host != "domicile" {
		return "", false
	}
	return strings.CutPrefix(uris[0].Path, prefix)
}

func signedBy(c *x509.Certificate, statement, signature []byte) bool {
	sum := sha256.Sum256(statement)
	switch public := c.PublicKey.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, statement, signature)
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, sum[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}
