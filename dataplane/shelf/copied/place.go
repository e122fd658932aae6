package copied

import (
	"context"
	"errors"
	"io"
)

// ErrChanged is a place's refusal of a Put whose condition does not hold.
var ErrChanged = errors.New("another object has that name by now")

// Place keeps objects. It is safe for concurrent use. What it has answered is
// durable, and it forgets what is replaced or removed.
type Place interface {
	// Ready is why nothing may be put there: it is against the rules, or it cannot be
	// asked.
	Ready(ctx context.Context) error
	// Read opens an object and gives the tag of these bytes; fs.ErrNotExist.
	Read(ctx context.Context, name string) (data io.ReadCloser, tag string, err error)
	// Put writes an object whole, in the place of the one that has this tag; "": there is
	// none yet. Otherwise it is ErrChanged. After another error it may be there.
	Put(ctx context.Context, name, tag string, data io.ReadSeeker) error
	// List visits the names that begin with prefix, in their order.
	List(ctx context.Context, prefix string, visit func(name string) error) error
	// Remove removes an object; one that is not there is no error.
	Remove(ctx context.Context, name string) error
	String() string
}
