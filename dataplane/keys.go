package dataplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/hsm"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// KeysConfig is the section `keys` of a node's configuration. All of it may be left out.
type KeysConfig struct {
	RotateEvery   time.Duration   `yaml:"rotate_every"`   // age at which a key generation is replaced and destroyed; default 12h, at most 20h
	RotateSpacing time.Duration   `yaml:"rotate_spacing"` // at least between two rotations that erasures ask for; default 1h
	ReindexEvery  time.Duration   `yaml:"reindex_every"`  // at least between two rebuilds of a tenant's indexes, which a final erasure waits for; default 24h, which is the most
	Copy          string          `yaml:"copy"`           // folder on another disk of the region: the key table's copy; "" none
	Database      *DatabaseConfig `yaml:"database"`       // with store.kind sql: the key table's own database, for all nodes of the region
	CopyS3        *aws.S3Config   `yaml:"copy_s3"`        // with store.kind sql: a bucket of the region, without versions: the copy of the key table and of the erasure ledger

	RootFile string `yaml:"root_file"` // without a key service: the root key; default root.key in the folder keys of data_dir

	// Who keeps the generations' keys: one of these, else a file. It cannot be
	// changed for a key table that exists.
	AWSKMS *aws.KMSConfig `yaml:"aws_kms"`
	PKCS11 *hsm.Config    `yaml:"pkcs11"`
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
	if c.ReindexEvery < 0 || c.ReindexEvery > reindexEvery {
		bad = append(bad, fmt.Errorf("keys.reindex_every: give a duration up to %s: a certificate of erasure is final only after it", reindexEvery))
	}
	services := 0
	if c.AWSKMS != nil {
		services++
		bad = append(bad, c.AWSKMS.Check())
	}
	if c.PKCS11 != nil {
		services++
		bad = append(bad, c.PKCS11.Check())
	}
	if services > 1 || services == 1 && c.RootFile != "" {
		bad = append(bad, errors.New("keys: give one of root_file, aws_kms and pkcs11"))
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
	if c.ReindexEvery == 0 {
		c.ReindexEvery = reindexEvery
	}
	return c
}

// operatedKeys are a key table as its operator sees it.
type operatedKeys interface {
	Status() local.Status
	Rotate(ctx context.Context) error
	Generations() []store.KeyFate
}

func (n *Node) openKeys(Options) error {
	if n.shared != nil {
		return n.openKeyTable()
	}
	o, err := n.cfg.keyring(n.door, n.material.Identity.Cluster)
	if err != nil {
		return err
	}
	o.Logger, o.Retry = n.log, n.reserve.Retry
	keys, err := local.OpenKeyring(o)
	if err != nil {
		return err
	}
	n.keys, n.keyring = keys, keys
	n.onClose("keyring", func(context.Context) error { return keys.Close() })
	n.registry.MustRegister(keys.Collector())
	return nil
}

// keyring says how the node's key table is opened. A key service is reached
// through the door.
func (c Config) keyring(door *egress.Door, cluster string) (local.Options, error) {
	k := c.Keys.withDefaults()
	o := c.places()
	o.RotateEvery, o.RotateSpacing = k.RotateEvery, k.RotateSpacing
	// Records without their key table open nothing: then a new table is not made.
	_, err := os.Stat(filepath.Join(c.DataDir, recordsDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, fmt.Errorf("open keyring: %w", err)
	}
	o.Existing = err == nil
	if k.AWSKMS == nil && k.PKCS11 == nil {
		return o, nil
	}
	if k.PKCS11 != nil {
		o.Custodian, err = hsm.Open(hsm.Options{Config: *k.PKCS11, Cluster: cluster, Region: o.Region})
	} else {
		o.Custodian, err = openKMS(*k.AWSKMS, door, cluster, o.Region)
	}
	return o, err
}

// offlineKeyring is keyring for a node that does not run, and a door for what else it
// reaches; end is called after the keyring is closed.
func (c Config) offlineKeyring(log *slog.Logger) (o local.Options, door *egress.Door, end func(), err error) {
	if c.shared() {
		return o, nil, nil, fmt.Errorf("this region's records and keys are in its database (store.kind %s); this command is for a region of one node", SQLStore)
	}
	if c.Keys.AWSKMS == nil && c.Keys.PKCS11 == nil && c.Backup.S3 == nil && c.Media.S3 == nil {
		o, err = c.keyring(nil, "")
		return o, nil, func() {}, err
	}
	material, err := mtls.Load(c.TLS)
	if err != nil {
		return o, nil, nil, err
	}
	door, err = egress.New(egress.Options{Region: policy.RegionID(c.Region), Dir: filepath.Join(c.DataDir, ledgerDir), Logger: log})
	if err != nil {
		return o, nil, nil, fmt.Errorf("open egress ledger: %w", err)
	}
	o, err = c.keyring(door, material.Identity.Cluster)
	if err != nil {
		return o, nil, nil, errors.Join(err, door.Close())
	}
	return o, door, func() { _ = door.Close() }, nil
}

// EscrowKeys writes the node's root key, encrypted to recipients (age1…).
func EscrowKeys(c Config, w io.Writer, recipients []string) error {
	if c.shared() && c.Keys.RootFile == "" {
		return errors.New("this region's root is in its key service, which has no escrow here")
	}
	return local.Escrow(w, c.places(), recipients)
}

// RecoverKeys puts the node's root key back from what EscrowKeys wrote. The node
// must be stopped.
func RecoverKeys(c Config, escrow, identity io.Reader) error {
	if c.Keys.AWSKMS != nil || c.Keys.PKCS11 != nil {
		return errors.New("this region's root is in its key service, which has no escrow here")
	}
	return local.Recover(escrow, c.places(), identity)
}

// places are where the key table lies.
func (c Config) places() local.Options {
	return local.Options{Dir: filepath.Join(c.DataDir, keysDir), Region: policy.RegionID(c.Region), Copy: c.Keys.Copy, RootFile: c.Keys.RootFile}
}

// openKMS declares where the key service is and makes its client. The class is
// LOCAL_KEY: it is in the region, and what goes there are wrapped keys.
func openKMS(c aws.KMSConfig, door *egress.Door, cluster string, region policy.RegionID) (*aws.KMS, error) {
	for _, d := range c.Destinations() {
		if err := door.Allow(policy.LocalKey, egress.HostPort(d)); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		roots, err := mtls.LoadRoots(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read keys.aws_kms.ca: %w", err)
		}
		config.RootCAs = roots
	}
	client, err := door.HTTP(egress.Route{Class: policy.LocalKey, Region: region}, config)
	if err != nil {
		return nil, err
	}
	return aws.NewKMS(aws.KMSOptions{Config: c, Cluster: cluster, Region: region, Client: client})
}
