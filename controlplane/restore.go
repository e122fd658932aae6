package controlplane

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/controlplane/backup"
	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// RestoreOptions of Restore. Audit, MinEpoch and Logger may be left out.
type RestoreOptions struct {
	Backup     *backup.File
	Identities backup.Identities
	TokenFile  string    // where the new operator's token is written; must not exist
	Now        time.Time // stamped
	MinEpoch   uint64    // begin this epoch or a later one: when nodes have seen a later one than backup and log tell
	Audit      *ExportedLog
	Incomplete bool         // take a log that lacks what it should hold beside its records: that is lost then
	Logger     *slog.Logger // nil discards
}

// Restored says what Restore did.
type Restored struct {
	Cluster       string    `json:"cluster"`
	Epoch         uint64    `json:"cluster_epoch"` // that has begun
	Revision      uint64    `json:"revision"`      // of the restored state
	FromRevision  uint64    `json:"backup_revision"`
	BackupCreated time.Time `json:"backup_created"`
	Operator      string    `json:"operator"` // principal of the new token
	TokenFile     string    `json:"token_file"`
	Replayed      Replayed  `json:"replayed"`
}

// Restore makes the data of this voter from a backup, in an empty data_dir,
// while no process of the cluster runs. Other voters join it with empty folders.
//
// Everything is built and checked beside data_dir and renamed into its place:
// after an error, or a crash, data_dir is as it was. The new cluster epoch is
// part of the state before anything serves it.
func Restore(cfg Config, o RestoreOptions) (r Restored, err error) {
	if err := cfg.Validate(); err != nil {
		return r, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	own, err := ofStopped(cfg)
	if err != nil {
		return r, err
	}
	if m := o.Backup.Manifest; m.Cluster != own.voter.Identity.Cluster {
		return r, fmt.Errorf("the backup is of cluster %s and this voter's certificate of cluster %s: a foreign cluster's state is not restored", m.Cluster, own.voter.Identity.Cluster)
	}
	if err := mustBeEmpty(cfg.DataDir); err != nil {
		return r, err
	}
	work := filepath.Clean(cfg.DataDir) + ".restoring"
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o700)); err != nil { // what an earlier restore left
		return r, fmt.Errorf("make a folder beside data_dir: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	if err := o.Backup.Verify(work, o.Identities, own.root); err != nil {
		return r, err
	}
	if r, err = build(cfg, o, work, own.root); err != nil {
		return r, err
	}
	if err := os.Rename(work, filepath.Clean(cfg.DataDir)); err != nil { // over the empty folder, if there is one
		return r, fmt.Errorf("put the restored state in place: %w", err)
	}
	return r, syncFolder(filepath.Dir(filepath.Clean(cfg.DataDir)))
}

func mustBeEmpty(dir string) error {
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("data_dir: %w", err)
	case len(list) > 0:
		return fmt.Errorf("data_dir %s is not empty: a restore overwrites nothing; stop the voter and move the folder away", dir)
	}
	return nil
}

// build raises the epoch in the extracted state, repeats revocations, and makes
// the Raft folder.
func build(cfg Config, o RestoreOptions, work string, root ed25519.PublicKey) (r Restored, err error) {
	s, err := store.Open(store.Options{Path: filepath.Join(work, stateFile), Logger: o.Logger})
	if err != nil {
		return r, fmt.Errorf("open the restored state: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	m := o.Backup.Manifest
	later, newest, err := o.Audit.after(m, root)
	if err != nil {
		return r, err
	}
	epoch := max(policy.EpochOf(m.Revision), policy.EpochOf(newest)) + 1
	epoch = max(epoch, o.MinEpoch)
	tokens, err := firstTokens(o.TokenFile, o.Now)
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTokens(o.TokenFile))
		}
	}()
	index, term := s.Applied()
	a := &applier{store: s, index: index, term: term + replica.TermJump, now: o.Now, root: root, cluster: m.Cluster, incomplete: o.Incomplete}
	if o.Audit != nil {
		a.beside = o.Audit.Beside
	}
	if err := a.must(store.RaiseEpoch{ClusterID: m.Cluster, Epoch: epoch, Cause: store.CauseRestore, Source: o.Backup.ManifestSHA256(), Voter: cfg.Name, Tokens: tokens}); err != nil {
		return r, err
	}
	replayed, err := a.revoke(later)
	if err != nil {
		return r, err
	}
	if err := replica.Seed(filepath.Join(work, raftFolder), s, cfg.own(), o.Logger); err != nil {
		return r, err
	}
	return Restored{Cluster: m.Cluster, Epoch: epoch, Revision: s.Revision(), FromRevision: m.Revision, BackupCreated: m.Created, Operator: tokens[0].Principal,
		TokenFile: o.TokenFile, Replayed: replayed}, nil
}

// applier applies commands to a state that nobody else has open, as entries that
// follow what it holds.
type applier struct {
	store       *store.Store
	index, term uint64
	now         time.Time

	// Of revoke.
	root       ed25519.PublicKey
	cluster    string
	beside     Beside
	incomplete bool                     // what beside lacks is lost, and no error
	ended      map[policy.TenantID]bool // after the backup
	told       map[string]bool          // keys whose withdrawal stands for a record already
}

func (a *applier) apply(p store.Payload) (store.Result, error) {
	data, err := store.Encode(store.Command{Stamp: store.Stamp{Now: a.now.UTC(), Actor: "bootstrap"}, Payload: p})
	if err != nil {
		return store.Result{}, err
	}
	a.index++
	res, err := a.store.Apply([]store.Entry{{Index: a.index, Term: a.term, Data: data}})
	if err != nil {
		return store.Result{}, err
	}
	return res[0], nil
}

func (a *applier) must(p store.Payload) error {
	res, err := a.apply(p)
	if err == nil && res.Err != nil {
		err = res.Err
	}
	return err
}
