package bundle

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
)

// Certified gives the bundle key's public half and the root's signature over
// [Certificate].
func (s *Signer) Certified() (key ed25519.PublicKey, certificate []byte) {
	return s.key.Public().(ed25519.PublicKey), s.certificate
}

// SignCheckpoint signs the text of a checkpoint of the cluster's audit log. Any
// other text is refused, so that what is signed here is never taken for a seal:
// a seal begins with "domicile bundle", a checkpoint with "domicile/".
func (s *Signer) SignCheckpoint(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, []byte("domicile/"+s.cluster+"/control\n")) {
		return nil, errors.New("sign an audit checkpoint: the text is not one of this cluster")
	}
	return ed25519.Sign(s.key, text), nil
}

// BackupStatement is what the bundle key signs of a backup of the control
// plane's state: SHA-256 of its manifest. No other statement begins like it.
func BackupStatement(cluster string, manifest Hash) []byte {
	return fmt.Appendf(nil, "domicile backup manifest v1\n%s\n%x\n", cluster, manifest)
}

// SignBackup signs BackupStatement.
func (s *Signer) SignBackup(manifest Hash) []byte {
	return ed25519.Sign(s.key, BackupStatement(s.cluster, manifest))
}
