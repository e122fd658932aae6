package backup

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Format of the file. Readers refuse any other.
const Format = 1

const (
	magic       = "domicile backup 1\n"
	maxManifest = 64 << 10 // bytes
	maxSeal     = 4 << 10  // bytes
	statePart   = "state"
)

// Manifest says what a backup holds. Nothing in it is secret or personal.
type Manifest struct {
	Format       int        `json:"format"`
	Cluster      string     `json:"cluster"`       // CL…
	ClusterEpoch uint64     `json:"cluster_epoch"` // of Revision
	Revision     uint64     `json:"revision"`
	AppliedIndex uint64     `json:"applied_index"` // of the Raft log, as is the term
	AppliedTerm  uint64     `json:"applied_term"`
	StateFormat  int        `json:"state_format"`
	Program      string     `json:"program"` // version that wrote it
	Voter        string     `json:"voter"`   // that it was taken from
	Created      time.Time  `json:"created"` // UTC; that voter's clock
	Parts        []Part     `json:"parts"`
	Checkpoint   Checkpoint `json:"checkpoint"` // of the audit log as it is inside
}

// Part is one part of the payload, before compression and encryption.
type Part struct {
	Name   string `json:"name"` // "state"
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Checkpoint is a signed size and root of the audit log, as `domicile audit
// checkpoint -o json` prints one.
type Checkpoint struct {
	Note        string `json:"note"`
	Key         string `json:"key"`
	Certificate string `json:"certificate"`
}

// seal says who wrote a manifest.
type seal struct {
	Key         string `json:"key"`         // hex; the cluster's bundle key
	Certificate string `json:"certificate"` // hex; the operator root's over it
	Signature   string `json:"signature"`   // hex; over bundle.BackupStatement
}

var (
	hexForm   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	plainForm = regexp.MustCompile(`^[A-Za-z0-9.+()_-]{1,128}$`)
)

// check holds a manifest against its closed forms: it is read before anything
// in the file can be believed.
func (m Manifest) check() error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("the backup has format %d and this program reads format %d: use the version that wrote it (%.40q)", m.Format, Format, m.Program)
	case !policy.ValidID(policy.KindCluster, m.Cluster):
		return errors.New("the manifest names no cluster")
	case m.ClusterEpoch != policy.EpochOf(m.Revision):
		return errors.New("the manifest's epoch is not that of its revision")
	case m.StateFormat != store.Format:
		return fmt.Errorf("the state in the backup has format %d and this program reads format %d: use the version that wrote it (%.40q)", m.StateFormat, store.Format, m.Program)
	case !plainForm.MatchString(m.Program) || !plainForm.MatchString(m.Voter):
		return errors.New("the manifest's program or voter is malformed")
	case len(m.Parts) != 1 || m.Parts[0].Name != statePart || m.Parts[0].Size < 0 || !hexForm.MatchString(m.Parts[0].SHA256):
		return errors.New("the manifest's parts are not those of this format")
	}
	return nil
}

func sealOf(manifest []byte, s *bundle.Signer) seal {
	key, certificate := s.Certified()
	sum := sha256.Sum256(manifest)
	return seal{Key: hex.EncodeToString(key), Certificate: hex.EncodeToString(certificate), Signature: hex.EncodeToString(s.SignBackup(sum))}
}

// verify checks that root certified the key for the cluster and that the key
// signed the manifest. Without a root only the signature is checked.
func (s seal) verify(manifest []byte, cluster string, root ed25519.PublicKey) error {
	key, err := hex.DecodeString(s.Key)
	certificate, err2 := hex.DecodeString(s.Certificate)
	signature, err3 := hex.DecodeString(s.Signature)
	if errors.Join(err, err2, err3) != nil || len(key) != ed25519.PublicKeySize {
		return errors.New("the backup's seal is malformed")
	}
	if root != nil && !ed25519.Verify(root, bundle.Certificate(cluster, key), certificate) {
		return errors.New("the backup is not sealed by a key that the operator's root certified for this cluster: do not restore it")
	}
	if !ed25519.Verify(key, bundle.BackupStatement(cluster, sha256.Sum256(manifest)), signature) {
		return errors.New("the manifest was changed after it was sealed: do not restore this backup")
	}
	return nil
}

// strict reads one JSON value without unknown fields and without more after it.
func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("bytes after its end")
	}
	return nil
}
