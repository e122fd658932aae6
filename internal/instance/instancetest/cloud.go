// Package instancetest is a cloud for tests: it signs documents in AWS's exact
// JSON form with certificates of its own. Nothing of it is AWS's.
package instancetest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/domicile-io/domicile/internal/instance"
)

// Account is the one whose machines Config allows.
const Account = "123456789012"

// Cloud signs documents of one AWS region.
type Cloud struct {
	t      testing.TB
	region string
	key    *rsa.PrivateKey
	cert   *x509.Certificate
	File   string // PEM of its certificate
}

// New makes the cloud of an AWS region, e.g. eu-west-1.
func New(t testing.TB, region string) *Cloud { return NewOf(t, region, 2048) }

// NewOf is New with a key of so many bits.
func NewOf(t testing.TB, region string, bits int) *Cloud {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{Country: []string{"US"}, Province: []string{"Washington State"}, Locality: []string{"Seattle"}, Organization: []string{"A Cloud of Tests"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cloud{t: t, region: region, key: key, File: filepath.Join(t.TempDir(), region+".pem")}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// Config trusts this cloud for its region, and machines of Account.
func (c *Cloud) Config() instance.Config {
	return instance.Config{Certificates: map[string]string{c.region: c.File}, Accounts: []string{Account}}
}

// JSON is a document in AWS's form.
func JSON(id, account, region string, pending time.Time) []byte {
	return fmt.Appendf(nil, `{
  "accountId" : %q,
  "architecture" : "x86_64",
  "availabilityZone" : %q,
  "billingProducts" : null,
  "devpayProductCodes" : null,
  "marketplaceProductCodes" : null,
  "imageId" : "ami-0abcdef1234567890",
  "instanceId" : %q,
  "instanceType" : "m6i.large",
  "kernelId" : null,
  "pendingTime" : %q,
  "privateIp" : "10.0.0.7",
  "ramdiskId" : null,
  "region" : %q,
  "version" : "2017-09-30"
}`, account, region+"a", id, pending.UTC().Format(time.RFC3339), region)
}

// Document signs, in DER, that a machine of Account started an hour ago in the
// cloud's region.
func (c *Cloud) Document(id string) []byte {
	return c.Sign(JSON(id, Account, c.region, time.Now().Add(-time.Hour)), pkcs7.OIDDigestAlgorithmSHA256)
}

// Sign signs any content over any digest.
func (c *Cloud) Sign(content []byte, digest asn1.ObjectIdentifier) []byte {
	c.t.Helper()
	s, err := pkcs7.NewSignedData(content)
	if err != nil {
		c.t.Fatal(err)
	}
	s.SetDigestAlgorithm(digest)
	if err := s.AddSigner(c.cert, c.key, pkcs7.SignerInfoConfig{}); err != nil {
		c.t.Fatal(err)
	}
	der, err := s.Finish()
	if err != nil {
		c.t.Fatal(err)
	}
	return der
}
