package controlplane

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// What Restore and Recover share: both are done on the files of a stopped
// voter, and both begin a cluster epoch with one new operator.

// Names in data_dir.
const (
	stateFile  = "state.db"
	raftFolder = "raft"
)

// known is what work on the files of a stopped voter needs of its configuration.
// No secret of the service is among it: nothing is signed here, and what systemd
// hands to a service as credentials is gone while that is stopped.
type known struct {
	voter *mtls.Material
	root  ed25519.PublicKey
}

func ofStopped(cfg Config) (known, error) {
	voter, err := mtls.Load(cfg.TLS)
	if err != nil {
		return known{}, fmt.Errorf("tls: %w", err)
	}
	if voter.Identity.Role != mtls.ControlPlane {
		return known{}, fmt.Errorf("tls: the certificate's role is %q, want %q", voter.Identity.Role, mtls.ControlPlane)
	}
	root, err := hex.DecodeString(cfg.RootPublicKey)
	if err != nil {
		return known{}, errors.New("root_public_key: must be hex")
	}
	return known{voter: voter, root: root}, nil
}

// firstTokenLife is how long the first token of an epoch holds: long enough to
// make others, short enough that a forgotten file is no way in.
const firstTokenLife = 72 * time.Hour

// officerSuffix is added to the name of the operator's token file for that of the
// security officer, without whom nobody could give roles to people again.
const officerSuffix = ".officer"

// firstTokens draws the tokens of the new epoch's first operator and security
// officer. After an error none of their files is left.
func firstTokens(path string, now time.Time) ([]store.Token, error) {
	operator, err := firstToken(path, "operator", now)
	if err != nil {
		return nil, err
	}
	officer, err := firstToken(path+officerSuffix, "security_officer", now)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return []store.Token{operator, officer}, nil
}

func removeTokens(path string) error {
	return errors.Join(os.Remove(path), os.Remove(path+officerSuffix))
}

// firstToken draws a token and writes it to path, mode 0600, durably: before
// anything refers to it.
func firstToken(path, role string, now time.Time) (store.Token, error) {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return store.Token{}, fmt.Errorf("draw a token: %w", err)
	}
	principal, err := policy.NewID(policy.KindPrincipal, rand.Reader)
	if err != nil {
		return store.Token{}, err
	}
	token := "dt_" + hex.EncodeToString(raw[:])
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return store.Token{}, fmt.Errorf("token file: %s is already there; nothing is overwritten: name another", path)
	}
	if err != nil {
		return store.Token{}, fmt.Errorf("token file: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return store.Token{}, fmt.Errorf("token file: %w", err)
	}
	sum := sha256.Sum256([]byte(token))
	expires := now.Add(firstTokenLife).Truncate(time.Second)
	return store.Token{SHA256: hex.EncodeToString(sum[:]), Principal: principal, Scope: store.Scope{Role: role, ExpiresAt: &expires}}, nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// own finds this voter in its configuration.
func (c Config) own() replica.Voter {
	for _, v := range c.Voters {
		if v.Name == c.Name {
			return replica.Voter{Name: v.Name, Address: v.RaftAddress}
		}
	}
	return replica.Voter{Name: c.Name, Address: c.RaftAddress}
}
