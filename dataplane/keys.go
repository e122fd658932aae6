package dataplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/policy"
)

// KeysConfig is the section `keys` of a node's configuration. All of it may be left out.
type KeysConfig struct {
	RotateEvery   time.Duration `yaml:"rotate_every"`   // age at which a key generation is replaced and destroyed; default 12h, at most 20h
	RotateSpacing time.Duration `yaml:"rotate_spacing"` // at least between two rotations that erasures ask for; default 1h
	Copy          string        `yaml:"copy"`           // folder on another disk of the region: the key table's copy; "" none
	RootFile      string        `yaml:"root_file"`      // the root key; default root.key in the folder keys of data_dir
}

const (
	// Retention promises that nothing is decryptable 24 h after its time
	// (invariant 24), and a destroyed key is beyond old copies only when its
	// generation is destroyed: half a day leaves room for a night without a key service.
	defaultRotateEvery   = 12 * time.Hour
	maxRotateEvery       = 20 * time.Hour
	defaultRotateSpacing = time.Hour
)

// Check names every setting that is malformed.
func (c KeysConfig) Check() error {
	var bad []error
	if c.RotateEvery < 0 || c.RotateEvery > maxRotateEvery {
		bad = append(bad, fmt.Errorf("keys.rotate_every: give a duration up to %s: what retention deletes must be beyond every copy of the key table within a day", maxRotateEvery))
	}
	if c.RotateSpacing < 0 || c.RotateSpacing > maxRotateEvery {
		bad = append(bad, fmt.Errorf("keys.rotate_spacing: give a duration up to %s", maxRotateEvery))
	}
	return errors.Join(bad...)
}

func (c KeysConfig) withDefaults() KeysConfig {
	if c.RotateEvery == 0 {
		c.RotateEvery = defaultRotateEvery
	}
	if c.RotateSpacing == 0 {
		c.RotateSpacing = defaultRotateSpacing
	}
	return c
}

func (n *Node) openKeys(Options) error {
	o, err := n.cfg.keyring()
	if err != nil {
		return err
	}
	o.Logger = n.log
	keys, err := local.OpenKeyring(o)
	if err != nil {
		return err
	}
	n.keys, n.keyring = keys, keys
	n.onClose("keyring", func(context.Context) error { return keys.Close() })
	n.registry.MustRegister(keys.Collector())
	return nil
}

// keyring says how the node's key table is opened.
func (c Config) keyring() (local.Options, error) {
	k := c.Keys.withDefaults()
	o := local.Options{Dir: filepath.Join(c.DataDir, keysDir), Region: policy.RegionID(c.Region), Copy: k.Copy, RootFile: k.RootFile,
		RotateEvery: k.RotateEvery, RotateSpacing: k.RotateSpacing}
	// Records without their key table open nothing: then a new table is not made.
	_, err := os.Stat(filepath.Join(c.DataDir, recordsDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, fmt.Errorf("open keyring: %w", err)
	}
	o.Existing = err == nil
	return o, nil
}
