package backup

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/controlplane/store"
)

// Verify does everything that a restore does before it changes anything: it
// checks hashes and seal, decrypts into the folder dir, opens the state, which
// checks every value's checksum, compares it with the manifest, and reads the
// audit log from its first record to the signed checkpoint with the stand-alone
// verifier. The state stays in dir as state.db; the caller removes it.
func (f *File) Verify(dir string, identities Identities, root ed25519.PublicKey) (err error) {
	if err := f.Check(root); err != nil {
		return err
	}
	path := filepath.Join(dir, "state.db")
	if err := f.Extract(path, identities); err != nil {
		return err
	}
	s, err := store.Open(store.Options{Path: path})
	if err != nil {
		return fmt.Errorf("open the state of the backup: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return f.compare(s, root)
}

// compare holds an opened state against the manifest.
func (f *File) compare(s *store.Store, root ed25519.PublicKey) error {
	m := f.Manifest
	cluster, err := s.Cluster()
	if err != nil {
		return fmt.Errorf("read the state of the backup: %w", err)
	}
	index, term := s.Applied()
	if cluster.ID != m.Cluster || s.Revision() != m.Revision || index != m.AppliedIndex || term != m.AppliedTerm {
		return fmt.Errorf("the state is of cluster %s at revision %d and entry %d, and the manifest says %s, %d and %d",
			cluster.ID, s.Revision(), index, m.Cluster, m.Revision, m.AppliedIndex)
	}
	at, err := m.Checkpoint.Open(m.Cluster, root)
	if err != nil {
		return fmt.Errorf("the audit checkpoint in the manifest: %w", err)
	}
	log, err := verify.NewLog(at)
	if err != nil {
		return fmt.Errorf("verify the audit log: %w", err)
	}
	for n := uint64(0); n < at.Size; {
		page, _, err := s.AuditLeaves(n, store.MaxList)
		if err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		if len(page) == 0 {
			break // Done says what is missing
		}
		for _, leaf := range page {
			if err := log.Add(leaf); err != nil {
				return fmt.Errorf("verify the audit log: %w", err)
			}
		}
		n += uint64(len(page))
	}
	if err := log.Done(); err != nil {
		return fmt.Errorf("verify the audit log: %w", err)
	}
	return nil
}

// Open checks a checkpoint by the key beside it, that key by root unless root
// is nil, and that it is of a cluster's log.
func (c Checkpoint) Open(cluster string, root ed25519.PublicKey) (verify.Checkpoint, error) {
	key, err := verify.ParseKey(c.Key)
	if err != nil {
		return verify.Checkpoint{}, err
	}
	if root != nil {
		certificate, err := hex.DecodeString(c.Certificate)
		if err != nil {
			return verify.Checkpoint{}, errors.New("the certificate of the log's key is not hex")
		}
		if err := verify.Certified(key, cluster, certificate, root); err != nil {
			return verify.Checkpoint{}, err
		}
	}
	at, err := verify.Open([]byte(c.Note), key)
	if err == nil && at.Origin != "domicile/"+cluster+"/control" {
		err = errors.New("the checkpoint is of another cluster's log")
	}
	return at, err
}
