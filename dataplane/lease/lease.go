// Package lease lets one node of a region at a time do what only one may do:
// end retentions, sweep, rotate keys, erase, send a tenant's exports. A lease is
// a row in the region's database: who holds it, until when by the database's own
// clock, and a fencing number that goes up each time it changes hands.
//
// A holder counts its time by its own clock, from before it asked, and stops a
// margin earlier than the database would give the lease to another: no two work
// at once, however their clocks are set, as long as these run at about one
// speed. What a process that was stopped in the middle writes afterwards is
// refused by the fencing number, which is compared in the same transaction
// (shelf.Shelf.Under). [Step] is all of it, without a clock or a database.
//
// A region of one node has [Alone], whose leases are always free.
package lease

import (
	"context"
	"regexp"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Name names one lease, of a closed list; some go on with the id of a tenant.
type Name string

// The leases.
const (
	Retention Name = "retention" // ends of retention, and building indexes anew
	Erasures  Name = "erasures"  // carries erasures on
	Sweep     Name = "sweep"     // abandoned uploads and blobs
	Scrub     Name = "scrub"     // reads and checks what is stored
	Merge     Name = "merge"     // compresses together what came one by one
	Backups   Name = "backups"   // takes snapshots, verifies and prunes them
	Exports   Name = "exports"   // the rounds over all recipients
	Keys      Name = "keys"      // asks whether the key table is to be rotated
	Turn      Name = "keys/turn" // rotates it, and ends old generations
)

// Export is held by who judges, sends or takes back what a tenant exports.
func Export(t policy.TenantID) Name { return "export/" + Name(t) }

// Purge is held by who destroys everything of a tenant.
func Purge(t policy.TenantID) Name { return "purge/" + Name(t) }

var names = regexp.MustCompile(`^[a-z]{3,16}(/[A-Za-z0-9]{1,40})?$`)

// Valid reports whether a name is one that a lease can have.
func (n Name) Valid() bool { return names.MatchString(string(n)) }

// Fence is the right to write that comes with a lease. The zero Fence is that of
// a region that has one node: it always holds.
type Fence struct {
	Name   Name
	Number uint64
}

// Leases gives out leases. It is safe for concurrent use.
type Leases interface {
	// Run does work whenever this process holds the lease, until ctx ends or work
	// returns by itself. The context that work gets ends when the lease is lost: work
	// must come back soon then, and does not write any more.
	Run(ctx context.Context, name Name, work func(context.Context))
	// Hold waits for a lease. What it answers ends with ctx, with release, and when
	// the lease is lost. Two holders of one process exclude each other too.
	Hold(ctx context.Context, name Name) (held context.Context, release func(), err error)
}

type fenceKey struct{}

// FenceOf is the fence of the lease that ctx was given for; the zero Fence when
// there is none.
func FenceOf(ctx context.Context) Fence {
	f, _ := ctx.Value(fenceKey{}).(Fence)
	return f
}

// ErrLost is the refusal of a write under a lease that another holds by now.
func ErrLost(n Name) *policy.Error {
	return policy.Errorf(policy.NotReady, "another node has taken over %q; this one stops and begins again when it is its turn", string(n))
}

// DefaultTTL is how long a lease lasts without being renewed: after the death of
// a node its work waits so long, and a third more at most.
const DefaultTTL = 15 * time.Second
