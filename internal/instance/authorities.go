package instance

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
)

// Config names what documents are held against. Voters and nodes have one each.
type Config struct {
	Certificates map[string]string `yaml:"certificates"` // AWS region, e.g. eu-west-1 → PEM file of the RSA-2048 certificates that AWS publishes for it
	Accounts     []string          `yaml:"accounts"`     // ids of AWS accounts whose machines may be nodes, 12 digits
}

const minKeyBits = 2048

var (
	regionPattern   = regexp.MustCompile(`^[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	accountPattern  = regexp.MustCompile(`^[0-9]{12}$`)
	instancePattern = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
)

// Check names every setting that is malformed; nil for the empty Config.
func (c Config) Check() error {
	var bad []error
	for region, file := range c.Certificates {
		if !regionPattern.MatchString(region) || file == "" {
			bad = append(bad, errors.New("attestation.certificates: must map AWS regions, such as eu-west-1, to PEM files"))
		}
	}
	for _, id := range c.Accounts {
		if !accountPattern.MatchString(id) {
			bad = append(bad, errors.New("attestation.accounts: must be ids of 12 digits, in quotes"))
		}
	}
	if (len(c.Certificates) == 0) != (len(c.Accounts) == 0) {
		bad = append(bad, errors.New("attestation: certificates and accounts go together: a document of anybody's account proves nothing"))
	}
	return errors.Join(bad...)
}

// Authorities verify documents. A nil one verifies none.
type Authorities struct {
	certificates map[string][]*x509.Certificate // by AWS region
	accounts     map[string]bool
}

// Load reads the certificates; nil when none are configured.
func Load(c Config) (*Authorities, error) {
	if err := c.Check(); err != nil || len(c.Certificates) == 0 {
		return nil, err
	}
	a := &Authorities{certificates: map[string][]*x509.Certificate{}, accounts: map[string]bool{}}
	for _, id := range c.Accounts {
		a.accounts[id] = true
	}
	for region, file := range c.Certificates {
		certs, err := readCertificates(file)
		if err != nil {
			return nil, fmt.Errorf("attestation.certificates.%s: %w", region, err)
		}
		a.certificates[region] = certs
	}
	return a, nil
}

func readCertificates(path string) (out []*x509.Certificate, err error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		key, ok := c.PublicKey.(*rsa.PublicKey)
		if !ok || key.N.BitLen() < minKeyBits {
			return nil, fmt.Errorf("%s holds a certificate without an RSA key of %d bits; take those that AWS lists as RSA-2048", path, minKeyBits)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return out, nil
}
