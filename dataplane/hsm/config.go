// Package hsm lets a hardware security module keep the generations of a region's
// key table, over PKCS#11 v2.40.
//
// It is in programs that are built with the tag pkcs11, since it loads the
// vendor's C library into the process that holds the region's keys; the usual
// build is without cgo and without that door (docs/operations/keys.md). What the
// vendor's library dials does not pass the region's door and is not in its
// ledger: it should reach its module over a device or a socket of this machine.
package hsm

import (
	"errors"
	"path/filepath"

	"github.com/domicile-io/domicile/policy"
)

// Config is the section `keys.pkcs11` of a node's configuration.
type Config struct {
	Module  string `yaml:"module"`   // absolute path of the vendor's library (required)
	Token   string `yaml:"token"`    // label of the token (required)
	PINFile string `yaml:"pin_file"` // file of mode 0600 with the user PIN (required)
}

// Check names what is missing or malformed.
func (c Config) Check() error {
	var bad []error
	if !filepath.IsAbs(c.Module) {
		bad = append(bad, errors.New("keys.pkcs11.module: give the absolute path of the module's PKCS#11 library"))
	}
	if c.Token == "" || len(c.Token) > 32 {
		bad = append(bad, errors.New("keys.pkcs11.token: give the token's label, 1 to 32 bytes"))
	}
	if c.PINFile == "" {
		bad = append(bad, errors.New("keys.pkcs11.pin_file: give a file with the user PIN"))
	}
	if !Built {
		bad = append(bad, errors.New("keys.pkcs11: this program was built without it; use one that was built with -tags pkcs11 and cgo"))
	}
	return errors.Join(bad...)
}

// Options of a custodian. All are required.
type Options struct {
	Config  Config
	Cluster string          // id of the cluster, CL…
	Region  policy.RegionID // of Domicile
}
