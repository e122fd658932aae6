package cli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/domicile-io/domicile/policy"
)

// pin is what this machine knows of one tenant without asking the control plane: the
// operator's root, which cluster and tenant it signs for, and the highest policy that it
// has seen proven. Nothing in it is secret; whoever could change it could have anything
// signed, so nobody else may write it. See docs/adr/0098.
type pin struct {
	Cluster string            `json:"cluster"`
	Tenant  policy.TenantID   `json:"tenant"`
	Root    string            `json:"root_public_key"`  // hex, Ed25519
	Keys    []string          `json:"keys"`             // ids of the signing keys that are used on this machine
	Proven  *policy.TenantRow `json:"proven,omitempty"` // policy and signers as they were last proven; nil: never
}

// maxPinBytes bounds a file that is read: a row has at most 512 KiB.
const maxPinBytes = 1 << 20

// root is the pinned public key.
func (p *pin) root() ed25519.PublicKey {
	raw, err := hex.DecodeString(p.Root)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil
	}
	return raw
}

func (p *pin) check() error {
	switch {
	case !policy.ValidID(policy.KindCluster, p.Cluster), !policy.ValidID(policy.KindTenant, string(p.Tenant)), p.root() == nil:
		return errors.New("names no cluster, tenant or root")
	case p.Proven != nil && (p.Proven.ID != p.Tenant || p.Proven.Policy == nil || p.Proven.Signers == nil):
		return errors.New("remembers no signed policy of its tenant")
	}
	return nil
}

// pinFolder is where pins are kept, a file for each tenant.
func (a *app) pinFolder() (string, error) {
	dir, err := a.setting("", "DOMICILE_TRUST_DIR")
	if err != nil || dir != "" {
		return dir, err
	}
	if dir, err = os.UserConfigDir(); err != nil {
		return "", fmt.Errorf("find your configuration folder: %w; set DOMICILE_TRUST_DIR to the folder of what this machine has pinned", err)
	}
	return filepath.Join(dir, "domicile", "trust"), nil
}

func pinPath(folder string, tenant policy.TenantID) string {
	return filepath.Join(folder, string(tenant)+".json")
}

// readPin reads what is pinned of a tenant; nil without. A file that others may write,
// or that is damaged, is an error and not the same as none.
func readPin(folder string, tenant policy.TenantID) (*pin, error) {
	if !policy.ValidID(policy.KindTenant, string(tenant)) { // it becomes the name of a file
		return nil, errors.New("the tenant's id is not one: TN and 32 hex digits")
	}
	path := pinPath(folder, tenant)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read what is pinned of tenant %s: %w", tenant, err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to others; look at what it says, and `chmod 600` it", path)
	case othersWrite(folder):
		return nil, fmt.Errorf("others may write to %s, and put an earlier file in the place of %s; look at what is there, and `chmod 700` it", folder, filepath.Base(path))
	case info.Size() > maxPinBytes:
		return nil, fmt.Errorf("%s is damaged: it has more than %d bytes", path, maxPinBytes)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read what is pinned of tenant %s: %w", tenant, err)
	}
	p := &pin{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err = d.Decode(p); err == nil {
		err = p.check()
	}
	if err == nil && p.Tenant != tenant {
		err = errors.New("is of another tenant than its name")
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged, or of a later release (%w); nothing is signed by what it says: take it from a backup, or remove it and repeat `domicile trust pin`", path, err)
	}
	return p, nil
}

func othersWrite(folder string) bool {
	info, err := os.Stat(folder)
	return err != nil || info.Mode().Perm()&0o022 != 0
}

// pinsOf are the pins of a signing key: one person may sign for several tenants.
func pinsOf(folder, key string) (out []*pin, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what this machine has pinned: %w", err)
	}
	for _, e := range entries {
		tenant := policy.TenantID(e.Name()[:len(e.Name())-len(filepath.Ext(e.Name()))])
		if filepath.Ext(e.Name()) != ".json" || !policy.ValidID(policy.KindTenant, string(tenant)) {
			continue
		}
		p, err := readPin(folder, tenant)
		if err != nil {
			return nil, err
		}
		if slices.Contains(p.Keys, key) {
			out = append(out, p)
		}
	}
	return out, nil
}
