//go:build !pkcs11

package hsm

import (
	"context"
	"errors"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
)

// Built reports whether this program can load a PKCS#11 library.
const Built = false

var errWithout = errors.New("this program was built without PKCS#11")

// Module stands for one in programs that have none.
type Module struct{}

// Open is an error.
func Open(Options) (*Module, error) { return nil, errWithout }

// Kind implements local.Custodian.
func (*Module) Kind() string { return "pkcs11" }

// Create implements local.Custodian.
func (*Module) Create(context.Context, uint64) ([]byte, [32]byte, error) {
	return nil, [32]byte{}, errWithout
}

// Unwrap implements local.Custodian.
func (*Module) Unwrap(context.Context, uint64, []byte, store.KeyUse) ([32]byte, error) {
	return [32]byte{}, errWithout
}

// Destroy implements local.Custodian.
func (*Module) Destroy(context.Context, uint64, []byte) (time.Time, error) {
	return time.Time{}, errWithout
}

// Close implements local.Custodian.
func (*Module) Close() error { return nil }
