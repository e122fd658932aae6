package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
)

// SignStatement signs a statement with the key of the certificate that is shown to peers
// now: Ed25519, or ECDSA and RSA (PKCS #1 v1.5) over SHA-256. The statement must
// begin with a line that says what it is, so that it is no handshake's.
func (m *Material) SignStatement(statement []byte) ([]byte, error) {
	signer, ok := m.latest().leaf.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the certificate's key cannot sign")
	}
	if _, ok := signer.Public().(ed25519.PublicKey); ok {
		return signer.Sign(rand.Reader, statement, crypto.Hash(0))
	}
	sum := sha256.Sum256(statement)
	out, err := signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign with the certificate's key: %w", err)
	}
	return out, nil
}

// VerifySigned checks what SignStatement made, by the certificate.
func VerifySigned(c *x509.Certificate, statement, signature []byte) error {
	sum := sha256.Sum256(statement)
	ok := false
	switch public := c.PublicKey.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(public, statement, signature)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(public, sum[:], signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	}
	if !ok {
		return errors.New("the signature is not by the certificate's key over this statement")
	}
	return nil
}
