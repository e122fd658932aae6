package local

import (
	"context"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
)

// Custodian keeps the key of each generation of the key table: whoever holds
// the table's files and not the custodian holds nothing. A file (the default),
// a cloud's key service (dataplane/aws) and a hardware module (dataplane/hsm)
// are custodians. One belongs to one keyring and is safe for concurrent use.
type Custodian interface {
	// Kind is a word of a closed list ("file", "aws-kms", "pkcs11"); it stands in
	// the table, which no other kind opens.
	Kind() string
	// Create makes the key of a generation: 256 random bits, and the token by which
	// Unwrap finds them. The token is stored in the clear, at most maxToken bytes.
	// A generation that was created and never used may be created again.
	Create(ctx context.Context, generation uint64) (token []byte, key [32]byte, err error)
	// Unwrap gives the key of a generation again; use is told to the service where
	// it has a place for it. One that was destroyed is policy.Destroyed.
	Unwrap(ctx context.Context, generation uint64, token []byte, use store.KeyUse) ([32]byte, error)
	// Destroy gives up the key and says from when on nobody, the service included,
	// can bring it back. Repeating it is harmless and answers the same.
	Destroy(ctx context.Context, generation uint64, token []byte) (final time.Time, err error)
	Close() error
}

const (
	maxToken        = 8 << 10
	custodianAnswer = 10 * time.Second // for one call
)
