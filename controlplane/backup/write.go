package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/release"
	"github.com/domicile-io/domicile/policy"
)

// MaxRecipients is how many keys one backup may be encrypted to.
const MaxRecipients = 16

// WriteOptions of Write. All fields are required.
type WriteOptions struct {
	Snapshot   *store.Snapshot
	Signer     *bundle.Signer
	Recipients []string // age X25519 public keys, age1…
	Voter      string
	Now        time.Time
}

// Written says what Write wrote.
type Written struct {
	Manifest Manifest `json:"manifest"`
	Size     int64    `json:"size"`   // bytes of the file
	SHA256   string   `json:"sha256"` // hex, of the whole file but its last 32 bytes, which are this hash
}

// Write writes a backup. The state is read twice: once for its hash, which
// stands in front, and once to be written.
func Write(w io.Writer, o WriteOptions) (Written, error) {
	recipients, err := parseRecipients(o.Recipients)
	if err != nil {
		return Written{}, err
	}
	m, err := manifestOf(o)
	if err != nil {
		return Written{}, fmt.Errorf("write backup: %w", err)
	}
	whole := &sum{to: w, hash: sha256.New()}
	manifest, err := json.Marshal(m)
	if err == nil {
		err = head(whole, manifest, sealOf(manifest, o.Signer))
	}
	if err == nil {
		err = payload(whole, manifest, recipients, o.Snapshot)
	}
	if err != nil {
		return Written{}, fmt.Errorf("write backup: %w", err)
	}
	end := whole.hash.Sum(nil)
	if _, err := w.Write(end); err != nil {
		return Written{}, fmt.Errorf("write backup: %w", err)
	}
	return Written{Manifest: m, Size: whole.size + int64(len(end)), SHA256: hex.EncodeToString(end)}, nil
}

func manifestOf(o WriteOptions) (Manifest, error) {
	info, err := o.Snapshot.Info()
	if err != nil {
		return Manifest{}, err
	}
	if info.Cluster == "" {
		return Manifest{}, errors.New("the cluster is not set up yet: there is nothing to back up")
	}
	state := &sum{to: io.Discard, hash: sha256.New()}
	if err := o.Snapshot.Dump(state); err != nil {
		return Manifest{}, err
	}
	checkpoint, err := checkpointOf(o.Snapshot, info.Cluster, o.Signer)
	if err != nil {
		return Manifest{}, err
	}
	return Manifest{Format: Format, Cluster: info.Cluster, ClusterEpoch: policy.EpochOf(info.Revision), Revision: info.Revision,
		AppliedIndex: info.Index, AppliedTerm: info.Term, StateFormat: info.Format, Program: release.Of().Version, Voter: o.Voter, Created: o.Now.UTC().Truncate(time.Second),
		Parts:      []Part{{Name: statePart, Size: state.size, SHA256: hex.EncodeToString(state.hash.Sum(nil))}},
		Checkpoint: checkpoint}, nil
}

func checkpointOf(s *store.Snapshot, cluster string, with *bundle.Signer) (Checkpoint, error) {
	size, root, err := s.AuditRoot()
	if err != nil {
		return Checkpoint{}, err
	}
	key, certificate := with.Certified()
	signer, err := audit.NewSigner(audit.Origin(cluster), key, with.SignCheckpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	note, err := signer.Sign(size, root)
	return Checkpoint{Note: string(note), Key: signer.VerifierKey(), Certificate: hex.EncodeToString(certificate)}, err
}

// head writes what stands in plain.
func head(w io.Writer, manifest []byte, s seal) error {
	sealed, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if len(manifest) > maxManifest || len(sealed) > maxSeal {
		return fmt.Errorf("the manifest takes %d bytes and at most %d fit", len(manifest), maxManifest)
	}
	b := []byte(magic)
	for _, item := range [][]byte{manifest, sealed} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(item))), item...)
	}
	_, err = w.Write(b)
	return err
}

// payload compresses, then encrypts.
func payload(w io.Writer, manifest []byte, to []age.Recipient, s *store.Snapshot) error {
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return err
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	bound := sha256.Sum256(manifest)
	if _, err := packed.Write(bound[:]); err != nil {
		return err
	}
	if err := s.Dump(packed); err != nil {
		return err
	}
	return errors.Join(packed.Close(), sealed.Close())
}

// sum counts and hashes what passes.
type sum struct {
	to   io.Writer
	hash hash.Hash
	size int64
}

func (s *sum) Write(b []byte) (int, error) {
	n, err := s.to.Write(b)
	s.hash.Write(b[:n])
	s.size += int64(n)
	return n, err
}

var recipientForm = regexp.MustCompile(`^age1[02-9ac-hj-np-z]{58}$`)

// CheckRecipients refuses what is no age X25519 public key, a list without one,
// and one that is too long.
func CheckRecipients(keys []string) error {
	_, err := parseRecipients(keys)
	return err
}

func parseRecipients(keys []string) ([]age.Recipient, error) {
	if len(keys) == 0 || len(keys) > MaxRecipients {
		return nil, fmt.Errorf("a backup is encrypted to 1 to %d recipients, and %d were given: there is no plain backup. Make a key with `domicile backup key`, and give its public half as --recipient, or as backup.recipients in the voter's configuration", MaxRecipients, len(keys))
	}
	out := make([]age.Recipient, 0, len(keys))
	for i, k := range keys {
		r, err := age.ParseX25519Recipient(k)
		if err != nil || !recipientForm.MatchString(k) {
			return nil, fmt.Errorf("recipient %d is no age public key (age1…); `domicile backup key` makes a pair", i+1)
		}
		out = append(out, r)
	}
	return out, nil
}
